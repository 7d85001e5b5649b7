//! The life of an attempt: which state follows which event.
//!
//! Invariant: [`next`] is the only place that knows what is legal; the ledger applies its result by
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
    /// End: a newer attempt of the record took its place.
    Superseded,
    /// End: OpenCRVS itself moved the record on.
    Withdrawn,
    /// End: the answer is negative and this OpenCRVS cannot be told; an operator is alerted
    /// instead.
    Held,
    /// End: the token died before the answer could be written.
    Expired,
    /// Stopped with a cause until an operator resumes it.
    Parked,
}

impl State {
    /// Every state, in the order in which an attempt goes through them.
    pub const ALL: [Self; 10] = [
        Self::Received,
        Self::Requested,
        Self::Answered,
        Self::Confirmed,
        Self::Rejected,
        Self::Superseded,
        Self::Withdrawn,
        Self::Held,
        Self::Expired,
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
    /// Its request goes to the ID system, for the first time or again.
    Request,
    /// It gets its final answer.
    Answer,
    /// OpenCRVS has registered it.
    Confirm,
    /// OpenCRVS was told of the rejection.
    Reject,
    /// A newer attempt of the record was received.
    Supersede,
    /// OpenCRVS moved the record on by itself.
    Withdraw,
    /// Its answer is negative, and this OpenCRVS cannot be told.
    Hold,
    /// Its token is dead.
    Expire,
    /// It cannot go on without an operator.
    Park,
    /// An operator resumes it. It goes back to *answered* if it has its answer, else to *requested*
    /// if the ID system was asked before, else to *received*.
    Resume { asked: bool, answered: bool },
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
        Answered, Confirmed, Expired, Held, Parked, Received, Rejected, Requested, Superseded, Withdrawn,
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
        (Parked, Event::Resume { asked: false, answered: false }) => Ok(Received),
        (
            Received | Requested | Answered | Confirmed | Rejected | Superseded | Withdrawn | Held | Expired
            | Parked,
            event,
        ) => Err(Conflict { state, event }),
    }
}

/// Why something stopped or was refused: a bounded set, for operators to group and alert by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A message or reply that does not meet its schema.
    Malformed,
    /// A message of a version that this release does not read.
    UnknownVersion,
    /// A sealed text whose key is not configured, or that was changed or erased.
    Unsealable,
    /// Another record has the registration number.
    NumberTaken,
    /// A reply to a request that was never made.
    UnknownRequest,
    /// A reply to a submission that was never made.
    WrongSubmission,
    /// A second, different final answer to the same submission.
    ContradictoryAnswer,
    /// The ID system gave an ID that another record has.
    IdOfAnotherRecord,
    /// An ID issued for a record that is not registered.
    OrphanId,
    /// The ID system rejected the registration, and this OpenCRVS cannot be told.
    RejectedByIdSystem,
    /// OpenCRVS refuses the token: it has died, or its signing key was replaced.
    TokenRefused,
    /// The token dies soon, and OpenCRVS has not been told an answer yet.
    TokenExpiring,
    /// The token is signed with a key that OpenCRVS's auth service does not use any more.
    TokenOrphaned,
    /// The registrar's account is not active any more.
    RegistrarInactive,
    /// OpenCRVS does not know the record, or does not accept the token for it.
    RecordRefused,
    /// OpenCRVS has registered the record under another number.
    OtherNumber,
    /// The gateway's answer is not what this release understands.
    GatewayContract,
    /// The gateway cannot be reached or fails.
    GatewayUnavailable,
    /// The country's forms do not define the field into which the ID is to be written.
    FieldUndefined,
    /// The country's configuration service cannot be reached.
    CountryConfigUnavailable,
    /// The ID system cannot be reached, or its queue is full.
    IdSystemUnavailable,
    /// The ledger cannot be reached.
    LedgerUnavailable,
    /// The broker cannot be reached.
    BrokerUnavailable,
    /// Another confirmer has the lease on the record.
    Leased,
    /// An earlier write, whose end is not known, may still arrive.
    Quarantined,
    /// It is too early to write to OpenCRVS.
    TooEarly,
    /// OpenCRVS does not show the attempt yet.
    NotYetVisible,
    /// The ID system wants to be asked again later.
    AskedToRetry,
    /// The front's spool has reached its bound.
    SpoolFull,
    /// The disk of the front's spool is full, broken or does not answer.
    SpoolUnwritable,
    /// A spooled registration that cannot be read.
    SpoolCorrupt,
    /// The broker has delivered the message too often without its being settled, and parked it.
    DeliveryLimit,
    /// A published message that no queue takes.
    Unrouted,
    /// OpenCRVS moved the record on by itself.
    MovedOn,
    /// A fault in the bridge itself.
    Internal,
}

impl Cause {
    /// The name in the ledger, in metrics and in `x-cause` headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownVersion => "unknown_version",
            Self::Unsealable => "unsealable",
            Self::NumberTaken => "number_taken",
            Self::UnknownRequest => "unknown_request",
            Self::WrongSubmission => "wrong_submission",
            Self::ContradictoryAnswer => "contradictory_answer",
            Self::IdOfAnotherRecord => "id_of_another_record",
            Self::OrphanId => "orphan_id",
            Self::RejectedByIdSystem => "rejected_by_id_system",
            Self::TokenRefused => "token_refused",
            Self::TokenExpiring => "token_expiring",
            Self::TokenOrphaned => "token_orphaned",
            Self::RegistrarInactive => "registrar_inactive",
            Self::RecordRefused => "record_refused",
            Self::OtherNumber => "other_number",
            Self::GatewayContract => "gateway_contract",
            Self::GatewayUnavailable => "gateway_unavailable",
            Self::FieldUndefined => "field_undefined",
            Self::CountryConfigUnavailable => "country_config_unavailable",
            Self::IdSystemUnavailable => "id_system_unavailable",
            Self::LedgerUnavailable => "ledger_unavailable",
            Self::BrokerUnavailable => "broker_unavailable",
            Self::Leased => "leased",
            Self::Quarantined => "quarantined",
            Self::TooEarly => "too_early",
            Self::NotYetVisible => "not_yet_visible",
            Self::AskedToRetry => "asked_to_retry",
            Self::SpoolFull => "spool_full",
            Self::SpoolUnwritable => "spool_unwritable",
            Self::SpoolCorrupt => "spool_corrupt",
            Self::DeliveryLimit => "delivery_limit",
            Self::Unrouted => "unrouted",
            Self::MovedOn => "moved_on",
            Self::Internal => "internal",
        }
    }

    /// Whether an attempt that stops for this cause needs an operator.
    pub fn is_alarm(self) -> bool {
        self != Self::MovedOn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_moved_by_nothing() {
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
        ];
        for state in [State::Confirmed, State::Rejected, State::Superseded, State::Withdrawn, State::Expired]
        {
            for event in events {
                assert_eq!(next(state, event), Err(Conflict { state, event }));
            }
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
    fn every_state_is_read_back_by_its_name() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("done"), None);
    }
}
