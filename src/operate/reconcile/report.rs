//! The result of a comparison, as text for people or as JSON for programs.
//!
//! Invariant: a report contains ids, states and times, but no personal data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::compare::Compared;
use super::mismatch::{Mismatch, MismatchKind};
use crate::opencrvs::OpencrvsFault;
use crate::opencrvs::fhir::UserToken;
use crate::operate::output;
use crate::operate::tally::{Miss, Tally};
use crate::roles::Failure;

const NOT_LISTED: &str = "FHIR records that wait in OpenCRVS and are not open here were not looked for: that needs the token of a user (--token-file)";

const NOT_SEARCHED: &str = "registrations of the events generation that the bridge has never had were not looked for: that needs a client that may search, read and accept (nidbridge opencrvs client)";

/// Why a record could not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NotCompared {
    TokenExpired,
    TokenRefused,
    Unsealable,
    NotFound,
    /// A record of the events generation is not read: reading leaves a trace in it, and an answer
    /// belongs to one action, not to the record.
    EventsGeneration,
    GatewayUnreachable,
    GatewayInTrouble,
}

#[derive(Debug, Serialize)]
pub(super) struct ComparisonReport {
    /// Attempts in the ledger that have not ended.
    pub(super) open: usize,
    /// Records that wait in OpenCRVS; `None` if they could not be listed.
    pub(super) waiting: Option<usize>,
    /// Whether OpenCRVS has more records than it lists.
    pub(super) truncated: bool,
    /// Events that were read because they wait in OpenCRVS without an open attempt here; `None` if
    /// the client may not search.
    pub(super) read_events: Option<usize>,
    /// Events that wait in OpenCRVS and cannot be taken in.
    pub(super) unusable: usize,
    /// Registrations that were taken in.
    pub(super) taken_in: usize,
    /// What the user's token does not show.
    limits: Vec<String>,
    pub(super) differences: Vec<Mismatch>,
    not_compared: BTreeMap<NotCompared, usize>,
}

impl NotCompared {
    pub(super) fn of(fault: &OpencrvsFault) -> Self {
        match fault {
            OpencrvsFault::Unreachable | OpencrvsFault::NoTls => Self::GatewayUnreachable,
            OpencrvsFault::Unauthorized
            | OpencrvsFault::RegistrarInactive
            | OpencrvsFault::RecordRefused
            | OpencrvsFault::WorkflowRefused => Self::TokenRefused,
            OpencrvsFault::RecordNotFound => Self::NotFound,
            OpencrvsFault::TimedOut
            | OpencrvsFault::BrokenOff
            | OpencrvsFault::Status(_)
            | OpencrvsFault::Throttled(_)
            | OpencrvsFault::LookupFailed
            | OpencrvsFault::Contract
            | OpencrvsFault::FieldUndefined
            | OpencrvsFault::ActionNotFound
            | OpencrvsFault::EventNotFound
            | OpencrvsFault::NotPending
            | OpencrvsFault::Assigned
            | OpencrvsFault::ClientRefused
            | OpencrvsFault::ClientScope
            | OpencrvsFault::AlreadyRejected
            | OpencrvsFault::Downstream
            | OpencrvsFault::Unreadable => Self::GatewayInTrouble,
        }
    }

    fn miss(self) -> Miss {
        if self == Self::GatewayUnreachable { Miss::Unavailable } else { Miss::Failed }
    }

    fn words(self) -> &'static str {
        match self {
            Self::TokenExpired => "whose token has expired or is erased",
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

impl ComparisonReport {
    pub(super) fn new(user: Option<&UserToken>) -> Self {
        Self {
            open: 0,
            waiting: None,
            truncated: false,
            read_events: None,
            unusable: 0,
            taken_in: 0,
            limits: user.map(|user| user.limits.clone()).unwrap_or_default(),
            differences: Vec::new(),
            not_compared: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, compared: Compared) {
        match compared {
            Compared::Agrees => {}
            Compared::Differs(mismatch) => self.differences.push(mismatch),
            Compared::NotRead(why) => *self.not_compared.entry(why).or_default() += 1,
        }
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let now = Timestamp::now();
        let heading = ["RECORD", "TRACKING", "HERE", "CAUSE", "ACCEPTED", "OPENCRVS", "SINCE"];
        for (kind, title) in [
            (MismatchKind::NotWaiting, "open here, but OpenCRVS does not wait for it"),
            (MismatchKind::NotOpen, "waiting in OpenCRVS, but not open here"),
        ] {
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
            None => output::line(NOT_LISTED)?,
        }
        match self.read_events {
            Some(count) => output::line(&format!(
                "read in OpenCRVS (events generation): {count}, of these taken in: {}",
                self.taken_in
            ))?,
            None => output::line(NOT_SEARCHED)?,
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
        output::line("differences that are younger than --grace are not reported")
    }

    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let mut tally = Tally::default();
        for (why, count) in &self.not_compared {
            tally.add_missed(why.miss(), u64::try_from(*count).unwrap_or(u64::MAX));
        }
        tally.add_missed(Miss::Failed, u64::try_from(self.unusable).unwrap_or(u64::MAX));
        let skipped = tally.missed();
        tally.add_missed(Miss::Differs, u64::try_from(self.differences.len()).unwrap_or(u64::MAX));
        tally.verdict(|miss, count| match miss {
            Miss::Differs => format!("{count} differences"),
            Miss::Unavailable => format!("{skipped} could not be compared: is the gateway up?"),
            Miss::Failed | Miss::TryAgain => format!("{skipped} could not be compared; the rest agrees"),
        })
    }
}
