//! The messages that the stages send one another over the broker.
//!
//! Invariant: a message holds ids and sealed text, never personal data in clear and never a token
//! after the first hop. A message of an unknown version is parked, not guessed at.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::broker::Outgoing;
use crate::domain::{AnswerKind, AttemptId, Cause, Reason, RecordId, Registration, RegistrationNumber};

/// The version that this release writes, and the only one that it reads.
pub const MESSAGE_VERSION: u16 = 1;

/// A message between stages: JSON with its version in `v`.
pub trait Message: Serialize + DeserializeOwned {
    /// AMQP `type`.
    const KIND: &'static str;

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

    /// Reads a message of [`MESSAGE_VERSION`]. The version is read before the rest, because a
    /// message of a newer release may have another shape and is not malformed.
    ///
    /// # Errors
    /// The cause to park the message for: [`Cause::Malformed`] or [`Cause::UnknownVersion`].
    fn read(body: &[u8]) -> Result<Self, Cause> {
        let Version { v } = serde_json::from_slice(body).map_err(|_| Cause::Malformed)?;
        if v != MESSAGE_VERSION {
            return Err(Cause::UnknownVersion);
        }
        serde_json::from_slice(body).map_err(|_| Cause::Malformed)
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
    /// The record token (JWT), sealed for this record and the field `token`.
    pub sealed_token: String,
}

/// record stage → send stage: the request of this attempt is due to be sent to the ID system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMessage {
    pub v: u16,
    pub record: RecordId,
    pub attempt: AttemptId,
}

/// resolve stage → confirmer: the answer of this attempt is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeMessage {
    pub v: u16,
    pub record: RecordId,
    pub attempt: AttemptId,
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
    fn a_newer_version_is_told_from_a_broken_message() {
        let newer = br#"{"v":2,"record":"r","attempt":"00000000-0000-5000-8000-000000000000"}"#;
        for (body, cause) in
            [(&newer[..], Cause::UnknownVersion), (b"{}", Cause::Malformed), (b"?", Cause::Malformed)]
        {
            assert_eq!(OutcomeMessage::read(body), Err(cause));
        }
        // A newer registration is recognised by its version alone, whatever its shape.
        assert_eq!(RegistrationMessage::read(br#"{"v":2}"#), Err(Cause::UnknownVersion));
        assert_eq!(RegistrationMessage::read(br#"{"v":1}"#), Err(Cause::Malformed));
    }
}
