//! What the comparison came to, for people and for machines.
//!
//! Invariant: ids, states and times; nothing of a person.

use std::collections::BTreeMap;

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{RecordId, RecordState, RegistrationNumber};
use crate::ledger::Case;
use crate::opencrvs::{GatewayFault, Seen, UserToken};
use crate::operate::output;
use crate::roles::Failure;

const UNASKED: &str = "what waits in OpenCRVS and is not open here was not looked for: that takes the token of a user (--token-file)";

/// Which kind of orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Orphan {
    /// Open here, and OpenCRVS does not wait for it.
    NotWaiting,
    /// OpenCRVS waits for it, and it is not open here.
    NotOpen,
}

/// How OpenCRVS has a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum There {
    Waiting,
    WaitingForANewerSubmission,
    Registered,
    RegisteredUnderAnotherNumber,
    BackWithTheRegistrar,
    MovedOn,
    Unknown,
}

impl There {
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

/// How a record stands in OpenCRVS where that is not how it should.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theirs {
    there: There,
    pub(super) since: Timestamp,
}

/// How it stands here.
#[derive(Debug, Serialize)]
pub(super) struct Ours {
    attempt: String,
    state: &'static str,
    cause: Option<String>,
    accepted_at: Timestamp,
    token_hours_left: f64,
}

/// One orphan.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    kind: Orphan,
    pub(super) record: String,
    tracking_id: Option<String>,
    /// Its newest attempt here; nothing if the record is unknown.
    ours: Option<Ours>,
    opencrvs: There,
    opencrvs_since: Timestamp,
}

/// Why a record could not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Skipped {
    TokenDead,
    TokenRefused,
    Unsealable,
    NotFound,
    /// Of the events generation: reading leaves a trace in the record, and the action is what is answered anyway.
    EventsGeneration,
    GatewayUnreachable,
    GatewayInTrouble,
}

/// The whole of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Attempts here that have not ended.
    pub(super) open: usize,
    /// Records that wait there, if they could be listed.
    pub(super) waiting: Option<usize>,
    /// OpenCRVS holds more than it lists.
    pub(super) truncated: bool,
    /// What the user's token does not show.
    limits: Vec<String>,
    pub(super) differences: Vec<Difference>,
    not_compared: BTreeMap<Skipped, usize>,
}

impl Theirs {
    /// How OpenCRVS has it; nothing if it waits for this very attempt.
    pub(super) fn of(case: &Case, seen: &Seen) -> Option<Self> {
        let number = case.record.number.as_ref().map(RegistrationNumber::as_str);
        let there = match seen.status {
            RecordState::Waiting if seen.since > case.attempt.stamp => There::WaitingForANewerSubmission,
            RecordState::Waiting => return None,
            RecordState::Registered if number.is_some() && seen.number.as_deref() == number => {
                There::Registered
            }
            RecordState::Registered => There::RegisteredUnderAnotherNumber,
            RecordState::BeforeValidation => There::BackWithTheRegistrar,
            RecordState::MovedOn => There::MovedOn,
        };
        Some(Self { there, since: seen.since })
    }

    /// OpenCRVS does not know it.
    pub(super) fn unknown(since: Timestamp) -> Self {
        Self { there: There::Unknown, since }
    }
}

impl Ours {
    fn of(case: &Case) -> Self {
        let left = case.attempt.token_expires_at.duration_since(Timestamp::now());
        Self {
            attempt: case.attempt.id.to_string(),
            state: case.attempt.state.as_str(),
            cause: case.attempt.cause.clone(),
            accepted_at: case.attempt.accepted_at,
            token_hours_left: output::hours(left),
        }
    }
}

impl Difference {
    pub(super) fn not_waiting(case: &Case, theirs: Theirs) -> Self {
        Self {
            kind: Orphan::NotWaiting,
            record: case.record.id.to_string(),
            tracking_id: Some(case.record.tracking_id.to_string()),
            ours: Some(Ours::of(case)),
            opencrvs: theirs.there,
            opencrvs_since: theirs.since,
        }
    }

    pub(super) fn not_open(
        record: &RecordId,
        code: Option<&str>,
        case: Option<&Case>,
        since: Timestamp,
    ) -> Self {
        let ours = case.map(|case| case.record.tracking_id.to_string());
        Self {
            kind: Orphan::NotOpen,
            record: record.to_string(),
            tracking_id: ours.or_else(|| code.map(str::to_owned)),
            ours: case.map(Ours::of),
            opencrvs: There::Waiting,
            opencrvs_since: since,
        }
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        let none = || "-".to_owned();
        let ours = self.ours.as_ref();
        vec![
            self.record.clone(),
            self.tracking_id.clone().unwrap_or_else(none),
            ours.map_or("unknown", |ours| ours.state).to_owned(),
            ours.and_then(|ours| ours.cause.clone()).unwrap_or_else(none),
            ours.map_or_else(none, |ours| output::span(ours.accepted_at, now)),
            self.opencrvs.words().to_owned(),
            output::span(self.opencrvs_since, now),
        ]
    }
}

impl Skipped {
    pub(super) fn of(fault: &GatewayFault) -> Self {
        match fault {
            GatewayFault::Unreachable => Self::GatewayUnreachable,
            GatewayFault::Unauthorized
            | GatewayFault::RegistrarInactive
            | GatewayFault::RecordRefused
            | GatewayFault::WorkflowRefused => Self::TokenRefused,
            GatewayFault::NotFound => Self::NotFound,
            GatewayFault::TimedOut
            | GatewayFault::BrokenOff
            | GatewayFault::Status(_)
            | GatewayFault::Throttled(_)
            | GatewayFault::LookupFailed
            | GatewayFault::Contract
            | GatewayFault::Downstream
            | GatewayFault::Unreadable => Self::GatewayInTrouble,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::TokenDead => "whose token is dead or erased",
            Self::TokenRefused => {
                "whose token OpenCRVS refuses (registrar inactive, or auth's key was changed)"
            }
            Self::Unsealable => "whose token no key of SEAL_KEYS opens",
            Self::NotFound => "that OpenCRVS could not find",
            Self::EventsGeneration => {
                "of the events generation, whose state cannot be read without a trace in the record"
            }
            Self::GatewayUnreachable => "for which the gateway could not be reached",
            Self::GatewayInTrouble => "for which the gateway gave no usable answer",
        }
    }
}

impl Report {
    pub(super) fn new(user: Option<&UserToken>) -> Self {
        Self {
            open: 0,
            waiting: None,
            truncated: false,
            limits: user.map(|user| user.limits.clone()).unwrap_or_default(),
            differences: Vec::new(),
            not_compared: BTreeMap::new(),
        }
    }

    pub(super) fn skip(&mut self, why: Skipped) {
        *self.not_compared.entry(why).or_default() += 1;
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let heading = ["RECORD", "TRACKING", "HERE", "CAUSE", "ACCEPTED", "OPENCRVS", "SINCE"];
        for (kind, title) in [
            (Orphan::NotWaiting, "open here, but OpenCRVS does not wait for it"),
            (Orphan::NotOpen, "waiting in OpenCRVS, but not open here"),
        ] {
            let now = Timestamp::now();
            let of_kind = self.differences.iter().filter(|one| one.kind == kind);
            let rows: Vec<_> = of_kind.map(|one| one.row(now)).collect();
            if !rows.is_empty() {
                output::line(&format!("{title}: {}", rows.len()))?;
                output::table(&heading, &rows)?;
                output::line("")?;
            }
        }
        self.print_extent()
    }

    fn print_extent(&self) -> Result<(), Failure> {
        output::line(&format!("not ended here: {}", self.open))?;
        match self.waiting {
            Some(count) => output::line(&format!("waiting in OpenCRVS: {count}"))?,
            None => output::line(UNASKED)?,
        }
        if self.truncated {
            output::line("OpenCRVS lists no more than its 10000 oldest declarations: there are more")?;
        }
        for limit in &self.limits {
            output::line(&format!("the user's token does not show all: {limit}"))?;
        }
        for (why, count) in &self.not_compared {
            output::line(&format!("not compared: {count} {}", why.words()))?;
        }
        Ok(())
    }

    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let differences = self.differences.len();
        let skipped: usize = self.not_compared.values().sum();
        match (differences, skipped) {
            (0, 0) => Ok(()),
            (0, skipped) if self.not_compared.contains_key(&Skipped::GatewayUnreachable) => {
                Err(Failure::Unavailable(anyhow!("{skipped} could not be compared: is the gateway up?")))
            }
            (0, skipped) => Err(Failure::Failed(anyhow!("{skipped} could not be compared; the rest agrees"))),
            (differences, _) => Err(Failure::Differs(anyhow!("{differences} differences"))),
        }
    }
}
