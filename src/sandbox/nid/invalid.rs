//! Invalid replies that a faulty vendor sends beside the genuine answer.
//!
//! Invariant: an invalid reply never changes how a registration ends. A reply that contradicts an
//! answer is sent well after it, because the first final answer wins.

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::reply::{Final, data, event};
use super::request::Request;
use crate::sandbox::json::with;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum InvalidReply {
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

impl InvalidReply {
    /// The name under which the reply is counted.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether the reply is well formed and final, so that it must not come before the genuine
    /// answer.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Contradiction | Self::IdOfAnother)
    }
}

/// What an invalid reply is built from.
pub(super) struct Source<'a> {
    pub(super) request: &'a Request,
    pub(super) answer: &'a Final,
    /// An ID that was issued for another request.
    pub(super) id_of_another: Option<&'a str>,
    pub(super) huge: usize,
    pub(super) now: Timestamp,
}

impl Source<'_> {
    /// Builds the message: its id and its body.
    pub(super) fn build(&self, kind: InvalidReply) -> (String, Vec<u8>) {
        let (id, submission) = (&self.request.id, self.request.submission);
        let with_status = |status| json!({"request_id": id, "submission": submission, "status": status});
        let code = if *self.answer == Final::Rejected("policy") { "other" } else { "policy" };
        let contradiction = Final::Rejected(code);
        let made = match kind {
            InvalidReply::NotJson => return (Uuid::new_v4().to_string(), b"{\"status\": issued".to_vec()),
            InvalidReply::UnknownRequest => data(&Uuid::new_v4().to_string(), submission, self.answer),
            InvalidReply::UnknownStatus => with_status("maybe"),
            InvalidReply::WrongSubmission => data(id, submission + 7, &Final::Rejected("policy")),
            InvalidReply::IssuedWithoutId => with_status("issued"),
            InvalidReply::Contradiction => data(id, submission, &contradiction),
            InvalidReply::IdOfAnother => {
                let another = self.id_of_another.map(|another| Final::Issued(another.to_owned()));
                data(id, submission, &another.unwrap_or(contradiction))
            }
            InvalidReply::Huge => {
                with(data(id, submission, self.answer), json!({"remark": "x".repeat(self.huge)}))
            }
        };
        event(&made, self.now)
    }
}
