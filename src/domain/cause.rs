//! Causes: why an attempt, a message or a reply stopped or was refused.
//!
//! Invariant: the set is bounded, so that operators can group and alert by cause. The runbook says
//! what each cause means.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// The country gave another number for a record that has its number already.
    NumberKept,
    /// The ID system was asked about another kind of event of the record before.
    OtherKind,
    /// A reply to a request that was never made.
    UnknownRequest,
    /// A reply to a submission that was never made.
    WrongSubmission,
    /// A second, different final answer to the same submission.
    ContradictoryAnswer,
    /// A final answer other than the one that an operator gave by hand.
    DecidedOtherwise,
    /// The ID system gave an ID that another record has.
    IdOfAnotherRecord,
    /// An ID issued for a record that is not registered.
    OrphanId,
    /// The ID system rejected the registration, and this generation of OpenCRVS cannot be told.
    RejectedByIdSystem,
    /// An attempt that no token limits has been open for longer than the country's deadline.
    Overdue,
    /// OpenCRVS refuses the token: it has expired, or its signing key was replaced.
    TokenRefused,
    /// The token expires soon, and OpenCRVS has not been told the answer yet.
    TokenExpiring,
    /// The token is signed with a key that OpenCRVS's auth service does not use any more.
    TokenOrphaned,
    /// The registrar's account is not active any more.
    RegistrarInactive,
    /// OpenCRVS does not know the record, or does not accept the token for it.
    RecordRefused,
    /// OpenCRVS has registered the record under another number.
    OtherNumber,
    /// This release does not understand the response of the gateway.
    GatewayContract,
    /// The gateway cannot be reached or fails.
    GatewayUnavailable,
    /// The country's forms do not define, or hide, a field that the answer writes.
    FieldUndefined,
    /// The country's configuration service cannot be reached.
    CountryConfigUnavailable,
    /// The ID system cannot be reached, or its queue is full.
    IdSystemUnavailable,
    /// The ledger cannot be reached.
    LedgerUnavailable,
    /// The broker cannot be reached.
    BrokerUnavailable,
    /// In OpenCRVS a user is assigned to the record, so the bridge's client may not answer it.
    Assigned,
    /// The bridge's client in OpenCRVS lacks a scope.
    ClientScope,
    /// OpenCRVS refuses the id or the secret of the bridge's client, or its access token.
    ClientRefused,
    /// The registration has no usable token, and no client of the bridge is configured.
    ClientMissing,
    /// Another confirmer has the lease on the record.
    Leased,
    /// An earlier write, whose result is not known, may still arrive.
    Quarantined,
    /// It is too early to write to OpenCRVS.
    TooEarly,
    /// OpenCRVS does not show the attempt yet.
    NotYetVisible,
    /// The ID system wants to be asked again later.
    AskedToRetry,
    /// The front's spool has reached its maximum size.
    SpoolFull,
    /// The disk of the front's spool is full, broken or does not answer.
    SpoolUnwritable,
    /// A spooled registration that cannot be read.
    SpoolCorrupt,
    /// The broker delivered the message too often without a settlement, and parked it.
    DeliveryLimit,
    /// A published message that the broker cannot route to any queue.
    Unrouted,
    /// OpenCRVS moved the record on by itself.
    MovedOn,
    /// OpenCRVS dates the submission in the future, or many years ago, so its time cannot order the
    /// attempts.
    StampInFuture,
    /// The registration lacks what the ID system's contract requires, so it cannot be asked.
    Unfit,
    /// OpenCRVS does not have the registration as it was submitted to the bridge.
    NotInOpencrvs,
    /// One attempt has failed for long while others succeed.
    Failing,
    /// The ID system has wanted to be asked again later for too long or too often.
    AskedTooOften,
    /// A consumer rejected the message, so the broker parked it.
    RejectedByConsumer,
    /// The roles on one broker do not share one ledger, or do not share their sealing keys.
    OtherDeployment,
    /// The broker refuses a role's connection, or its queues differ from what the role needs.
    BrokerRefused,
    /// A front has never had the public key of auth, so it can accept nothing.
    AuthKeyMissing,
    /// The clocks of a role and of OpenCRVS differ.
    ClockDiffers,
    /// A front has refused every registration for a while.
    AllRefused,
    /// A message about an attempt that the ledger does not have.
    UnknownAttempt,
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
            Self::NumberKept => "number_kept",
            Self::OtherKind => "other_kind",
            Self::UnknownRequest => "unknown_request",
            Self::WrongSubmission => "wrong_submission",
            Self::ContradictoryAnswer => "contradictory_answer",
            Self::DecidedOtherwise => "decided_otherwise",
            Self::IdOfAnotherRecord => "id_of_another_record",
            Self::OrphanId => "orphan_id",
            Self::RejectedByIdSystem => "rejected_by_id_system",
            Self::Overdue => "overdue",
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
            Self::Assigned => "assigned",
            Self::ClientScope => "client_scope",
            Self::ClientRefused => "client_refused",
            Self::ClientMissing => "client_missing",
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
            Self::StampInFuture => "stamp_in_future",
            Self::Unfit => "unfit",
            Self::NotInOpencrvs => "not_in_opencrvs",
            Self::Failing => "failing",
            Self::AskedTooOften => "asked_too_often",
            Self::RejectedByConsumer => "rejected_by_consumer",
            Self::OtherDeployment => "other_deployment",
            Self::BrokerRefused => "broker_refused",
            Self::AuthKeyMissing => "auth_key_missing",
            Self::ClockDiffers => "clock_differs",
            Self::AllRefused => "all_refused",
            Self::UnknownAttempt => "unknown_attempt",
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
    fn an_attempt_that_opencrvs_moved_on_by_itself_needs_no_operator() {
        assert!(!Cause::MovedOn.is_alarm());
        assert!(Cause::ALL.iter().filter(|cause| **cause != Cause::MovedOn).all(|cause| cause.is_alarm()));
    }
}
