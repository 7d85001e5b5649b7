//! A record as OpenCRVS stores it, with every submission and every write.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::events::EventFile;
use super::fault::Fault;
use super::keys::TokenHash;
use crate::sandbox::population::{Earlier, Kind};

/// A row that is later than now by more than this is from a clock that was ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// The state of a record, as far as this simulation covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Declared, not yet registered.
    Declared,
    /// Sent for external validation.
    WaitingValidation,
    Registered,
    /// Returned to the registrar.
    Rejected,
    /// The certificate was printed.
    Certified,
    /// Put away by the registrar.
    Archived,
}

impl Status {
    /// The name in OpenCRVS's `RegStatus`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Declared => "DECLARED",
            Self::WaitingValidation => "WAITING_VALIDATION",
            Self::Registered => "REGISTERED",
            Self::Rejected => "REJECTED",
            Self::Certified => "CERTIFIED",
            Self::Archived => "ARCHIVED",
        }
    }
}

/// A row of a record's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    pub status: Status,
    /// `Task.lastModified` of the row.
    pub at: String,
}

/// How the bridge answered a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallResult {
    /// The bridge answered with this HTTP status.
    Status(u16),
    /// No answer: the connection failed or broke, or the caller stopped waiting.
    NoAnswer(String),
}

impl CallResult {
    /// Whether the bridge answered with a 2xx.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Status(status) if (200..300).contains(status))
    }
}

/// One submission of a record: one call to the front, even if a proxy on the way repeats the call.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `Task.lastModified` of the submission.
    pub stamp: String,
    /// When it was posted.
    pub posted: Instant,
    /// Wall-clock time of `posted`.
    pub at: Timestamp,
    /// The token that the submission carried.
    pub token: TokenHash,
    /// The given name that the registrar corrected for this submission.
    pub corrected: Option<String>,
    /// How the bridge answered. `None` until then.
    pub result: Option<CallResult>,
    /// When the bridge answered.
    pub answered: Option<Timestamp>,
    /// The answer was lost on the way, so core treated the submission as failed.
    pub lost: bool,
    /// When the record was confirmed while this was its newest attempt.
    pub confirmed: Option<Instant>,
}

impl Attempt {
    /// Whether the bridge accepted the submission: it answered with a 2xx, whether or not the
    /// answer arrived.
    pub fn is_accepted(&self) -> bool {
        self.result.as_ref().is_some_and(CallResult::is_success)
    }

    /// Whether the bridge may have accepted the submission although no answer shows it: the
    /// connection broke before an answer.
    pub fn is_doubtful(&self) -> bool {
        matches!(self.result, Some(CallResult::NoAnswer(_)) | None)
    }
}

/// What one confirm wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    pub number: String,
    /// The identifiers that the confirm carried, applied or not.
    pub identifiers: Vec<(String, String)>,
    pub comment: Option<String>,
    /// The record's state before the confirm.
    pub status_before: Status,
    /// `Task.lastModified` of that earlier state.
    pub since: String,
    /// Index of the record's newest attempt at that time.
    pub attempt: usize,
    /// When the confirm took effect.
    pub at: Timestamp,
    /// The token that the confirm carried.
    pub token: TokenHash,
    /// The fault of the call, because of which the caller got another answer or none.
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub kind: Kind,
    /// The tracking id that the family was given.
    pub tracking_id: String,
    /// The id of the record's Task.
    pub task: String,
    /// The user id of the registrar who submits the record.
    pub registrar: String,
    /// The states of the record, oldest first.
    pub history: Vec<HistoryRow>,
    /// The registration numbers on the record's Task. Readers take the first; more than one is
    /// damage.
    pub numbers: Vec<String>,
    /// The identifiers of the child.
    pub identifiers: BTreeMap<String, String>,
    /// How often the family was notified.
    pub notified: u32,
    /// Every confirm that was applied.
    pub confirms: Vec<Confirmed>,
    /// How often a failed submission put REJECTED over REGISTERED.
    pub overwritten: u32,
    /// The submissions of the record, oldest first.
    pub attempts: Vec<Attempt>,
    /// The part that only the events generation has. `None`: the record belongs to the FHIR
    /// generation.
    pub event: Option<EventFile>,
    /// The person that the event is about, in the form of the gateway (FHIR generation).
    pub(super) person: Option<serde_json::Value>,
    pub(super) last: Timestamp,
}

impl Record {
    pub fn status(&self) -> Status {
        self.history.last().map_or(Status::Declared, |step| step.status)
    }

    pub(super) fn enter(&mut self, status: Status, at: Timestamp) -> String {
        // Core's timestamps have milliseconds, and two rows of a record never have the same one. A
        // row from a clock that was ahead does not move later rows into the future.
        let next = self.last + SignedDuration::from_millis(1);
        let was_ahead = self.last > Timestamp::now() + AHEAD;
        self.last = if at > next || was_ahead { at } else { next };
        let at = iso(self.last);
        self.history.push(HistoryRow { status, at: at.clone() });
        at
    }

    pub(super) fn past(&self) -> Vec<Earlier> {
        let row = |step: &HistoryRow| Earlier { status: step.status.name().to_owned(), at: step.at.clone() };
        self.history.iter().map(row).collect()
    }
}

/// A time as OpenCRVS writes it: always three digits of milliseconds and `Z`.
pub(super) fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
