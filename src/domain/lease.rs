//! Who may write a record to OpenCRVS, and when. The rules are about the newest attempt, the lease,
//! the fence, the intent and the quarantine.
//!
//! Invariant: the ledger calls these functions in the transaction that applies the result. Its SQL
//! guards that transaction but decides nothing. All times are read from the ledger's clock.

use std::time::Duration;

use jiff::Timestamp;

use super::attempt::{Event, State};

/// Whether an attempt submitted at `stamp` supersedes the record's newest attempt so far.
pub fn supersedes(stamp: Timestamp, newest: Option<Timestamp>) -> bool {
    newest.is_none_or(|newest| stamp > newest)
}

/// The latest lease on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseState {
    /// The fencing token: counts the leases of this record.
    pub fence: i64,
    /// When the latest lease ends or ended.
    pub until: Timestamp,
}

impl LeaseState {
    /// Whether the record may be leased: the latest lease has ended.
    pub fn may_lease(&self, now: Timestamp) -> bool {
        self.until <= now
    }

    /// Whether `fence` belongs to the latest lease. The owner of the latest lease may record how
    /// its work ended even after the lease has ended, because nobody else has begun to work on the
    /// record.
    pub fn is_last(&self, fence: i64) -> bool {
        self.fence == fence
    }
}

/// What a write intent depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntentCheck {
    pub lease: LeaseState,
    /// Whether the attempt is the record's newest.
    pub newest: bool,
    pub state: State,
}

/// Whether the owner of the lease with `fence` may commit the intent to write: only while its lease
/// is the latest one and has not ended, and only for the record's newest attempt, in state
/// *answered*.
pub fn may_intend(check: &IntentCheck, fence: i64, now: Timestamp) -> bool {
    check.lease.is_last(fence) && check.lease.until > now && check.newest && check.state == State::Answered
}

/// Whether the owner of the lease with `fence` may record `event`.
///
/// A confirmation may be recorded under any lease: OpenCRVS has registered the attempt, whoever has
/// the lease now. Every other event was concluded from a read that may be out of date, because
/// another confirmer may be writing by now.
pub fn may_finish(lease: &LeaseState, fence: i64, event: Event) -> bool {
    event == Event::Confirm || lease.is_last(fence)
}

/// Whether `event` also tells how an earlier write ended. An attempt may be parked because OpenCRVS
/// could not be read, so its intent stays: an operator must not exchange the answer then.
pub fn settles_intent(event: Event) -> bool {
    event != Event::Park
}

/// The time left during which a write may still arrive, if its intent was committed at `intended`.
/// `None` if there is no intent or its quarantine is over.
pub fn quarantine_left(
    intended: Option<Timestamp>,
    now: Timestamp,
    quarantine: Duration,
) -> Option<Duration> {
    let age = Duration::try_from(now.duration_since(intended?)).unwrap_or_default();
    let left = quarantine.saturating_sub(age);
    (!left.is_zero()).then_some(left)
}

/// Whether a process without the lease may expire this attempt: only if no lease is active and an
/// earlier write is past its quarantine.
pub fn may_expire(
    lease: &LeaseState,
    intended: Option<Timestamp>,
    now: Timestamp,
    quarantine: Duration,
) -> bool {
    lease.may_lease(now) && quarantine_left(intended, now, quarantine).is_none()
}

/// Whether a process that began to commit its intent `elapsed` ago may still write under its lease
/// of `ttl`. A process that was suspended in between must not write, because another process may
/// have leased the record.
pub fn may_write(elapsed: Duration, ttl: Duration) -> bool {
    elapsed <= ttl / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn only_a_later_submission_takes_the_place_of_the_newest() {
        assert!(supersedes(at(1), None));
        assert!(supersedes(at(2), Some(at(1))));
        assert!(!supersedes(at(1), Some(at(1))));
        assert!(!supersedes(at(1), Some(at(2))));
    }

    #[test]
    fn an_intent_needs_the_lease_and_the_newest_attempt_with_an_answer() {
        let fit = IntentCheck {
            lease: LeaseState { fence: 3, until: at(10) },
            newest: true,
            state: State::Answered,
        };
        assert!(may_intend(&fit, 3, at(9)));
        assert!(!may_intend(&fit, 2, at(9)));
        assert!(!may_intend(&fit, 3, at(10)));
        assert!(!may_intend(&IntentCheck { newest: false, ..fit }, 3, at(9)));
        for state in State::ALL {
            let fits = may_intend(&IntentCheck { state, ..fit }, 3, at(9));
            assert_eq!(fits, state == State::Answered, "{state:?}");
        }
    }

    #[test]
    fn an_old_lease_may_only_record_a_confirmation() {
        let lease = LeaseState { fence: 3, until: at(10) };
        assert!(may_finish(&lease, 3, Event::Park));
        assert!(!may_finish(&lease, 2, Event::Park));
        assert!(may_finish(&lease, 2, Event::Confirm));
    }

    #[test]
    fn an_attempt_that_is_parked_keeps_its_intent() {
        assert!(!settles_intent(Event::Park));
        for event in [Event::Confirm, Event::Reject, Event::Withdraw, Event::Hold, Event::Supersede] {
            assert!(settles_intent(event), "{event:?}");
        }
    }

    #[test]
    fn a_process_without_the_lease_expires_nothing_that_is_leased_or_in_quarantine() {
        let (lease, quarantine) = (LeaseState { fence: 3, until: at(10) }, Duration::from_secs(600));
        assert!(may_expire(&lease, None, at(10), quarantine));
        assert!(!may_expire(&lease, None, at(9), quarantine));
        assert!(!may_expire(&lease, Some(at(0)), at(599), quarantine));
        assert!(may_expire(&lease, Some(at(0)), at(600), quarantine));
    }

    #[test]
    fn the_quarantine_holds_even_if_the_clock_runs_back() {
        let quarantine = Duration::from_secs(600);
        assert_eq!(quarantine_left(None, at(0), quarantine), None);
        assert_eq!(quarantine_left(Some(at(0)), at(1), quarantine), Some(Duration::from_secs(599)));
        assert_eq!(quarantine_left(Some(at(0)), at(600), quarantine), None);
        assert_eq!(quarantine_left(Some(at(9)), at(0), quarantine), Some(quarantine));
    }

    #[test]
    fn a_process_writes_only_in_the_first_half_of_its_lease() {
        let ttl = Duration::from_secs(60);
        assert!(may_write(Duration::from_secs(30), ttl));
        assert!(!may_write(Duration::from_millis(30_001), ttl));
    }
}
