//! A record as OpenCRVS holds it, with everything that was submitted for it and written to it.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::events::EventFile;
use super::fault::Fault;
use super::keys::TokenHash;
use crate::sandbox::population::{Earlier, Kind};

/// The state of a record, as far as this simulation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Declared, not yet registered.
    Declared,
    /// Sent for external validation.
    WaitingValidation,
    Registered,
    /// Back with the registrar.
    Rejected,
    /// The certificate was printed.
    Certified,
    /// Put away by the registrar.
    Archived,
}

impl Status {
    /// The name in `RegStatus`.
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
pub struct Step {
    pub status: Status,
    /// `Task.lastModified` of the row.
    pub at: String,
}

/// How a submission was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// With this HTTP status.
    Status(u16),
    /// No answer: the connection failed or broke, or the caller stopped waiting.
    Broken(String),
}

impl Wire {
    /// Whether the answer was a 2xx.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Status(status) if (200..300).contains(status))
    }
}

/// One submission of a record: one call of the front, however often a proxy in between repeats it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `Task.lastModified` of the submission.
    pub stamp: String,
    /// When it was posted.
    pub posted: Instant,
    /// The same as wall-clock time.
    pub at: Timestamp,
    /// The token that it carried.
    pub token: TokenHash,
    /// The given name that the registrar corrected for it.
    pub corrected: Option<String>,
    /// How it was answered, once it was.
    pub wire: Option<Wire>,
    /// When that was.
    pub answered: Option<Timestamp>,
    /// The answer was lost on the way, so that core took it for a failure.
    pub lost: bool,
    /// When the record was confirmed while this was its newest attempt.
    pub confirmed: Option<Instant>,
}

impl Attempt {
    /// Whether the bridge accepted it: it answered with a 2xx, whether or not the answer arrived.
    pub fn is_accepted(&self) -> bool {
        self.wire.as_ref().is_some_and(Wire::is_success)
    }

    /// Whether the bridge may have accepted it without anybody knowing: the connection broke before
    /// an answer.
    pub fn is_doubtful(&self) -> bool {
        matches!(self.wire, Some(Wire::Broken(_)) | None)
    }
}

/// What one confirm wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    pub number: String,
    /// The identifiers that came with it, applied or not.
    pub identifiers: Vec<(String, String)>,
    pub comment: Option<String>,
    /// The record's state before it.
    pub over: Status,
    /// `Task.lastModified` of that state.
    pub since: String,
    /// Which of the record's attempts was its newest then.
    pub attempt: usize,
    /// When it took effect.
    pub at: Timestamp,
    /// The token that it came with.
    pub token: TokenHash,
    /// The fault of the call, so that the caller got another answer or none.
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone)]
pub struct Record {
    /// What happened.
    pub kind: Kind,
    /// The code that the family was given.
    pub tracking_id: String,
    /// The id of its Task.
    pub task: String,
    /// The registrar who submits it.
    pub registrar: String,
    /// Its states, oldest first.
    pub history: Vec<Step>,
    /// The numbers on its Task. Readers take the first; more than one is damage.
    pub numbers: Vec<String>,
    /// The identifiers of the child.
    pub identifiers: BTreeMap<String, String>,
    /// How often the family was notified.
    pub notified: u32,
    /// Every confirm that was applied.
    pub confirms: Vec<Confirmed>,
    /// How often a failed submission put REJECTED over REGISTERED.
    pub overwritten: u32,
    /// Its submissions, oldest first.
    pub attempts: Vec<Attempt>,
    /// What only the events generation keeps. `None`: the record is of the FHIR generation.
    pub event: Option<EventFile>,
    pub(super) last: Timestamp,
}

impl Record {
    /// The current state.
    pub fn status(&self) -> Status {
        self.history.last().map_or(Status::Declared, |step| step.status)
    }

    pub(super) fn enter(&mut self, status: Status, at: Timestamp) -> String {
        // Core's times have milliseconds; two rows of a record never have the same time.
        let next = self.last + SignedDuration::from_millis(1);
        self.last = if at > next { at } else { next };
        let at = iso(self.last);
        self.history.push(Step { status, at: at.clone() });
        at
    }

    pub(super) fn past(&self) -> Vec<Earlier> {
        let row = |step: &Step| Earlier { status: step.status.name().to_owned(), at: step.at.clone() };
        self.history.iter().map(row).collect()
    }
}

/// A time as OpenCRVS writes it: always three digits of milliseconds and `Z`.
pub(super) fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
