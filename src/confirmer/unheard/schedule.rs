//! Decides which of the events in a search result are read now.
//!
//! Invariant: an event that stays in the result is read with pauses that double up to [`LONGEST`].
//! An event that is absent from a whole search is forgotten, so that its next registration is read
//! at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::RecordId;

/// Longest pause between two reads of the same event.
const LONGEST: Duration = Duration::from_secs(6 * 3_600);

pub(super) struct ReadSchedule {
    events: HashMap<RecordId, NextRead>,
    first_pause: Duration,
    /// Number of the current search.
    search: u64,
}

struct NextRead {
    due: Instant,
    /// The pause that ends when it is due.
    pause: Duration,
    /// Number of the last search that showed the event.
    seen: u64,
}

impl ReadSchedule {
    pub(super) fn new(first_pause: Duration) -> Self {
        Self { events: HashMap::new(), first_pause, search: 0 }
    }

    pub(super) fn begin_search(&mut self) {
        self.search += 1;
    }

    pub(super) fn has(&self, record: &RecordId) -> bool {
        self.events.contains_key(record)
    }

    /// Notes that the current search shows the event, and returns whether to read it now.
    pub(super) fn is_due(&mut self, record: &RecordId, now: Instant) -> bool {
        match self.events.get_mut(record) {
            None => true,
            Some(next) => {
                next.seen = self.search;
                next.due <= now
            }
        }
    }

    /// Schedules the next read of the event after the next pause.
    pub(super) fn mark_read(&mut self, record: &RecordId, now: Instant) {
        let pause = self.events.get(record).map_or(self.first_pause, |next| (next.pause * 2).min(LONGEST));
        let next = NextRead { due: now + pause, pause, seen: self.search };
        self.events.insert(record.clone(), next);
    }

    /// Forgets the events that the current search did not show. To be called when it is complete.
    pub(super) fn forget_absent(&mut self) {
        let search = self.search;
        self.events.retain(|_, next| next.seen == search);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_event_that_stays_pending_is_read_ever_more_rarely() {
        let (mut schedule, record) = (ReadSchedule::new(MINUTE), RecordId::parse("e").unwrap());
        let mut now = Instant::now();
        schedule.begin_search();
        assert!(schedule.is_due(&record, now));
        for minutes in [1, 2, 4, 8] {
            schedule.mark_read(&record, now);
            assert!(!schedule.is_due(&record, now + MINUTE * minutes - Duration::from_secs(1)));
            now += MINUTE * minutes;
            assert!(schedule.is_due(&record, now));
        }
        for _ in 0..20 {
            schedule.mark_read(&record, now);
        }
        assert!(schedule.is_due(&record, now + LONGEST));
    }

    #[test]
    fn an_event_that_was_absent_is_read_at_once_when_it_comes_back() {
        let (mut schedule, now) = (ReadSchedule::new(MINUTE), Instant::now());
        let [gone, stays] = ["gone", "stays"].map(|id| RecordId::parse(id).unwrap());
        schedule.begin_search();
        schedule.mark_read(&gone, now);
        schedule.mark_read(&stays, now);
        schedule.begin_search();
        assert!(!schedule.is_due(&stays, now));
        schedule.forget_absent();
        assert!(schedule.is_due(&gone, now));
        assert!(!schedule.is_due(&stays, now));
    }
}
