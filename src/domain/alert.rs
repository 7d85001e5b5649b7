//! Which history entries alert an operator.
//!
//! Invariant: an attempt that is parked, held or expired always does, unless the cause is one that
//! needs nobody.

use super::attempt::{Cause, State};

/// The cause of the alert that a history entry raises; `None` if it raises none. `what` is the
/// entry's event: the name of a state, or any other.
pub fn alert_cause(what: &str, cause: Option<Cause>) -> Option<Cause> {
    match State::parse(what) {
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
            | State::Withdrawn,
        )
        | None => cause
            .filter(|cause| matches!(cause, Cause::TokenExpiring | Cause::TokenOrphaned | Cause::OrphanId)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_or_is_about_to_calls_and_nothing_else() {
        for (what, cause, expected) in [
            ("parked", Some(Cause::TokenRefused), Some(Cause::TokenRefused)),
            ("held", Some(Cause::RejectedByIdSystem), Some(Cause::RejectedByIdSystem)),
            ("expired", Some(Cause::TokenRefused), Some(Cause::TokenRefused)),
            ("expired", None, Some(Cause::Internal)),
            ("token_expiring", Some(Cause::TokenExpiring), Some(Cause::TokenExpiring)),
            ("token_orphaned", Some(Cause::TokenOrphaned), Some(Cause::TokenOrphaned)),
            ("withdrawn", Some(Cause::OrphanId), Some(Cause::OrphanId)),
            ("reply_refused", Some(Cause::OrphanId), Some(Cause::OrphanId)),
            ("not_written", Some(Cause::GatewayUnavailable), None),
            ("reply_refused", Some(Cause::WrongSubmission), None),
            ("withdrawn", Some(Cause::MovedOn), None),
            ("confirmed", None, None),
        ] {
            assert_eq!(alert_cause(what, cause), expected, "{what} {cause:?}");
        }
    }
}
