//! The records as OpenCRVS stores them, with everything that was done to them.
//!
//! Invariant: as in core, a confirm is never refused because of the record's state. The damage that
//! follows (a second number, a second message to the family, a record back from REJECTED) is done
//! here too, and counted.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::fault::Fault;
use super::keys::TokenHash;
use super::record::{Attempt, CallResult, Confirmed, Record, Status};
use crate::sandbox::population::{Declaration, Earlier, Kind};

/// Number of registrars who share the work.
const REGISTRARS: usize = 7;

/// A submission that is about to be sent, with the copy of the record that the sending service
/// keeps in memory.
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

impl Subject {
    pub(super) fn of(family: &Declaration) -> Self {
        Self {
            record: family.record.clone(),
            tracking_id: family.tracking_id.clone(),
            task: family.task_id(),
            kind: family.kind,
        }
    }
}

/// A token that auth exchanged for a fresh one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    pub at: Timestamp,
    /// The record that the fresh token is for.
    pub record: String,
    /// The token that was exchanged.
    pub from: TokenHash,
    /// The fresh token.
    pub to: TokenHash,
}

#[derive(Debug, Default, Clone)]
pub struct Records {
    records: HashMap<String, Record>,
    exchanged: Vec<Exchanged>,
}

impl Records {
    pub fn record(&self, id: &str) -> Option<&Record> {
        self.records.get(id)
    }

    pub(super) fn record_mut(&mut self, id: &str) -> Option<&mut Record> {
        self.records.get_mut(id)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (&str, &mut Record)> {
        self.records.iter_mut().map(|(id, record)| (id.as_str(), record))
    }

    /// All records with their ids, in no particular order.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.records.iter().map(|(id, record)| (id.as_str(), record))
    }

    /// Every token exchange, oldest first.
    pub fn exchanged(&self) -> &[Exchanged] {
        &self.exchanged
    }

    /// The attempt that this token belongs to, directly or through exchanges.
    pub fn attempt_of(&self, record: &str, token: &TokenHash) -> Option<usize> {
        let attempts = &self.records.get(record)?.attempts;
        let mut token = token;
        // An exchange within the same second returns the same token.
        for _ in 0..=self.exchanged.len() {
            if let Some(found) = attempts.iter().position(|attempt| attempt.token == *token) {
                return Some(found);
            }
            token = &self.exchanged.iter().find(|one| one.to == *token && one.from != *token)?.from;
        }
        None
    }

    pub(super) fn exchange(&mut self, exchanged: Exchanged) {
        self.exchanged.push(exchanged);
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
                event: None,
                person: None,
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
            at: now,
            token: TokenHash::default(),
            corrected: None,
            result: None,
            answered: None,
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

    /// Stores the token and the correction of a submission.
    pub(super) fn carry(
        &mut self,
        record: &str,
        opened: &Opened,
        token: TokenHash,
        corrected: Option<String>,
    ) {
        let attempts = self.records.get_mut(record).map(|record| &mut record.attempts);
        if let Some(attempt) = attempts.and_then(|attempts| attempts.get_mut(opened.attempt)) {
            attempt.token = token;
            attempt.corrected = corrected;
        }
    }

    /// Applies the answer to a submission to the record, as core does.
    pub(super) fn close(
        &mut self,
        record: &str,
        opened: &Opened,
        result: CallResult,
        lost: bool,
        now: Timestamp,
    ) {
        let Some(record) = self.records.get_mut(record) else { return };
        let refused = lost || !result.is_success();
        if let Some(attempt) = record.attempts.get_mut(opened.attempt) {
            attempt.result = Some(result);
            attempt.answered = Some(now);
            attempt.lost = lost;
        }
        if refused {
            // Core writes from its copy in memory, which lacks a confirm that came before the
            // answer.
            if record.status() == Status::Registered {
                record.overwritten += 1;
            }
            record.numbers.clone_from(&opened.numbers);
            record.enter(Status::Rejected, now);
        }
    }

    pub(super) fn confirm(&mut self, id: &str, details: Confirmation, now: Timestamp) -> Option<String> {
        let record = self.records.get_mut(id)?;
        let (status_before, since) = (record.status(), record.history.last().map(|step| step.at.clone()));
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
            status_before,
            since: since.unwrap_or_default(),
            attempt: record.attempts.len().saturating_sub(1),
            at: now,
            token: details.token,
            fault: details.fault,
        });
        if let Some(attempt) = record.attempts.last_mut() {
            attempt.confirmed.get_or_insert_with(Instant::now);
        }
        Some(record.task.clone())
    }

    /// Changes the state of a record as a user of OpenCRVS may: certified, archived, back to the
    /// registrar.
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
    pub(super) token: TokenHash,
    pub(super) fault: Option<Fault>,
}
