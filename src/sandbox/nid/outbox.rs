//! The vendor's unsent replies.
//!
//! Invariant: the messages for one request are sent one after the other, and a message leaves the
//! outbox only after the broker has confirmed it.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::reply::Planned;

/// The unsent messages of each request, by a number that the outbox gives to the request.
#[derive(Default)]
pub(super) struct Outbox {
    added: u64,
    requests: BTreeMap<u64, Unsent>,
}

struct Unsent {
    due: VecDeque<(Instant, Planned)>,
    /// When the previous message was confirmed.
    last: Option<Instant>,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.requests.values().map(|unsent| unsent.due.len()).sum()
    }

    pub(super) fn requests(&self) -> Vec<u64> {
        self.requests.keys().copied().collect()
    }

    /// Adds the messages for a request; returns its number.
    pub(super) fn add(&mut self, planned: Vec<Planned>, received: Instant) -> u64 {
        self.added += 1;
        let due = planned.into_iter().map(|message| (received + message.after, message)).collect();
        self.requests.insert(self.added, Unsent { due, last: None });
        self.added
    }

    /// The next message for a request, and when it is due. `None` ends the request.
    pub(super) fn next(&mut self, request: u64) -> Option<(Instant, Planned)> {
        let unsent = self.requests.get(&request)?;
        let Some((due, message)) = unsent.due.front() else {
            self.requests.remove(&request);
            return None;
        };
        let apart = unsent.last.map_or(*due, |last| last + message.apart);
        Some((apart.max(*due), message.clone()))
    }

    pub(super) fn sent(&mut self, request: u64) {
        if let Some(unsent) = self.requests.get_mut(&request) {
            unsent.due.pop_front();
            unsent.last = Some(Instant::now());
        }
    }
}
