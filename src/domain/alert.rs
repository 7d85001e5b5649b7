//! Which entries of the history call an operator at once, and what he is to do.
//!
//! Invariant: a registration that stops, is held or runs out of time always does; what somebody may not be told (a name,
//! an ID, a token) is in no alert.

use super::attempt::{Cause, State};

/// The cause under which an entry calls an operator; `None` for one that does not.
pub fn alert(what: &str, cause: Option<Cause>) -> Option<Cause> {
    match State::parse(what) {
        Some(State::Parked | State::Held | State::Expired) => Some(cause.unwrap_or(Cause::Internal)),
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

/// What an operator does about it.
pub fn advice(cause: Cause, state: State) -> &'static str {
    match (state, cause) {
        (State::Expired, Cause::OrphanId) => ORPHAN_ID,
        (State::Expired, _) => {
            "The token died before OpenCRVS could be told: have the office bring the record back to the registrar, who submits it again."
        }
        (_, Cause::Malformed | Cause::UnknownVersion | Cause::Internal) => {
            "This is a fault of the bridge or of an older release: look up the record's history and the log, and report it."
        }
        (_, Cause::Unsealable) => {
            "Add the key that it was sealed with to SEAL_KEYS, behind the others, and resume the record."
        }
        (_, Cause::NumberTaken) => {
            "Another record has this registration number: find out which of the two is wrong, or change NUMBER_TEMPLATE."
        }
        (_, Cause::UnknownRequest | Cause::WrongSubmission | Cause::ContradictoryAnswer) => {
            "Ask the ID system's operator why its replies do not fit the request, and which of them holds."
        }
        (_, Cause::IdOfAnotherRecord) => {
            "The ID system gave one ID to two records: have its operator correct it before either is confirmed."
        }
        (_, Cause::OrphanId) => ORPHAN_ID,
        (_, Cause::RejectedByIdSystem) => {
            "The ID system said no, and this OpenCRVS cannot be told: clear the reason up with the office and the ID system."
        }
        (_, Cause::TokenRefused) => {
            "OpenCRVS refuses the token: run `nidbridge tokens replace` with an active user's token, and the record goes on."
        }
        (_, Cause::TokenExpiring) => {
            "Press the ID system for its answer, or run `nidbridge tokens replace` with an active user's token before this one dies."
        }
        (_, Cause::TokenOrphaned) => {
            "Auth's key was changed: run `nidbridge tokens replace --all-orphaned` with the token of an active user."
        }
        (_, Cause::RegistrarInactive) => {
            "The registrar is not active any more: run `nidbridge tokens replace` with an active user's token, and the record goes on."
        }
        (_, Cause::RecordRefused) => {
            "OpenCRVS does not accept the token for this record: check the record there, then run `nidbridge tokens replace`."
        }
        (_, Cause::OtherNumber) => {
            "OpenCRVS has registered the record under a number that is not ours: compare both and correct the wrong one."
        }
        (_, Cause::GatewayContract) => {
            "The gateway does not accept our query: check that OpenCRVS is of the generation 1.7 to 1.9."
        }
        (_, Cause::GatewayUnavailable | Cause::NotYetVisible) => {
            "Check that OpenCRVS's gateway is up and can be reached."
        }
        (_, Cause::IdSystemUnavailable | Cause::AskedToRetry) => {
            "Check that the ID system is up and takes requests."
        }
        (_, Cause::LedgerUnavailable) => "Check that the ledger's database is up and can be reached.",
        (_, Cause::BrokerUnavailable) => "Check that the broker is up and can be reached.",
        (_, Cause::Leased | Cause::Quarantined | Cause::TooEarly) => "Nothing: it goes on by itself.",
        (_, Cause::SpoolFull | Cause::SpoolUnwritable | Cause::SpoolCorrupt) => {
            "Look after the front's spool: its disk, its bound, and the broker that it waits for."
        }
    }
}

const ORPHAN_ID: &str = "An ID was issued for a record that is not registered: have the ID system withdraw it, or have the record registered.";

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
            ("withdrawn", None, None),
            ("confirmed", None, None),
        ] {
            assert_eq!(alert(what, cause), expected, "{what} {cause:?}");
        }
    }
}
