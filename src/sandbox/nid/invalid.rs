//! Invalid replies that a faulty vendor sends beside the genuine answer.
//!
//! Invariant: an invalid reply never changes how a registration ends. A reply that contradicts an
//! answer is sent well after it, because the first final answer wins.

use clap::ValueEnum;
use serde_json::json;
use uuid::Uuid;

use super::reply::{Final, Message, Replies, data, event};
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

    /// Builds the message. `another` is an ID that was issued for another request.
    pub(super) fn build(
        self,
        to: &Replies<'_>,
        answer: &Final,
        another: Option<&str>,
        huge: usize,
    ) -> Message {
        let (id, submission) = (&to.request.id, to.request.submission);
        let with_status = |status| json!({"request_id": id, "submission": submission, "status": status});
        let code = if *answer == Final::Rejected("policy") { "other" } else { "policy" };
        let contradiction = Final::Rejected(code);
        let made = match self {
            Self::NotJson => return (Uuid::new_v4().to_string(), b"{\"status\": issued".to_vec()),
            Self::UnknownRequest => data(&Uuid::new_v4().to_string(), submission, answer),
            Self::UnknownStatus => with_status("maybe"),
            Self::WrongSubmission => data(id, submission + 7, &Final::Rejected("policy")),
            Self::IssuedWithoutId => with_status("issued"),
            Self::Contradiction => data(id, submission, &contradiction),
            Self::IdOfAnother => {
                let another = another.map(|another| Final::Issued(another.to_owned()));
                data(id, submission, &another.unwrap_or(contradiction))
            }
            Self::Huge => with(data(id, submission, answer), json!({"remark": "x".repeat(huge)})),
        };
        event(&made, to.now)
    }
}
