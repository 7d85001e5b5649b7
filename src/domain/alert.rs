//! Which history entries alert an operator.
//!
//! Invariant: an entry that parks, holds or expires an attempt always alerts, unless its cause
//! needs no operator.

use super::attempt::State;
use super::cause::Cause;

/// The cause of the alert that a history entry raises, or `None` if it raises none. `moved` is the
/// state that the attempt moved to, if the entry records a move.
pub fn alert_cause(moved: Option<State>, cause: Option<Cause>) -> Option<Cause> {
    match moved {
        Some(State::Parked | State::Held | State::Expired) => {
            Some(cause.unwrap_or(Cause::Internal)).filter(|cause| cause.is_alarm())
        }
        Some(
            State::Received
            | State::Requested
            | State::Answered
            | State::Confirmed
            | State::Rejected
            | State::Superseded
            | State::Withdrawn
            | State::Closed,
        )
        | None => cause.filter(|cause| {
            matches!(
                cause,
                Cause::TokenExpiring
                    | Cause::Overdue
                    | Cause::TokenOrphaned
                    | Cause::OrphanId
                    | Cause::StampInFuture
                    | Cause::NumberKept
                    | Cause::Failing
                    | Cause::AskedTooOften
                    | Cause::IdOfAnotherRecord
                    | Cause::ContradictoryAnswer
                    | Cause::DecidedOtherwise
                    | Cause::WrongSubmission
            )
        }),
    }
}

/// Whether each alert of this cause is about the ID of one person and a wrong configuration cannot
/// raise many of them. Such alerts are never counted together.
pub fn concerns_one_person(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::OrphanId
            | Cause::IdOfAnotherRecord
            | Cause::ContradictoryAnswer
            | Cause::DecidedOtherwise
            | Cause::WrongSubmission
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_alerts_only_if_an_operator_has_to_act() {
        for (moved, cause, expected) in [
            (Some(State::Parked), Some(Cause::TokenRefused), Some(Cause::TokenRefused)),
            (Some(State::Held), Some(Cause::RejectedByIdSystem), Some(Cause::RejectedByIdSystem)),
            (Some(State::Expired), Some(Cause::TokenRefused), Some(Cause::TokenRefused)),
            (Some(State::Expired), None, Some(Cause::Internal)),
            (None, Some(Cause::TokenExpiring), Some(Cause::TokenExpiring)),
            (None, Some(Cause::Overdue), Some(Cause::Overdue)),
            (None, Some(Cause::TokenOrphaned), Some(Cause::TokenOrphaned)),
            (Some(State::Withdrawn), Some(Cause::OrphanId), Some(Cause::OrphanId)),
            (None, Some(Cause::OrphanId), Some(Cause::OrphanId)),
            (None, Some(Cause::StampInFuture), Some(Cause::StampInFuture)),
            (None, Some(Cause::GatewayUnavailable), None),
            (None, Some(Cause::WrongSubmission), Some(Cause::WrongSubmission)),
            (None, Some(Cause::ContradictoryAnswer), Some(Cause::ContradictoryAnswer)),
            (None, Some(Cause::DecidedOtherwise), Some(Cause::DecidedOtherwise)),
            (None, Some(Cause::NumberKept), Some(Cause::NumberKept)),
            (None, Some(Cause::Failing), Some(Cause::Failing)),
            (None, Some(Cause::Malformed), None),
            (Some(State::Withdrawn), Some(Cause::MovedOn), None),
            (Some(State::Confirmed), None, None),
        ] {
            assert_eq!(alert_cause(moved, cause), expected, "{moved:?} {cause:?}");
        }
    }

    #[test]
    fn alerts_about_one_persons_id_are_told_apart_from_those_that_a_wrong_setting_raises() {
        for cause in [Cause::OrphanId, Cause::IdOfAnotherRecord, Cause::WrongSubmission] {
            assert!(concerns_one_person(cause), "{cause:?}");
        }
        for cause in [Cause::Unfit, Cause::NumberTaken, Cause::StampInFuture, Cause::NotInOpencrvs] {
            assert!(!concerns_one_person(cause), "{cause:?}");
        }
    }
}
