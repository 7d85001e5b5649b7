//! How the times at which tokens were issued (claim `iat`) compare with our clock.
//!
//! Invariant: only a token that auth's key verifies counts, so no stranger can feign a wrong clock.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// The last verified token that was issued in the future.
#[derive(Debug, Default)]
pub(super) struct IssueTimes(Mutex<Option<SignedDuration>>);

impl IssueTimes {
    /// A token that was issued earlier says nothing: it may have been on its way for long.
    pub(super) fn observe(&self, issued: Timestamp, now: Timestamp) {
        let lead = now.duration_since(issued);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = lead.is_negative().then_some(lead);
    }

    pub(super) fn lead(&self) -> Option<SignedDuration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_from_the_future_shows_that_our_clock_is_behind_until_the_next_token() {
        let times = IssueTimes::default();
        let now: Timestamp = "2026-09-05T10:00:00Z".parse().unwrap();
        let minute = SignedDuration::from_mins(1);
        assert_eq!(times.lead(), None);
        times.observe(now + minute, now);
        assert_eq!(times.lead(), Some(-minute));
        times.observe(now - minute, now);
        assert_eq!(times.lead(), None);
    }
}
