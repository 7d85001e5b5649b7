//! Sealing: encrypts tokens and personal data, wherever they are stored or queued, with the keys of
//! `SEAL_KEYS`.
//!
//! The cipher is AES-256-GCM-SIV with a random nonce. The associated data names the record and the
//! field, so a sealed text that was moved to another record or column does not open. A sealed text
//! has the form `v1.<key id>.<base64url>`.
//!
//! Invariant: the first key seals, every key opens; no error and no `Debug` output shows any part
//! of a plain text or a key.

mod file_keys;

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

pub use file_keys::{FileKeyError, FileKeys};

use crate::domain::RecordId;

const VERSION: &str = "v1";
const KEY_BYTES: usize = 32;
/// The length of the tag of AES-256-GCM-SIV.
const TAG_LEN: usize = 16;
/// The constant that a key signs for its check value.
const CHECKED: &[u8] = b"nidbridge key check v1";

/// What a sealed text contains. The associated data names it, so the text does not open as another
/// field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    View,
    /// The record token of an attempt.
    Token,
    /// The ID that was issued for a record.
    NationalId,
    /// The body of a message that could not be recorded and was parked.
    ParkedBody,
    /// The ledger's own key, which it uses to make fingerprints.
    LedgerKey,
}

impl Field {
    fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Token => "token",
            Self::NationalId => "national_id",
            Self::ParkedBody => "parked_body",
            Self::LedgerKey => "ledger_key",
        }
    }
}

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key list cannot be used.
    #[error("{0}")]
    Keys(String),
    /// The text does not have the form of a sealed text.
    #[error("not a sealed text of version v1")]
    Malformed,
    /// The key is not configured.
    #[error("sealed with key `{0}`, which is not in SEAL_KEYS: add it behind the others")]
    UnknownKey(String),
    /// The key with that id is another key, the text belongs to another record or field, or the
    /// text was changed.
    #[error(
        "the seal does not open: wrong key under that id, or the text belongs to another record or field"
    )]
    DoesNotOpen,
    /// The system gave no random numbers, or the cipher failed.
    #[error("the cipher failed")]
    Cipher,
}

struct Key {
    id: String,
    key: LessSafeKey,
    /// See [`Sealer::key_checks`].
    check: String,
    /// See [`FileKeys`].
    file_key: hmac::Key,
}

/// The configured keys: the first one seals, and all of them open.
pub struct Sealer {
    keys: Vec<Key>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Sealer {
    /// Reads `id:base64[,id:base64…]`. A key has 32 bytes, and its id consists of letters, digits,
    /// `-` and `_`.
    ///
    /// # Errors
    /// [`SealError::Keys`] says which key is wrong and how; it never contains a key.
    pub fn parse(keys: &SecretString) -> Result<Self, SealError> {
        let mut parsed: Vec<Key> = Vec::new();
        for (position, entry) in keys.expose_secret().split(',').map(str::trim).enumerate() {
            let key =
                parse_key(entry).map_err(|why| SealError::Keys(format!("key {}: {why}", position + 1)))?;
            if parsed.iter().any(|known| known.id == key.id) {
                return Err(SealError::Keys(format!(
                    "key {}: the id `{}` is there twice",
                    position + 1,
                    key.id
                )));
            }
            parsed.push(key);
        }
        Ok(Self { keys: parsed })
    }

    /// The id of the key that seals, or `None` if there are no keys.
    pub fn first_key(&self) -> Option<&str> {
        self.keys.first().map(|key| key.id.as_str())
    }

    /// The id of each key with its check value, the sealing key first. Two keys with the same check
    /// value are the same key. The value does not show the key: it is an HMAC of a constant.
    pub fn key_checks(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().map(|key| (key.id.as_str(), key.check.as_str()))
    }

    /// The keys that authenticate the files of a front.
    pub fn file_keys(&self) -> FileKeys {
        FileKeys::new(self.keys.iter().map(|key| (key.id.clone(), key.file_key.clone())).collect())
    }

    /// Reads from a sealed text the id of the key that sealed it. Returns `None` if the text is not
    /// sealed.
    pub fn key_of(sealed: &str) -> Option<&str> {
        let mut parts = sealed.splitn(3, '.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(VERSION), Some(id), Some(_)) => Some(id),
            _ => None,
        }
    }

    /// The length in bytes of what was sealed. Returns `None` if the text is not sealed.
    pub fn plain_len(sealed: &str) -> Option<usize> {
        let body = sealed.splitn(3, '.').nth(2).filter(|_| Self::key_of(sealed).is_some())?;
        (body.len() * 3 / 4).checked_sub(NONCE_LEN + TAG_LEN)
    }

    /// The first characters of every text that is sealed with this key.
    pub fn prefix_of(key: &str) -> String {
        format!("{VERSION}.{key}.")
    }

    /// Seals a text for a record and a field.
    ///
    /// # Errors
    /// [`SealError::Cipher`] if the system gives no random numbers.
    pub fn seal(&self, record: &RecordId, field: Field, plain: &[u8]) -> Result<String, SealError> {
        self.seal_as(record.as_str(), field, plain)
    }

    /// Opens what [`Sealer::seal`] made for the same record and field.
    ///
    /// # Errors
    /// [`SealError`], which distinguishes a missing key from a text that is not valid.
    pub fn open(
        &self,
        record: &RecordId,
        field: Field,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.open_as(record.as_str(), field, sealed)
    }

    /// Seals a value that belongs to no record, under a name of its own.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn seal_as(&self, owner: &str, field: Field, plain: &[u8]) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError::Cipher)?;
        let mut nonce = [0_u8; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::Cipher)?;
        let mut text = plain.to_vec();
        key.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                aad(owner, field, &key.id),
                &mut text,
            )
            .map_err(|_| SealError::Cipher)?;
        let mut body = nonce.to_vec();
        body.append(&mut text);
        Ok(format!("{VERSION}.{}.{}", key.id, URL_SAFE_NO_PAD.encode(body)))
    }

    /// Opens what [`Sealer::seal_as`] made under the same name.
    ///
    /// # Errors
    /// As [`Sealer::open`].
    pub fn open_as(&self, owner: &str, field: Field, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut parts = sealed.splitn(3, '.');
        let (Some(VERSION), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Malformed);
        };
        let known = self.keys.iter().find(|key| key.id == id);
        let key = known.ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Malformed)?;
        let (nonce, text) = body.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let plain = key
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad(owner, field, id), &mut text)
            .map_err(|_| SealError::DoesNotOpen)?
            .len();
        text.truncate(plain);
        Ok(text)
    }
}

fn aad(owner: &str, field: Field, key_id: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("{VERSION}|{key_id}|{}|{owner}", field.as_str()).into_bytes())
}

fn parse_key(entry: &str) -> Result<Key, &'static str> {
    let (id, secret) = entry.split_once(':').ok_or("write it as id:base64")?;
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return Err("its id may hold letters, digits, `-` and `_` only");
    }
    let bytes = Zeroizing::new(STANDARD.decode(secret).map_err(|_| "its secret is not base64")?);
    if bytes.len() != KEY_BYTES {
        return Err("its secret must be 32 bytes (make one with `openssl rand -base64 32`)");
    }
    let key = UnboundKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| "its secret cannot be used")?;
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), CHECKED);
    let file_key = file_keys::sender_secret(&bytes).and_then(|secret| file_keys::file_key(&*secret));
    Ok(Key {
        id: id.to_owned(),
        key: LessSafeKey::new(key),
        check: URL_SAFE_NO_PAD.encode(signed),
        file_key: file_key.ok_or("its secret cannot be used")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(keys: &str) -> Result<Sealer, SealError> {
        Sealer::parse(&SecretString::from(keys))
    }

    fn key(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; KEY_BYTES]))
    }

    #[test]
    fn opens_only_for_the_same_record_and_field() {
        let sealer = sealer(&key("a", 1)).unwrap();
        let (one, two) = (RecordId::parse("one").unwrap(), RecordId::parse("two").unwrap());
        let sealed = sealer.seal(&one, Field::View, b"Ada").unwrap();
        assert!(!sealed.contains("Ada"));
        assert_eq!(sealer.open(&one, Field::View, &sealed).unwrap().as_slice(), b"Ada");
        assert!(matches!(sealer.open(&two, Field::View, &sealed), Err(SealError::DoesNotOpen)));
        assert!(matches!(sealer.open(&one, Field::Token, &sealed), Err(SealError::DoesNotOpen)));
    }

    #[test]
    fn a_sealed_text_tells_the_length_of_what_was_sealed() {
        let sealer = sealer(&key("a", 1)).unwrap();
        for length in [0, 1, 2, 3, 64, 65, 66, 1_000, 66_371] {
            let sealed = sealer.seal_as("reply", Field::ParkedBody, &vec![b'x'; length]).unwrap();
            assert_eq!(Sealer::plain_len(&sealed), Some(length));
        }
        for other in ["", "v1.a.", "v1.a.AAAA", "{\"v\": 1}", "not.sealed.text"] {
            assert_eq!(Sealer::plain_len(other), None, "{other}");
        }
    }

    #[test]
    fn a_new_first_key_seals_and_the_old_one_still_opens() {
        let record = RecordId::parse("one").unwrap();
        let old = sealer(&key("a", 1)).unwrap().seal(&record, Field::View, b"x").unwrap();
        let both = sealer(&format!("{},{}", key("b", 2), key("a", 1))).unwrap();
        assert!(both.open(&record, Field::View, &old).is_ok());
        assert!(both.seal(&record, Field::View, b"x").unwrap().starts_with("v1.b."));
        let only_new = sealer(&key("b", 2)).unwrap();
        assert!(
            matches!(only_new.open(&record, Field::View, &old), Err(SealError::UnknownKey(id)) if id == "a")
        );
    }

    #[test]
    fn a_bad_key_list_is_named_by_position_and_never_shown() {
        for bad in ["", "nocolon", "a:short", "a:AAAA", "b ad:AAAA"] {
            let why = sealer(bad).unwrap_err().to_string();
            assert!(why.starts_with("key 1: "), "{why}");
            assert!(!why.contains("AAAA"), "{why}");
        }
        assert!(sealer(&format!("{},{}", key("a", 1), key("a", 2))).is_err());
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let sealer = sealer(&key("a", 1)).unwrap();
        let record = RecordId::parse("one").unwrap();
        let mut sealed = sealer.seal(&record, Field::View, b"Ada").unwrap();
        let last = sealed.pop().unwrap();
        sealed.push(if last == 'A' { 'Q' } else { 'A' });
        assert!(sealer.open(&record, Field::View, &sealed).is_err());
        assert!(matches!(sealer.open(&record, Field::View, "v0.a.x"), Err(SealError::Malformed)));
    }

    #[test]
    fn a_sealed_text_names_its_key_and_a_list_names_its_sealing_key() {
        let sealer = sealer(&format!("{},{}", key("b-1_c", 2), key("a", 1))).unwrap();
        let sealed = sealer.seal(&RecordId::parse("one").unwrap(), Field::View, b"x").unwrap();
        assert_eq!((sealer.first_key(), Sealer::key_of(&sealed)), (Some("b-1_c"), Some("b-1_c")));
        assert!(sealed.starts_with(&Sealer::prefix_of("b-1_c")));
        assert_eq!(Sealer::prefix_of("a"), "v1.a.");
        for odd in ["v1.a", "v2.a.x", "a"] {
            assert_eq!(Sealer::key_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_key_needs_an_id() {
        assert!(sealer(&key("", 1)).is_err());
        assert!(sealer(&key("a.b", 1)).is_err());
    }
}
