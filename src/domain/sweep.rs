//! The rules of the sweeper: which attempts are overdue, and how many of their messages are
//! published again.
//!
//! Invariant: the sweeper publishes at most as many messages as the queues are missing, so it never
//! adds to a backlog.

use std::time::Duration;

use jiff::Timestamp;

use super::attempt::State;

/// Where the one message of an open attempt should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// In a queue of ours, on its way to the confirmer.
    Outcome,
    /// In a queue of ours, on its way to *send*.
    Request,
    /// With the ID system, which owes the reply.
    Reply,
}

impl Lane {
    /// Every lane; the one nearest to the end of an attempt comes first.
    pub const ALL: [Self; 3] = [Self::Outcome, Self::Request, Self::Reply];

    /// The name in the ledger's queries and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Request => "request",
            Self::Reply => "reply",
        }
    }

    /// The lane of an attempt in this state, or `None` if the attempt is not open. `published_at`
    /// is the time at which its message was last published, `sent_at` the time at which the ID
    /// system's queue last accepted its request.
    pub fn of(state: State, published_at: Option<Timestamp>, sent_at: Option<Timestamp>) -> Option<Self> {
        match state {
            State::Answered => Some(Self::Outcome),
            // If the message was published after the request was sent, the ID system is to be asked
            // again and the message is in our own queue, so the next arm applies.
            State::Requested if sent_at.is_some() && sent_at >= published_at => Some(Self::Reply),
            State::Received | State::Requested => Some(Self::Request),
            State::Confirmed
            | State::Rejected
            | State::Superseded
            | State::Withdrawn
            | State::Held
            | State::Expired
            | State::Closed
            | State::Parked => None,
        }
    }
}

/// How long an attempt may go without activity before its message is published again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a message in our own queues. Longer than the longest delay, so that a delayed message is
    /// not published twice.
    pub queued: Duration,
    /// For a reply of the ID system.
    pub asked: Duration,
}

impl Patience {
    pub fn of(&self, lane: Lane) -> Duration {
        match lane {
            Lane::Outcome | Lane::Request => self.queued,
            Lane::Reply => self.asked,
        }
    }

    /// Whether an attempt with its last activity at `last` is overdue.
    pub fn is_over(&self, lane: Lane, last: Timestamp, now: Timestamp) -> bool {
        // If the clock was set back, the silence is negative and nothing is overdue.
        Duration::try_from(now.duration_since(last)).is_ok_and(|silence| silence >= self.of(lane))
    }
}

/// How many of a lane's `due` attempts may be published again. Each of the lane's `open` attempts
/// should have a message, the queues hold `queued` messages, and this sweep may publish `left`
/// more.
///
/// During an outage every open attempt still has its message, so nothing is published, however long
/// the outage lasts.
pub fn republish_limit(open: u64, queued: u64, due: usize, left: usize) -> usize {
    let gone = usize::try_from(open.saturating_sub(queued)).unwrap_or(usize::MAX);
    gone.min(due).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn every_open_state_has_a_lane_and_no_other() {
        for state in State::ALL {
            assert_eq!(Lane::of(state, None, None).is_some(), state.is_open(), "{state:?}");
        }
    }

    #[test]
    fn a_request_is_with_the_id_system_until_it_is_published_again() {
        let lane = |published: Option<i64>, sent: Option<i64>| {
            Lane::of(State::Requested, published.map(at), sent.map(at))
        };
        assert_eq!(lane(Some(1), None), Some(Lane::Request), "it was never sent");
        assert_eq!(lane(Some(2), Some(2)), Some(Lane::Reply));
        assert_eq!(lane(Some(3), Some(2)), Some(Lane::Request), "it is to be asked again");
    }

    #[test]
    fn an_attempt_is_overdue_once_the_limit_of_its_lane_has_passed() {
        let patience = Patience { queued: Duration::from_secs(60), asked: Duration::from_secs(600) };
        for (lane, limit) in [(Lane::Outcome, 60), (Lane::Request, 60), (Lane::Reply, 600)] {
            assert!(!patience.is_over(lane, at(0), at(limit - 1)), "{lane:?}");
            assert!(patience.is_over(lane, at(0), at(limit)), "{lane:?}");
            assert!(!patience.is_over(lane, at(limit * 2), at(0)), "{lane:?}: a clock that was set back");
        }
    }

    #[test]
    fn no_more_is_published_again_than_is_missing() {
        assert_eq!(republish_limit(1_000, 1_000, 1_000, 500), 0, "an outage: everything still waits");
        assert_eq!(republish_limit(1_000, 0, 1_000, 500), 500, "a broker that lost all messages");
        assert_eq!(republish_limit(20, 10, 10, 500), 10, "ten of twenty messages lost");
        assert_eq!(republish_limit(20, 0, 3, 500), 3, "fewer are due than are missing");
        assert_eq!(republish_limit(3, 900, 3, 500), 0, "more messages than attempts");
    }

    #[test]
    fn each_lane_has_its_name_in_the_ledger() {
        assert_eq!(Lane::ALL.map(Lane::as_str), ["outcome", "request", "reply"]);
    }
}
