//! The records as OpenCRVS holds them, with everything that was done to them.
//!
//! Invariant: a confirm asks for no state and is never refused for one, as in core; the harm that this does
//! (a second number, a second message to the family, a record back from REJECTED) is done here too, and counted.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::simulate::population::{Earlier, Kind};

/// How many registrars share the work.
const REGISTRARS: usize = 7;

/// The state of a record, as far as this simulation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Declared, not yet registered.
    Declared,
    /// Sent for external validation.
    WaitingValidation,
    /// Registered.
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
    /// The state.
    pub status: Status,
    /// `Task.lastModified` of the row.
    pub at: String,
}

/// How a submission was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// With this HTTP status.
    Status(u16),
    /// Not at all: no connection, or it broke.
    Broken(String),
}

impl Wire {
    /// Whether the answer was a 2xx.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Status(status) if (200..300).contains(status))
    }
}

/// One submission of a record.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `Task.lastModified` of the submission.
    pub stamp: String,
    /// When it was posted.
    pub posted: Instant,
    /// How it was answered, once it was.
    pub wire: Option<Wire>,
    /// The answer was lost on the way, so that core took it for a failure.
    pub lost: bool,
    /// When the record was confirmed while this was its newest attempt.
    pub confirmed: Option<Instant>,
}

/// What one confirm wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// The number.
    pub number: String,
    /// The identifiers that came with it, applied or not.
    pub identifiers: Vec<(String, String)>,
    /// The comment.
    pub comment: Option<String>,
    /// The state that it met.
    pub over: Status,
}

/// A record.
#[derive(Debug, Clone)]
pub struct Record {
    /// What happened.
    pub kind: Kind,
    /// The family's code.
    pub tracking_id: String,
    /// The id of its Task.
    pub task: String,
    /// The registrar who submits it.
    pub registrar: String,
    /// Its states, oldest first.
    pub history: Vec<Step>,
    /// The numbers on its Task; readers take the first, and more than one is harm.
    pub numbers: Vec<String>,
    /// The identifiers of the child.
    pub identifiers: BTreeMap<String, String>,
    /// How often the family was told.
    pub notified: u32,
    /// Every confirm that was applied.
    pub confirms: Vec<Confirmed>,
    /// How often a failed submission put REJECTED over REGISTERED.
    pub overwritten: u32,
    /// Its submissions, oldest first.
    pub attempts: Vec<Attempt>,
    last: Timestamp,
}

impl Record {
    /// The state of now.
    pub fn status(&self) -> Status {
        self.history.last().map_or(Status::Declared, |step| step.status)
    }

    fn enter(&mut self, status: Status, at: Timestamp) -> String {
        // core's times are of one millisecond; two rows of a record never share one
        let next = self.last + SignedDuration::from_millis(1);
        self.last = if at > next { at } else { next };
        let at = iso(self.last);
        self.history.push(Step { status, at: at.clone() });
        at
    }

    fn past(&self) -> Vec<Earlier> {
        let row = |step: &Step| Earlier { status: step.status.name().to_owned(), at: step.at.clone() };
        self.history.iter().map(row).collect()
    }
}

/// A submission that is to be sent: the record in the memory of the service that sends it.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) attempt: usize,
    pub(super) stamp: String,
    pub(super) earlier: Vec<Earlier>,
    numbers: Vec<String>,
    pub(super) registrar: String,
}

/// What identifies a record that is submitted.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) record: String,
    pub(super) tracking_id: String,
    pub(super) task: String,
    pub(super) kind: Kind,
}

/// All records.
#[derive(Debug, Default, Clone)]
pub struct Book {
    records: HashMap<String, Record>,
}

impl Book {
    /// A record by its id.
    pub fn record(&self, id: &str) -> Option<&Record> {
        self.records.get(id)
    }

    /// All records with their ids, in no order.
    pub fn records(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.records.iter().map(|(id, record)| (id.as_str(), record))
    }

    pub(super) fn open(&mut self, subject: &Subject, stamp: Option<Timestamp>, now: Timestamp) -> Opened {
        let registrar = format!("5f{:022x}", self.records.len() % REGISTRARS);
        let record = self.records.entry(subject.record.clone()).or_insert_with(|| {
            let mut record = Record {
                kind: subject.kind,
                tracking_id: subject.tracking_id.clone(),
                task: subject.task.clone(),
                registrar,
                history: Vec::new(),
                numbers: Vec::new(),
                identifiers: BTreeMap::new(),
                notified: 0,
                confirms: Vec::new(),
                overwritten: 0,
                attempts: Vec::new(),
                last: Timestamp::UNIX_EPOCH,
            };
            record.enter(Status::Declared, stamp.unwrap_or(now) - SignedDuration::from_secs(60));
            record
        });
        let earlier = record.past();
        let stamp = record.enter(Status::WaitingValidation, stamp.unwrap_or(now));
        record.attempts.push(Attempt {
            stamp: stamp.clone(),
            posted: Instant::now(),
            wire: None,
            lost: false,
            confirmed: None,
        });
        Opened {
            attempt: record.attempts.len().saturating_sub(1),
            stamp,
            earlier,
            numbers: record.numbers.clone(),
            registrar: record.registrar.clone(),
        }
    }

    /// Takes the answer to a submission, and does to the record what core does.
    pub(super) fn close(&mut self, record: &str, opened: &Opened, wire: Wire, lost: bool, now: Timestamp) {
        let Some(record) = self.records.get_mut(record) else { return };
        let refused = lost || !wire.is_success();
        if let Some(attempt) = record.attempts.get_mut(opened.attempt) {
            attempt.wire = Some(wire);
            attempt.lost = lost;
        }
        if refused {
            // the copy in memory knows nothing of a confirm that came before the answer
            if record.status() == Status::Registered {
                record.overwritten += 1;
            }
            record.numbers.clone_from(&opened.numbers);
            record.enter(Status::Rejected, now);
        }
    }

    pub(super) fn confirm(&mut self, id: &str, details: Confirmation, now: Timestamp) -> Option<String> {
        let record = self.records.get_mut(id)?;
        let over = record.status();
        record.enter(Status::Registered, now);
        record.numbers.push(details.number.clone());
        if record.kind == Kind::Birth {
            record.identifiers.insert("BIRTH_REGISTRATION_NUMBER".to_owned(), details.number.clone());
            record.identifiers.extend(details.identifiers.iter().cloned());
        }
        record.notified += 1;
        record.confirms.push(Confirmed {
            number: details.number,
            identifiers: details.identifiers,
            comment: details.comment,
            over,
        });
        if let Some(attempt) = record.attempts.last_mut() {
            attempt.confirmed.get_or_insert_with(Instant::now);
        }
        Some(record.task.clone())
    }

    /// Moves a record as a user of OpenCRVS may: certified, archived, back to the registrar.
    pub(super) fn set_status(&mut self, id: &str, status: Status, now: Timestamp) -> bool {
        let record = self.records.get_mut(id);
        record.map(|record| record.enter(status, now)).is_some()
    }
}

/// The details of `confirmRegistration`.
#[derive(Debug, Clone)]
pub(super) struct Confirmation {
    pub(super) number: String,
    pub(super) identifiers: Vec<(String, String)>,
    pub(super) comment: Option<String>,
}

/// A time as OpenCRVS writes it: always three digits of milliseconds and `Z`.
pub(super) fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
