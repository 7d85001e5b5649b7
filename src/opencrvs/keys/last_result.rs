//! The result of the last fetch of auth's key, and what it still says some time after its end.
//!
//! Invariant: a limit ends at its exact instant.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::KeyFault;

/// How long a fetch that brought no key counts as an outage of auth, in multiples of `refetch`. A
/// delivery that waits for a fetch is delayed by one `refetch`, so it still finds the result.
const NO_KEY_FOR: u32 = 3;

/// The end of the last fetch, whether or not it brought a key.
#[derive(Clone, Copy)]
pub(super) struct LastResult {
    pub(super) begun_at: Timestamp,
    pub(super) ended: Instant,
    pub(super) fault: Option<KeyFault>,
}

impl LastResult {
    pub(super) fn brought_key(&self) -> bool {
        self.fault.is_none()
    }

    /// Whether the fetch brought a key that is good enough at this age.
    pub(super) fn has_recent_key(&self, age: Duration, refetch: Duration) -> bool {
        self.brought_key() && age < refetch
    }

    /// Whether the fetch brought no key, and still counts as an outage of auth at this age.
    pub(super) fn is_outage(&self, age: Duration, refetch: Duration) -> bool {
        !self.brought_key() && age < refetch * NO_KEY_FOR
    }

    /// Whether a key that is newer than the fetched one may have signed a token of this time.
    pub(super) fn may_be_too_old_for(&self, issued: Timestamp, refetch: Duration) -> bool {
        issued + refetch > self.begun_at
    }
}

/// Whether a call that arrived then needs a new fetch: there was none yet, or the last one began
/// before.
pub(super) fn began_before(last_fetch: Option<Instant>, arrived: Instant) -> bool {
    last_fetch.is_none_or(|begun| begun < arrived)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFETCH: Duration = Duration::from_secs(20);
    const TICK: Duration = Duration::from_nanos(1);

    fn ended(fault: Option<KeyFault>) -> LastResult {
        LastResult { begun_at: Timestamp::UNIX_EPOCH, ended: Instant::now(), fault }
    }

    #[test]
    fn a_key_is_recent_for_one_interval_and_an_outage_lasts_three() {
        let (key, none) = (ended(None), ended(Some(KeyFault::NoAnswer)));
        assert!(key.has_recent_key(REFETCH - TICK, REFETCH) && !key.has_recent_key(REFETCH, REFETCH));
        assert!(!none.has_recent_key(Duration::ZERO, REFETCH) && !key.is_outage(Duration::ZERO, REFETCH));
        assert!(none.is_outage(REFETCH * 3 - TICK, REFETCH) && !none.is_outage(REFETCH * 3, REFETCH));
    }

    #[test]
    fn a_token_may_have_a_newer_key_if_it_is_less_than_an_interval_older_than_the_fetch() {
        let last = LastResult { begun_at: Timestamp::from_second(1_000).unwrap(), ..ended(None) };
        for (issued, expected) in [(979, false), (980, false), (981, true), (1_000, true), (2_000, true)] {
            let issued = Timestamp::from_second(issued).unwrap();
            assert_eq!(last.may_be_too_old_for(issued, REFETCH), expected, "{issued}");
        }
    }

    #[test]
    fn a_fetch_that_began_when_a_call_arrived_is_new_enough_for_it() {
        let arrived = Instant::now();
        assert!(began_before(None, arrived) && began_before(Some(arrived), arrived + TICK));
        assert!(!began_before(Some(arrived), arrived) && !began_before(Some(arrived + TICK), arrived));
    }
}
