//! Remembers which events were read, and when each may be read again.
//!
//! Invariant: an event that stays pending is read with pauses that double up to [`LONGEST`]. An event
//! that was absent from a whole search is forgotten, so that its next registration is read at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::RecordId;

/// Longest pause between two reads of the same event.
const LONGEST: Duration = Duration::from_secs(6 * 3_600);

pub(super) struct Looked {
    events: HashMap<RecordId, Look>,
    /// The first pause.
    first: Duration,
    /// Number of the search.
    search: u64,
}

struct Look {
    due: Instant,
    pause: Duration,
    /// The last search in which the event was pending.
    seen: u64,
}

impl Looked {
    pub(super) fn new(first: Duration) -> Self {
        Self { events: HashMap::new(), first, search: 0 }
    }

    /// A search begins.
    pub(super) fn begin(&mut self) {
        self.search += 1;
    }

    pub(super) fn has(&self, record: &RecordId) -> bool {
        self.events.contains_key(record)
    }

    /// Notes that the search shows the event, and returns whether it is to be read.
    pub(super) fn is_due(&mut self, record: &RecordId, now: Instant) -> bool {
        match self.events.get_mut(record) {
            None => true,
            Some(look) => {
                look.seen = self.search;
                look.due <= now
            }
        }
    }

    /// The event was read.
    pub(super) fn remember(&mut self, record: &RecordId, now: Instant) {
        let pause = self.events.get(record).map_or(self.first, |look| (look.pause * 2).min(LONGEST));
        let look = Look { due: now + pause, pause, seen: self.search };
        self.events.insert(record.clone(), look);
    }

    /// A search came to its end.
    pub(super) fn forget_absent(&mut self) {
        let search = self.search;
        self.events.retain(|_, look| look.seen == search);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_event_that_stays_pending_is_read_ever_more_rarely() {
        let (mut looked, record) = (Looked::new(MINUTE), RecordId::parse("e").unwrap());
        let mut now = Instant::now();
        looked.begin();
        assert!(looked.is_due(&record, now));
        for minutes in [1, 2, 4, 8] {
            looked.remember(&record, now);
            assert!(!looked.is_due(&record, now + MINUTE * minutes - Duration::from_secs(1)));
            now += MINUTE * minutes;
            assert!(looked.is_due(&record, now));
        }
        for _ in 0..20 {
            looked.remember(&record, now);
        }
        assert!(looked.is_due(&record, now + LONGEST));
    }

    #[test]
    fn an_event_that_was_absent_is_read_at_once_when_it_comes_back() {
        let (mut looked, now) = (Looked::new(MINUTE), Instant::now());
        let [gone, stays] = ["gone", "stays"].map(|id| RecordId::parse(id).unwrap());
        looked.begin();
        looked.remember(&gone, now);
        looked.remember(&stays, now);
        looked.begin();
        assert!(!looked.is_due(&stays, now));
        looked.forget_absent();
        assert!(looked.is_due(&gone, now));
        assert!(!looked.is_due(&stays, now));
    }
}
