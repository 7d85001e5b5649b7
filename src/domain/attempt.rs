//! The life of an attempt: which state follows which event.
//!
//! Invariant: only [`next`] decides which transitions are legal. The ledger applies its result by
//! compare-and-set and never moves an attempt by itself.

use serde::{Deserialize, Serialize};

/// The state of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In the ledger; the ID system has not been asked yet.
    Received,
    /// The ID system has been asked.
    Requested,
    /// The answer is in the ledger; OpenCRVS has not been told yet.
    Answered,
    /// End: OpenCRVS has registered it.
    Confirmed,
    /// End: OpenCRVS was told of the rejection.
    Rejected,
    /// End, unless it is revived: a newer attempt of the record took its place.
    Superseded,
    /// End: OpenCRVS itself moved the record on.
    Withdrawn,
    /// End: the answer is negative and this generation of OpenCRVS cannot be told; an operator is
    /// alerted instead.
    Held,
    /// End: the token expired before the answer could be written.
    Expired,
    /// End: an operator closed it, because it was handled elsewhere.
    Closed,
    /// Stopped with a cause until an operator resumes it.
    Parked,
}

impl State {
    /// Every state, in the order in which an attempt goes through them.
    pub const ALL: [Self; 11] = [
        Self::Received,
        Self::Requested,
        Self::Answered,
        Self::Confirmed,
        Self::Rejected,
        Self::Superseded,
        Self::Withdrawn,
        Self::Held,
        Self::Expired,
        Self::Closed,
        Self::Parked,
    ];

    /// The name in the ledger and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Requested => "requested",
            Self::Answered => "answered",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
            Self::Held => "held",
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::Parked => "parked",
        }
    }

    /// Reads [`State::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether a stage still has work to do for the attempt.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Received | Self::Requested | Self::Answered)
    }
}

/// What happens to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The request of the attempt goes to the ID system, for the first time or again.
    Request,
    /// The attempt gets its final answer.
    Answer,
    /// OpenCRVS has registered it.
    Confirm,
    /// OpenCRVS was told of the rejection.
    Reject,
    /// A newer attempt of the record was received.
    Supersede,
    /// OpenCRVS moved the record on by itself.
    Withdraw,
    /// The answer is negative, and this generation of OpenCRVS cannot be told.
    Hold,
    /// The token has expired.
    Expire,
    /// The attempt cannot go on without an operator.
    Park,
    /// An operator resumes the attempt. It goes back to *answered* if it has an answer, else to
    /// *requested* if the ID system was asked before, else to *received*.
    Resume { asked: bool, answered: bool },
    /// An operator gives the attempt its answer, or has its answer applied once more.
    DecideAnswer,
    /// An operator has the ID system asked again. `asked` says whether it was asked before.
    DecideAskAgain { asked: bool },
    /// An operator closes the attempt, because it was handled elsewhere.
    Close,
    /// OpenCRVS does not have the newer attempt that superseded this one. The attempt goes back to
    /// its state `before`, or to *answered* if its answer arrived meanwhile.
    Revive { before: State, answered: bool },
}

/// An event that is not legal in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} is not possible for an attempt that is {}", state.as_str())]
pub struct Conflict {
    pub state: State,
    pub event: Event,
}

/// The state that an event leads to.
///
/// # Errors
/// [`Conflict`] when the event is not legal in this state; the caller must change nothing then.
pub fn next(state: State, event: Event) -> Result<State, Conflict> {
    use State::{
        Answered, Closed, Confirmed, Expired, Held, Parked, Received, Rejected, Requested, Superseded,
        Withdrawn,
    };
    match (state, event) {
        (Received | Requested, Event::Request) | (Parked, Event::Resume { asked: true, answered: false }) => {
            Ok(Requested)
        }
        (Received | Requested, Event::Answer) | (Parked, Event::Resume { answered: true, .. }) => {
            Ok(Answered)
        }
        (Answered, Event::Confirm) => Ok(Confirmed),
        (Answered, Event::Reject) => Ok(Rejected),
        (Answered, Event::Hold) => Ok(Held),
        (Received | Requested | Answered | Parked | Held, Event::Supersede) => Ok(Superseded),
        (Received | Requested | Answered | Parked, Event::Withdraw) => Ok(Withdrawn),
        (Received | Requested | Answered | Parked, Event::Expire) => Ok(Expired),
        (Received | Requested | Answered, Event::Park) => Ok(Parked),
        (Parked, Event::Resume { asked: false, answered: false })
        | (Parked | Held, Event::DecideAskAgain { asked: false }) => Ok(Received),
        (Parked | Held, Event::DecideAskAgain { asked: true }) => Ok(Requested),
        (Received | Requested | Parked | Held, Event::DecideAnswer)
        | (Superseded, Event::Revive { before: Received | Requested, answered: true }) => Ok(Answered),
        (Received | Requested | Answered | Parked | Held | Expired, Event::Close) => Ok(Closed),
        (Superseded, Event::Revive { before, .. }) if next(before, Event::Supersede).is_ok() => Ok(before),
        (
            Received | Requested | Answered | Confirmed | Rejected | Superseded | Withdrawn | Held | Expired
            | Closed | Parked,
            event,
        ) => Err(Conflict { state, event }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_moves_an_attempt_that_has_ended() {
        let events = [
            Event::Request,
            Event::Answer,
            Event::Confirm,
            Event::Reject,
            Event::Supersede,
            Event::Withdraw,
            Event::Hold,
            Event::Expire,
            Event::Park,
            Event::Resume { asked: true, answered: true },
            Event::DecideAnswer,
            Event::DecideAskAgain { asked: true },
            Event::Close,
            Event::Revive { before: State::Superseded, answered: true },
        ];
        let ends = [
            State::Confirmed,
            State::Rejected,
            State::Superseded,
            State::Withdrawn,
            State::Expired,
            State::Closed,
        ];
        for state in ends {
            for event in events {
                // An operator may close an expired attempt.
                if state == State::Expired && event == Event::Close {
                    continue;
                }
                assert_eq!(next(state, event), Err(Conflict { state, event }));
            }
        }
    }

    #[test]
    fn a_newer_attempt_supersedes_open_parked_and_held_attempts() {
        let superseded = [State::Received, State::Requested, State::Answered, State::Parked, State::Held];
        for state in State::ALL {
            let expected = superseded.contains(&state).then_some(State::Superseded);
            assert_eq!(next(state, Event::Supersede).ok(), expected, "{state:?}");
        }
    }

    #[test]
    fn only_a_superseded_attempt_is_revived_in_the_state_that_it_had() {
        let revive = |state, before, answered| next(state, Event::Revive { before, answered }).ok();
        for before in State::ALL {
            let waits = matches!(before, State::Received | State::Requested);
            let rests = matches!(before, State::Answered | State::Parked | State::Held);
            let expected = (waits || rests).then_some(before);
            assert_eq!(revive(State::Superseded, before, false), expected, "{before:?}");
            let expected = if waits { Some(State::Answered) } else { expected };
            assert_eq!(revive(State::Superseded, before, true), expected, "{before:?}");
        }
        for state in State::ALL.into_iter().filter(|state| *state != State::Superseded) {
            assert_eq!(revive(state, State::Requested, false), None, "{state:?}");
        }
    }

    #[test]
    fn nothing_is_confirmed_without_an_answer() {
        for state in State::ALL {
            assert_eq!(next(state, Event::Confirm).is_ok(), state == State::Answered, "{state:?}");
        }
    }

    #[test]
    fn an_operator_resumes_where_the_attempt_stopped() {
        let resume = |asked, answered| next(State::Parked, Event::Resume { asked, answered });
        assert_eq!(resume(false, false), Ok(State::Received));
        assert_eq!(resume(true, false), Ok(State::Requested));
        assert_eq!(resume(false, true), Ok(State::Answered));
    }

    #[test]
    fn each_decision_of_an_operator_is_possible_in_its_states_only() {
        let by =
            |event| State::ALL.into_iter().filter(|state| next(*state, event).is_ok()).collect::<Vec<_>>();
        let waits = [State::Received, State::Requested, State::Held, State::Parked];
        assert_eq!(by(Event::DecideAnswer), waits);
        assert_eq!(by(Event::DecideAskAgain { asked: true }), [State::Held, State::Parked]);
        assert_eq!(
            by(Event::Close),
            [State::Received, State::Requested, State::Answered, State::Held, State::Expired, State::Parked]
        );
        assert_eq!(next(State::Held, Event::DecideAskAgain { asked: false }), Ok(State::Received));
        assert_eq!(next(State::Held, Event::DecideAskAgain { asked: true }), Ok(State::Requested));
    }

    #[test]
    fn every_state_is_read_back_by_its_name() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("done"), None);
    }
}
