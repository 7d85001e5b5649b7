//! What a simulated ID system saw and sent.

use std::collections::BTreeMap;

use super::reply::Final;

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
    /// `retry` replies that were planned.
    pub retries_sent: u64,
    /// `pending` replies that were planned.
    pub pending_sent: u64,
    /// Final answers that were planned a second time.
    pub duplicates_sent: u64,
    /// Final answers that were planned late.
    pub late_sent: u64,
    /// Final answers that were planned without any latency.
    pub at_once_sent: u64,
    /// Second, different final answers that were planned, not counting [`NidState::garbage_sent`].
    pub contradictions_sent: u64,
    /// Replies with another person's ID that were planned, not counting [`NidState::garbage_sent`].
    pub mistakes_sent: u64,
    /// Replies that the broker confirmed.
    pub published: u64,
    /// Useless replies that were planned, by kind.
    pub garbage_sent: BTreeMap<&'static str, u64>,
    /// The final answer to the newest answered submission, by request id.
    pub finals: BTreeMap<String, Final>,
    /// The first final answer, by request id and submission.
    pub answers: BTreeMap<String, BTreeMap<u64, Final>>,
}

impl NidState {
    /// How often the vendor misbehaved in each way: `late`, `duplicate`, `garbage.huge`, …
    pub fn misbehaved(&self) -> BTreeMap<String, u64> {
        let garbage = self.garbage_sent.iter().map(|(kind, times)| (format!("garbage.{kind}"), *times));
        [
            ("retry", self.retries_sent),
            ("pending", self.pending_sent),
            ("duplicate", self.duplicates_sent),
            ("late", self.late_sent),
            ("at_once", self.at_once_sent),
            ("contradiction", self.contradictions_sent),
            ("id_of_another", self.mistakes_sent),
        ]
        .into_iter()
        .map(|(what, times)| (what.to_owned(), times))
        .chain(garbage)
        .collect()
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
