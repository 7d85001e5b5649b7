//! The messages that the stages send one another over the broker.
//!
//! Invariant: a message holds ids and sealed text, never personal data or a token in clear. A
//! message of an unknown version is parked, not guessed at.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::broker::Outgoing;
use crate::domain::{AnswerKind, AttemptId, Cause, Reason, RecordId, Registration, RegistrationNumber};

/// The version of every message, except for a registration without a token.
pub const MESSAGE_VERSION: u16 = 1;
/// The version of a registration without a token. A release that knows only [`MESSAGE_VERSION`]
/// parks it as [`Cause::UnknownVersion`].
pub const TOKENLESS_VERSION: u16 = 2;

/// A message between stages: JSON with its version in `v`.
pub trait Message: Serialize + DeserializeOwned {
    /// AMQP `type`.
    const KIND: &'static str;
    /// The versions that this release reads.
    const VERSIONS: &'static [u16] = &[MESSAGE_VERSION];

    /// Whether the content is what the version says.
    fn is_of_its_version(&self) -> bool {
        true
    }

    /// The message to publish. Its id is the id of the attempt, so that a repeat is recognised.
    ///
    /// # Errors
    /// When the message cannot be written as JSON.
    fn outgoing(&self, attempt: AttemptId, record: &RecordId) -> Result<Outgoing, serde_json::Error> {
        Ok(Outgoing {
            id: attempt.to_string(),
            kind: Self::KIND,
            content_type: "application/json",
            correlation_id: Some(record.to_string()),
            headers: BTreeMap::new(),
            body: serde_json::to_vec(self)?,
        })
    }

    /// Reads a message of one of [`Message::VERSIONS`]. The version is read before the rest,
    /// because a message of a newer release may have another shape and is not malformed.
    ///
    /// # Errors
    /// The cause to park the message for: [`Cause::Malformed`] or [`Cause::UnknownVersion`].
    fn read(body: &[u8]) -> Result<Self, Cause> {
        let Version { v } = serde_json::from_slice(body).map_err(|_| Cause::Malformed)?;
        if !Self::VERSIONS.contains(&v) {
            return Err(Cause::UnknownVersion);
        }
        let message: Self = serde_json::from_slice(body).map_err(|_| Cause::Malformed)?;
        if message.is_of_its_version() { Ok(message) } else { Err(Cause::Malformed) }
    }
}

#[derive(Deserialize)]
struct Version {
    v: u16,
}

/// front → record stage: a registration that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationMessage {
    pub v: u16,
    pub registration: Registration,
    /// The view (JSON), sealed for this record and the field `view`.
    pub sealed_view: String,
    /// The token (JWT) that can answer the registration, sealed for this record and the field
    /// `token`. `None` if the registration came with a service token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_token: Option<String>,
}

impl RegistrationMessage {
    /// Makes the message, in the version that its content needs.
    pub fn new(registration: Registration, sealed_view: String, sealed_token: Option<String>) -> Self {
        let v = if sealed_token.is_some() { MESSAGE_VERSION } else { TOKENLESS_VERSION };
        Self { v, registration, sealed_view, sealed_token }
    }
}

/// record stage → send stage: the request of this attempt is due to be sent to the ID system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMessage {
    pub v: u16,
    pub record: RecordId,
    pub attempt: AttemptId,
    /// The registration, from which the record stage can take the attempt in again if an older
    /// ledger was restored that does not have it. `None` from an older release, and after the
    /// sealed values were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<RegistrationMessage>>,
}

/// resolve stage → confirmer: the answer of this attempt is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeMessage {
    pub v: u16,
    pub record: RecordId,
    pub attempt: AttemptId,
    /// As [`RequestMessage::kept`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<RegistrationMessage>>,
}

/// resolve stage → the front whose caller waits: a copy of the answer. A lost copy costs only time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerMessage {
    pub v: u16,
    pub record: RecordId,
    pub attempt: AttemptId,
    pub number: RegistrationNumber,
    pub answer: AnswerKind,
    /// Why the registration was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The issued ID, sealed for this record and the field `national_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_id: Option<String>,
}

impl Message for RegistrationMessage {
    const KIND: &'static str = "registration.v1";
    const VERSIONS: &'static [u16] = &[MESSAGE_VERSION, TOKENLESS_VERSION];

    fn is_of_its_version(&self) -> bool {
        let has_token = self.v == MESSAGE_VERSION;
        self.sealed_token.is_some() == has_token && self.registration.token_expires_at.is_some() == has_token
    }
}

impl Message for RequestMessage {
    const KIND: &'static str = "request.v1";
}

impl Message for OutcomeMessage {
    const KIND: &'static str = "outcome.v1";
}

impl Message for AnswerMessage {
    const KIND: &'static str = "answer.v1";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_distinguished_from_a_malformed_message() {
        let newer = br#"{"v":2,"record":"r","attempt":"00000000-0000-5000-8000-000000000000"}"#;
        for (body, cause) in
            [(&newer[..], Cause::UnknownVersion), (b"{}", Cause::Malformed), (b"?", Cause::Malformed)]
        {
            assert_eq!(OutcomeMessage::read(body), Err(cause));
        }
        // So are messages of the other kinds.
        assert_eq!(RequestMessage::read(newer), Err(Cause::UnknownVersion));
        for odd in [&br#"{"v":0}"#[..], br#"{"v":3}"#, br#"{"v":65535}"#] {
            assert_eq!(AnswerMessage::read(odd), Err(Cause::UnknownVersion));
            assert_eq!(RegistrationMessage::read(odd), Err(Cause::UnknownVersion));
        }
        // A newer registration is recognised by its version alone, whatever its shape.
        assert_eq!(RegistrationMessage::read(br#"{"v":3}"#), Err(Cause::UnknownVersion));
        for known in [br#"{"v":1}"#, br#"{"v":2}"#] {
            assert_eq!(RegistrationMessage::read(known), Err(Cause::Malformed));
        }
    }

    fn registration(v: u16, expiry: &str, token: &str) -> String {
        format!(
            r#"{{"v":{v},"registration":{{"key":{{"dialect":"events","record":"e","mark":"a","stamp":"2026-01-02T00:00:00Z"}},"kind":"birth","tracking_id":"BXXDBIC","office":null,"accepted_at":"2026-01-02T00:00:01Z"{expiry}}},"sealed_view":"v1.a.x"{token}}}"#
        )
    }

    const EXPIRY: &str = r#","token_expires_at":"2026-01-09T00:00:00Z""#;
    const TOKEN: &str = r#","sealed_token":"v1.a.y""#;

    #[test]
    fn a_registration_with_a_token_is_written_as_before_and_one_without_has_the_next_version() {
        for (v, expiry, token) in [(1, EXPIRY, TOKEN), (2, "", "")] {
            let text = registration(v, expiry, token);
            let read = RegistrationMessage::read(text.as_bytes()).unwrap();
            let RegistrationMessage { registration, sealed_view, sealed_token, .. } = read.clone();
            assert_eq!(RegistrationMessage::new(registration, sealed_view, sealed_token), read);
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }

    #[test]
    fn a_registration_whose_content_is_of_another_version_is_malformed() {
        for (v, expiry, token) in
            [(1, "", ""), (1, EXPIRY, ""), (1, "", TOKEN), (2, EXPIRY, TOKEN), (2, "", TOKEN)]
        {
            let text = registration(v, expiry, token);
            assert_eq!(RegistrationMessage::read(text.as_bytes()), Err(Cause::Malformed), "{text}");
        }
    }
}
