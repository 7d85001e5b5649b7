//! The keys that authenticate the files which a front keeps on its own disk.
//!
//! They are derived in two steps. A key of `SEAL_KEYS` gives the secret that its senders share, and
//! that secret gives the key of files. So whoever has the sender secret alone can authenticate a
//! file, too.
//!
//! Invariant: the first key signs, every key verifies, and no key does anything else.

use std::fmt;

use aws_lc_rs::{constant_time, hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Length of a sender secret in bytes.
pub(super) const SENDER_SECRET_BYTES: usize = 32;
const SALT: &[u8] = b"nidbridge seal v1";
const SENDER_SECRET: &[u8] = b"sender secret";
const FILE_KEY: &[u8] = b"spool file key";

#[derive(Clone)]
pub struct FileKeys {
    /// Ids and keys, the signing key first.
    keys: Vec<(String, hmac::Key)>,
}

/// Why a file is not taken for one that this front wrote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileKeyError {
    #[error("no key is configured")]
    NoKey,
    #[error(
        "it was written with key `{0}`, which is not configured: add that key to SEAL_KEYS behind the others"
    )]
    UnknownKey(String),
    #[error("it is not what a front with this key wrote")]
    Differs,
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl FileKeys {
    pub(super) fn new(keys: Vec<(String, hmac::Key)>) -> Self {
        Self { keys }
    }

    /// The id of the key that signs.
    ///
    /// # Errors
    /// [`FileKeyError::NoKey`].
    pub fn signing(&self) -> Result<&str, FileKeyError> {
        self.keys.first().map(|(id, _)| id.as_str()).ok_or(FileKeyError::NoKey)
    }

    /// The code (base64url) that authenticates `content` under the key with this id.
    ///
    /// # Errors
    /// [`FileKeyError::UnknownKey`].
    pub fn code(&self, id: &str, content: &[u8]) -> Result<String, FileKeyError> {
        let known = self.keys.iter().find(|(known, _)| known == id);
        let (_, key) = known.ok_or_else(|| FileKeyError::UnknownKey(id.to_owned()))?;
        Ok(URL_SAFE_NO_PAD.encode(hmac::sign(key, content)))
    }

    /// # Errors
    /// [`FileKeyError`], if `code` is not that of `content` under the key with this id.
    pub fn verify(&self, id: &str, content: &[u8], code: &str) -> Result<(), FileKeyError> {
        let genuine = self.code(id, content)?;
        constant_time::verify_slices_are_equal(genuine.as_bytes(), code.as_bytes())
            .map_err(|_| FileKeyError::Differs)
    }
}

/// The secret that everybody shares who seals for the owner of this key.
pub(super) fn sender_secret(key: &[u8]) -> Option<Zeroizing<[u8; SENDER_SECRET_BYTES]>> {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            SENDER_SECRET_BYTES
        }
    }
    let mut secret = Zeroizing::new([0; SENDER_SECRET_BYTES]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(key);
    extracted.expand(&[SENDER_SECRET], Length).ok()?.fill(&mut *secret).ok()?;
    Some(secret)
}

pub(super) fn file_key(sender_secret: &[u8]) -> Option<hmac::Key> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(sender_secret);
    extracted.expand(&[FILE_KEY], hmac::HMAC_SHA256).ok().map(hmac::Key::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[(&str, u8)]) -> FileKeys {
        let of = |byte| file_key(&*sender_secret(&[byte; 32]).unwrap()).unwrap();
        FileKeys::new(keys.iter().map(|(id, byte)| ((*id).to_owned(), of(*byte))).collect())
    }

    #[test]
    fn the_first_key_signs_and_every_key_verifies() {
        let (old, both) = (keys(&[("a", 1)]), keys(&[("b", 2), ("a", 1)]));
        let code = old.code(old.signing().unwrap(), b"content").unwrap();
        assert_eq!((both.signing(), both.verify("a", b"content", &code)), (Ok("b"), Ok(())));
        assert_eq!(both.verify("a", b"contents", &code), Err(FileKeyError::Differs));
        assert_eq!(both.verify("b", b"content", &code), Err(FileKeyError::Differs));
        let unknown = FileKeyError::UnknownKey("a".to_owned());
        assert_eq!(keys(&[("b", 2)]).verify("a", b"content", &code), Err(unknown));
        assert_eq!(keys(&[]).signing(), Err(FileKeyError::NoKey));
    }

    #[test]
    fn the_derived_keys_never_change() {
        let secret = sender_secret(&[1; 32]).unwrap();
        assert_ne!(*secret, [1; 32]);
        let code = keys(&[("a", 1)]).code("a", b"content").unwrap();
        assert_eq!(
            code, "kXYTUZLP7F4bUlpsdjL_G35kbXv8MsngoSEi0ebKINU",
            "files and values of earlier releases need them"
        );
    }
}
