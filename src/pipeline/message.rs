//! What the stages say to one another over the broker.
//!
//! Invariant: a message holds ids and sealed text, never personal data in clear and never a token after the first
//! hop. An unknown version is parked, not guessed at.

use serde::{Deserialize, Serialize};

use crate::domain::AnswerKind;
use crate::domain::{AttemptId, Reason, RecordId, Registration, RegistrationNumber};

/// The version that is written, and the only one that is read.
pub const MESSAGE_VERSION: u16 = 1;

/// front → record: a registration that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationMessage {
    /// [`MESSAGE_VERSION`].
    pub v: u16,
    /// What was accepted.
    pub registration: Registration,
    /// The view (JSON), sealed for record and field `view`.
    pub sealed_view: String,
    /// The record token (JWT), sealed for record and field `token`.
    pub sealed_token: String,
}

/// record → send: this attempt's request is to go to the ID system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMessage {
    /// [`MESSAGE_VERSION`].
    pub v: u16,
    /// The record.
    pub record: RecordId,
    /// The attempt to send.
    pub attempt: AttemptId,
}

/// resolve → confirmer: this attempt has its answer in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeMessage {
    /// [`MESSAGE_VERSION`].
    pub v: u16,
    /// The record.
    pub record: RecordId,
    /// The attempt that was answered.
    pub attempt: AttemptId,
}

/// resolve → the front whose caller waits: a copy of the answer. That it is lost costs nothing but time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerMessage {
    /// [`MESSAGE_VERSION`].
    pub v: u16,
    /// The record.
    pub record: RecordId,
    /// The attempt that was answered.
    pub attempt: AttemptId,
    /// The number under which it is registered.
    pub number: RegistrationNumber,
    /// The answer's kind.
    pub answer: AnswerKind,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The issued ID, sealed for the record and field `national_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_id: Option<String>,
}
