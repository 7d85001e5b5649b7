//! What a simulated ID system saw and sent.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reply::Final;

/// The ways in which a vendor may misbehave, apart from invalid replies.
const MISBEHAVIOURS: [&str; 7] =
    ["retry", "pending", "duplicate", "late", "at_once", "contradiction", "id_of_another"];

/// What the ID system saw and sent so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NidState {
    /// Requests, including repeats.
    pub requests: u64,
    /// Requests for a submission that was seen before.
    pub repeats: u64,
    /// Requests that could not be read.
    pub malformed: u64,
    /// Distinct request ids, which to an ID system are distinct persons.
    pub persons: u64,
    /// Registration numbers that came under two request ids: the bridge made two persons out of
    /// one.
    pub persons_doubled: u64,
    /// Repeats of a submission with other content, which the contract forbids.
    pub changed_repeats: u64,
    /// Request ids for which two different IDs were issued.
    pub ids_doubled: u64,
    /// How often the vendor planned to misbehave, in each way: `late`, `duplicate`,
    /// `garbage.huge`, … The ways of `MISBEHAVIOURS` are there even if their count is 0.
    pub misbehaved: BTreeMap<String, u64>,
    /// Replies that the broker confirmed.
    pub published: u64,
    /// The final answer to the newest answered submission, by request id.
    pub finals: BTreeMap<String, Final>,
    /// The first final answer, by request id and submission.
    pub answers: BTreeMap<String, BTreeMap<u64, Final>>,
    /// What was asked, by request id and submission: the members `registration`, `subject` and
    /// `parents` of the first request.
    pub contents: BTreeMap<String, BTreeMap<u64, Value>>,
    /// The registration number with which a request came first, by request id.
    pub numbers: BTreeMap<String, String>,
    /// The first ID that was sent, by request id.
    pub issued: BTreeMap<String, String>,
}

impl NidState {
    pub(super) fn new() -> Self {
        Self { misbehaved: MISBEHAVIOURS.map(|way| (way.to_owned(), 0)).into(), ..Self::default() }
    }

    pub(super) fn count(&mut self, way: impl Into<String>) {
        *self.misbehaved.entry(way.into()).or_default() += 1;
    }

    /// Number of requests that ended with this status: `issued`, `recorded` or `rejected`.
    pub fn ended(&self, status: &str) -> usize {
        self.finals.values().filter(|answer| answer.status() == status).count()
    }

    /// The request ids whose newest submission was rejected.
    pub fn rejected(&self) -> impl Iterator<Item = &str> {
        let rejected = self.finals.iter().filter(|(_, answer)| matches!(answer, Final::Rejected(_)));
        rejected.map(|(id, _)| id.as_str())
    }
}
