//! One record on which the two sides do not agree.
//!
//! Invariant: a mismatch contains ids, states and times, but no personal data.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::order::{Seen, Submitted};
use crate::domain::{RecordId, RecordState, RegistrationNumber};
use crate::ledger::Case;
use crate::opencrvs::fhir::FetchedRecord;
use crate::operate::output;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MismatchKind {
    /// The attempt is open here, but OpenCRVS does not wait for it.
    NotWaiting,
    /// OpenCRVS waits for the record, but it is not open here.
    NotOpen,
}

/// State of a record in OpenCRVS, from the point of view of the attempt here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum StateThere {
    Waiting,
    WaitingForANewerSubmission,
    Registered,
    RegisteredUnderAnotherNumber,
    BackWithTheRegistrar,
    MovedOn,
    Unknown,
}

impl StateThere {
    fn words(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::WaitingForANewerSubmission => "waits for a newer submission",
            Self::Registered => "registered",
            Self::RegisteredUnderAnotherNumber => "registered under another number",
            Self::BackWithTheRegistrar => "back before validation",
            Self::MovedOn => "rejected or archived",
            Self::Unknown => "unknown",
        }
    }
}

/// State in OpenCRVS of a record that does not wait for our attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theirs {
    state: StateThere,
    pub(super) since: Timestamp,
}

/// The newest attempt of the record in the ledger.
#[derive(Debug, Serialize)]
struct Ours {
    attempt: String,
    state: &'static str,
    cause: Option<String>,
    accepted_at: Timestamp,
    /// `None` without a token.
    token_hours_left: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Mismatch {
    pub(super) kind: MismatchKind,
    pub(super) record: String,
    tracking_id: Option<String>,
    /// `None` if the ledger does not have the record.
    ours: Option<Ours>,
    opencrvs: StateThere,
    opencrvs_since: Timestamp,
}

impl Theirs {
    /// Returns `None` if OpenCRVS waits for this very attempt.
    pub(super) fn of(case: &Case, seen: &FetchedRecord, tolerance: Duration) -> Option<Self> {
        let (stamp, accepted_at) = (case.attempt.stamp, case.attempt.accepted_at);
        let order = Submitted { stamp, accepted_at, tolerance }.compare(seen.since, Timestamp::now());
        let number = case.record.number.as_ref().map(RegistrationNumber::as_str);
        let state = match seen.status {
            RecordState::Waiting if matches!(order, Seen::After | Seen::Unclear) => {
                StateThere::WaitingForANewerSubmission
            }
            RecordState::Waiting => return None,
            RecordState::Registered if number.is_some() && seen.number.as_deref() == number => {
                StateThere::Registered
            }
            RecordState::Registered => StateThere::RegisteredUnderAnotherNumber,
            RecordState::BeforeValidation => StateThere::BackWithTheRegistrar,
            RecordState::MovedOn => StateThere::MovedOn,
        };
        Some(Self { state, since: seen.since })
    }

    pub(super) fn unknown(since: Timestamp) -> Self {
        Self { state: StateThere::Unknown, since }
    }
}

impl Ours {
    fn of(case: &Case) -> Self {
        Self {
            attempt: case.attempt.id.to_string(),
            state: case.attempt.state.as_str(),
            cause: case.attempt.cause.as_ref().map(|cause| cause.as_str().to_owned()),
            accepted_at: case.attempt.accepted_at,
            token_hours_left: output::hours_left(case.attempt.token_expires_at, Timestamp::now()),
        }
    }
}

impl Mismatch {
    pub(super) fn not_waiting(case: &Case, theirs: Theirs) -> Self {
        Self {
            kind: MismatchKind::NotWaiting,
            record: case.record.id.to_string(),
            tracking_id: Some(case.record.tracking_id.to_string()),
            ours: Some(Ours::of(case)),
            opencrvs: theirs.state,
            opencrvs_since: theirs.since,
        }
    }

    /// `tracking_id` is the one that OpenCRVS lists. It is used only if the ledger has none.
    pub(super) fn not_open(
        record: &RecordId,
        tracking_id: Option<&str>,
        case: Option<&Case>,
        since: Timestamp,
    ) -> Self {
        let ours = case.map(|case| case.record.tracking_id.to_string());
        Self {
            kind: MismatchKind::NotOpen,
            record: record.to_string(),
            tracking_id: ours.or_else(|| tracking_id.map(str::to_owned)),
            ours: case.map(Ours::of),
            opencrvs: StateThere::Waiting,
            opencrvs_since: since,
        }
    }

    pub(super) fn row(&self, now: Timestamp) -> Vec<String> {
        let ours = self.ours.as_ref();
        let age = ours.map(|ours| output::span(ours.accepted_at, now));
        vec![
            self.record.clone(),
            output::or_dash(self.tracking_id.as_deref()),
            ours.map_or("unknown", |ours| ours.state).to_owned(),
            output::or_dash(ours.and_then(|ours| ours.cause.as_deref())),
            output::or_dash(age.as_deref()),
            self.opencrvs.words().to_owned(),
            output::span(self.opencrvs_since, now),
        ]
    }
}
