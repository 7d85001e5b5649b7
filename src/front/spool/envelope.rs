//! The content of a spool file: a line with the code that authenticates the file, then one line of
//! JSON with the message and its trace.
//!
//! The code covers the content, the name of the file and the id of the key. A file of a release
//! before has a checksum instead, which anybody can make.
//!
//! Invariant: a file that was truncated, changed or renamed, or that no front of this deployment
//! wrote, is not read. The file holds nothing in clear text that the message does not hold in clear
//! text.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::name::FileName;
use crate::pipeline::{Message as _, RegistrationMessage};
use crate::seal::{FileKeyError, FileKeys};

const MAGIC: &str = "nidbridge-spool.v2";
/// The first word of a file that is not authenticated.
const UNSIGNED_MAGIC: &str = "nidbridge-spool.v1";

/// Which files are read.
#[derive(Debug, Clone)]
pub struct Trust {
    pub keys: FileKeys,
    /// Also reads files of a release that did not authenticate them.
    pub unsigned: bool,
}

#[derive(Serialize)]
struct EnvelopeRef<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    trace: &'a BTreeMap<String, String>,
    message: &'a RegistrationMessage,
}

/// The content of a file.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub(super) trace: BTreeMap<String, String>,
    pub(super) message: RegistrationMessage,
}

/// Why this release cannot relay a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it does not begin like a spool file of this release")]
    Header,
    #[error("it was truncated, changed or renamed, or no front of this deployment wrote it")]
    Code,
    #[error(transparent)]
    Key(FileKeyError),
    #[error(
        "it is of a release that did not authenticate its files: if the front was upgraded while its spool held registrations, \
         set FRONT_SPOOL_UNSIGNED=true, rename the file back and restart the front; otherwise somebody else wrote it"
    )]
    Unsigned,
    #[error("it is truncated or was changed")]
    Checksum,
    #[error("it holds no registration that this release can read")]
    Content,
    #[error("it holds another attempt than its name says")]
    OtherAttempt,
}

/// Why a registration was not encoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotEncoded {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Key(#[from] FileKeyError),
}

pub(super) fn encode(
    keys: &FileKeys,
    message: &RegistrationMessage,
    trace: &BTreeMap<String, String>,
) -> Result<Vec<u8>, NotEncoded> {
    let name = FileName::of(&message.registration.key);
    let mut content = serde_json::to_vec(&EnvelopeRef { trace, message })?;
    content.push(b'\n');
    let key = keys.signing()?;
    let code = keys.code(key, &signed(key, name.as_str(), &content))?;
    let mut file = format!("{MAGIC} {key} {code}\n").into_bytes();
    file.append(&mut content);
    Ok(file)
}

pub(super) fn decode(trust: &Trust, name: &str, file: &[u8]) -> Result<Envelope, Unreadable> {
    let end = file.iter().position(|byte| *byte == b'\n').ok_or(Unreadable::Header)?;
    let (header, content) = file.split_at_checked(end + 1).ok_or(Unreadable::Header)?;
    let header = std::str::from_utf8(header).map_err(|_| Unreadable::Header)?;
    let mut words = header.strip_suffix('\n').unwrap_or(header).split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(MAGIC), Some(key), Some(code), None) => {
            trust.keys.verify(key, &signed(key, name, content), code).map_err(|fault| match fault {
                FileKeyError::Differs => Unreadable::Code,
                FileKeyError::NoKey | FileKeyError::UnknownKey(_) => Unreadable::Key(fault),
            })?;
        }
        (Some(UNSIGNED_MAGIC), Some(written), None, None) => {
            if written != checksum(content) {
                return Err(Unreadable::Checksum);
            }
            if !trust.unsigned {
                return Err(Unreadable::Unsigned);
            }
        }
        _ => return Err(Unreadable::Header),
    }
    let envelope: Envelope = serde_json::from_slice(content).map_err(|_| Unreadable::Content)?;
    let message = &envelope.message;
    let known = RegistrationMessage::VERSIONS.contains(&message.v) && message.is_of_its_version();
    if known { Ok(envelope) } else { Err(Unreadable::Content) }
}

/// What the code of a file authenticates. Neither a key id nor a file name holds a NUL.
fn signed(key: &str, name: &str, content: &[u8]) -> Vec<u8> {
    [MAGIC.as_bytes(), b"\0", key.as_bytes(), b"\0", name.as_bytes(), b"\0", content].concat()
}

fn checksum(content: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, content))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use secrecy::SecretString;

    use super::*;
    use crate::pipeline::{MESSAGE_VERSION, TOKENLESS_VERSION};
    use crate::seal::Sealer;

    fn message() -> RegistrationMessage {
        serde_json::from_value(serde_json::json!({
            "v": MESSAGE_VERSION,
            "registration": {
                "key": {
                    "dialect": "fhir", "record": "one", "mark": "2026-01-02T00:00:00Z",
                    "stamp": "2026-01-02T00:00:00Z"
                },
                "kind": "birth", "tracking_id": "BXXDBIC", "office": null,
                "accepted_at": "2026-01-02T00:00:01Z", "token_expires_at": "2026-01-09T00:00:00Z"
            },
            "sealed_view": "v1.a.xxx", "sealed_token": "v1.a.yyy"
        }))
        .unwrap()
    }

    fn trust(byte: u8, unsigned: bool) -> Trust {
        let keys = format!("a:{}", STANDARD.encode([byte; 32]));
        Trust { keys: Sealer::parse(&SecretString::from(keys)).unwrap().file_keys(), unsigned }
    }

    fn written(message: &RegistrationMessage, trace: &BTreeMap<String, String>) -> Vec<u8> {
        encode(&trust(1, false).keys, message, trace).unwrap()
    }

    fn read(file: &[u8]) -> Result<Envelope, Unreadable> {
        decode(&trust(1, false), FileName::of(&message().registration.key).as_str(), file)
    }

    #[test]
    fn what_was_written_is_read_back_with_its_trace() {
        let trace: BTreeMap<_, _> = [("traceparent".to_owned(), "00-1-2-01".to_owned())].into();
        let found = read(&written(&message(), &trace)).unwrap();
        assert_eq!((found.message, found.trace), (message(), trace));
        assert!(read(&written(&message(), &BTreeMap::new())).unwrap().trace.is_empty());
    }

    #[test]
    fn a_registration_without_a_token_is_read_back() {
        let mut tokenless = message();
        (tokenless.v, tokenless.sealed_token) = (TOKENLESS_VERSION, None);
        tokenless.registration.token_expires_at = None;
        assert_eq!(read(&written(&tokenless, &BTreeMap::new())).unwrap().message, tokenless);
    }

    #[test]
    fn no_cut_and_no_changed_byte_goes_unnoticed() {
        let file = written(&message(), &BTreeMap::new());
        for length in 0..file.len() {
            assert!(read(&file[..length]).is_err(), "cut to {length}");
        }
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "changed at {at}");
        }
        let longer = [file.as_slice(), b"\n"].concat();
        assert!(matches!(read(&longer), Err(Unreadable::Code)));
    }

    #[test]
    fn a_file_under_another_name_or_of_another_key_is_not_read() {
        let file = written(&message(), &BTreeMap::new());
        let mut other = message().registration.key;
        other.mark.push('x');
        let renamed = decode(&trust(1, true), FileName::of(&other).as_str(), &file);
        assert!(matches!(renamed, Err(Unreadable::Code)));
        let name = FileName::of(&message().registration.key);
        assert!(matches!(decode(&trust(2, true), name.as_str(), &file), Err(Unreadable::Code)));
        let unknown = String::from_utf8(file).unwrap().replacen(" a ", " b ", 1);
        assert!(
            matches!(read(unknown.as_bytes()), Err(Unreadable::Key(FileKeyError::UnknownKey(id))) if id == "b")
        );
    }

    #[test]
    fn a_file_that_is_not_authenticated_is_read_only_if_that_is_allowed() {
        let file = written(&message(), &BTreeMap::new());
        let content = &file[file.iter().position(|byte| *byte == b'\n').unwrap() + 1..];
        let unsigned =
            |checksum: &str| [format!("{UNSIGNED_MAGIC} {checksum}\n").as_bytes(), content].concat();
        let genuine = unsigned(&checksum(content));
        assert!(matches!(read(&genuine), Err(Unreadable::Unsigned)));
        assert_eq!(decode(&trust(1, true), "", &genuine).unwrap().message, message());
        assert!(matches!(decode(&trust(1, true), "", &unsigned("x")), Err(Unreadable::Checksum)));
    }

    #[test]
    fn a_message_of_another_version_is_not_guessed_at() {
        let newer = RegistrationMessage { v: TOKENLESS_VERSION + 1, ..message() };
        assert!(matches!(read(&written(&newer, &BTreeMap::new())), Err(Unreadable::Content)));
    }
}
