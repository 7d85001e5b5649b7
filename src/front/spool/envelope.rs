//! The content of a spool file: a line with a checksum, then one line of JSON with the message and
//! its trace.
//!
//! Invariant: a truncated or changed file is detected. The file holds nothing in clear text that
//! the message does not hold in clear text.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::pipeline::{Message as _, RegistrationMessage};

const MAGIC: &str = "nidbridge-spool.v1";

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
    #[error("it is truncated or was changed")]
    Checksum,
    #[error("it holds no registration that this release can read")]
    Content,
    #[error("it holds another attempt than its name says")]
    OtherAttempt,
}

pub(super) fn encode(
    message: &RegistrationMessage,
    trace: &BTreeMap<String, String>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut content = serde_json::to_vec(&EnvelopeRef { trace, message })?;
    content.push(b'\n');
    let mut file = format!("{MAGIC} {}\n", checksum(&content)).into_bytes();
    file.append(&mut content);
    Ok(file)
}

pub(super) fn decode(file: &[u8]) -> Result<Envelope, Unreadable> {
    let end = file.iter().position(|byte| *byte == b'\n').ok_or(Unreadable::Header)?;
    let (header, content) = file.split_at_checked(end + 1).ok_or(Unreadable::Header)?;
    let header = std::str::from_utf8(header).map_err(|_| Unreadable::Header)?;
    let written = header.trim_end().strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' '));
    if written.ok_or(Unreadable::Header)? != checksum(content) {
        return Err(Unreadable::Checksum);
    }
    let envelope: Envelope = serde_json::from_slice(content).map_err(|_| Unreadable::Content)?;
    let message = &envelope.message;
    let known = RegistrationMessage::VERSIONS.contains(&message.v) && message.is_of_its_version();
    if known { Ok(envelope) } else { Err(Unreadable::Content) }
}

fn checksum(content: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{MESSAGE_VERSION, TOKENLESS_VERSION};

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

    #[test]
    fn what_was_written_is_read_back_with_its_trace() {
        let trace: BTreeMap<_, _> = [("traceparent".to_owned(), "00-1-2-01".to_owned())].into();
        let read = decode(&encode(&message(), &trace).unwrap()).unwrap();
        assert_eq!((read.message, read.trace), (message(), trace));
        let read = decode(&encode(&message(), &BTreeMap::new()).unwrap()).unwrap();
        assert!(read.trace.is_empty());
    }

    #[test]
    fn a_registration_without_a_token_is_read_back() {
        let mut tokenless = message();
        (tokenless.v, tokenless.sealed_token) = (TOKENLESS_VERSION, None);
        tokenless.registration.token_expires_at = None;
        let file = encode(&tokenless, &BTreeMap::new()).unwrap();
        assert_eq!(decode(&file).unwrap().message, tokenless);
    }

    #[test]
    fn no_cut_and_no_changed_byte_goes_unnoticed() {
        let file = encode(&message(), &BTreeMap::new()).unwrap();
        for length in 0..file.len() {
            assert!(decode(&file[..length]).is_err(), "cut to {length}");
        }
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_err(), "changed at {at}");
        }
        let longer = [file.as_slice(), b"\n"].concat();
        assert!(matches!(decode(&longer), Err(Unreadable::Checksum)));
    }

    #[test]
    fn a_message_of_another_version_is_not_guessed_at() {
        let newer = RegistrationMessage { v: TOKENLESS_VERSION + 1, ..message() };
        let file = encode(&newer, &BTreeMap::new()).unwrap();
        assert!(matches!(decode(&file), Err(Unreadable::Content)));
    }
}
