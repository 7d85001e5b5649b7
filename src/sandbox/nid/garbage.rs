//! Useless replies that a faulty vendor sends beside the genuine answer.
//!
//! Invariant: a useless reply never changes how a registration ends. A reply that contradicts an
//! answer is sent well after it, because the first final answer wins.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::reply::{Final, data, event};
use super::request::Request;
use crate::sandbox::json::with;

/// One kind of useless reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Garbage {
    NotJson,
    /// A reply to a request that was never sent.
    UnknownRequest,
    /// A reply with a status that the contract does not have.
    UnknownStatus,
    /// A reply to a submission that does not exist.
    WrongSubmission,
    /// A reply `issued` without an ID.
    IssuedWithoutId,
    /// A second, different final answer.
    Contradiction,
    /// A reply with an ID that was issued for another request.
    IdOfAnother,
    /// A reply that is larger than the contract allows.
    Huge,
}

impl Garbage {
    pub const ALL: [Self; 8] = [
        Self::NotJson,
        Self::UnknownRequest,
        Self::UnknownStatus,
        Self::WrongSubmission,
        Self::IssuedWithoutId,
        Self::Contradiction,
        Self::IdOfAnother,
        Self::Huge,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::UnknownRequest => "unknown_request",
            Self::UnknownStatus => "unknown_status",
            Self::WrongSubmission => "wrong_submission",
            Self::IssuedWithoutId => "issued_without_id",
            Self::Contradiction => "contradiction",
            Self::IdOfAnother => "id_of_another",
            Self::Huge => "huge",
        }
    }

    /// Whether the reply is well formed and final, so that it must not come before the genuine
    /// answer.
    pub(super) fn comes_after(self) -> bool {
        match self {
            Self::Contradiction | Self::IdOfAnother => true,
            Self::NotJson
            | Self::UnknownRequest
            | Self::UnknownStatus
            | Self::WrongSubmission
            | Self::IssuedWithoutId
            | Self::Huge => false,
        }
    }
}

/// What a useless reply is built from.
pub(super) struct Circumstances<'a> {
    pub(super) request: &'a Request,
    pub(super) answer: &'a Final,
    /// An ID that was issued for another request.
    pub(super) anothers: Option<&'a str>,
    pub(super) huge: usize,
    pub(super) now: Timestamp,
}

impl Circumstances<'_> {
    /// Builds the message: its id and its body.
    pub(super) fn make(&self, garbage: Garbage) -> (String, Vec<u8>) {
        let (id, submission) = (&self.request.id, self.request.submission);
        let contradiction = || data(id, submission, &self.opposite());
        let made = match garbage {
            Garbage::NotJson => return (Uuid::new_v4().to_string(), b"{\"status\": issued".to_vec()),
            Garbage::UnknownRequest => data(&Uuid::new_v4().to_string(), submission, self.answer),
            Garbage::UnknownStatus => json!({"request_id": id, "submission": submission, "status": "maybe"}),
            Garbage::WrongSubmission => data(id, submission + 7, &Final::Rejected("policy")),
            Garbage::IssuedWithoutId => {
                json!({"request_id": id, "submission": submission, "status": "issued"})
            }
            Garbage::Contradiction => contradiction(),
            Garbage::IdOfAnother => match self.anothers {
                Some(anothers) => data(id, submission, &Final::Issued(anothers.to_owned())),
                None => contradiction(),
            },
            Garbage::Huge => self.padded(),
        };
        event(&made, self.now)
    }

    fn opposite(&self) -> Final {
        match self.answer {
            Final::Rejected("policy") => Final::Rejected("other"),
            Final::Issued(_) | Final::Recorded | Final::Rejected(_) => Final::Rejected("policy"),
        }
    }

    fn padded(&self) -> Value {
        let reply = data(&self.request.id, self.request.submission, self.answer);
        with(reply, json!({"remark": "x".repeat(self.huge)}))
    }
}
