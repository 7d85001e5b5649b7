//! The actions of a record: requested, accepted, rejected.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::EventFile;
use crate::sandbox::json::with;
use crate::sandbox::opencrvs::record::{CallResult, Record, Status, iso};
use crate::sandbox::opencrvs::records::{Confirmation, Opened, Records, Subject};

/// The form field of this country that takes the ID of a child.
pub(in crate::sandbox::opencrvs) const IDENTIFIER: &str = "child.nid";

/// A requested registration: its action, and the document that the trigger carries.
pub(super) struct Requested {
    pub(super) opened: Opened,
    pub(super) action: String,
    pub(super) event: Value,
}

/// The arguments of `register.accept` or `register.reject`.
#[derive(Debug, Clone)]
pub(super) struct ActionCall {
    pub(super) event: String,
    pub(super) action: String,
    pub(super) transaction: String,
    pub(super) declaration: Map<String, Value>,
    pub(super) confirmation: Confirmation,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: &'static str,
}

impl Refused {
    pub(super) const NO_EVENT: Self =
        Self { status: StatusCode::NOT_FOUND, message: "Event not found with ID" };
    const NO_ACTION: Self = Self { status: StatusCode::NOT_FOUND, message: "Action not found." };
    const REJECTED: Self =
        Self { status: StatusCode::BAD_REQUEST, message: "Action has already been rejected." };
    pub(super) const HIDDEN: Self =
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: "Internal server error" };
}

impl Records {
    /// Declares the record if it is new, and requests its registration. `None` if a request is
    /// already open; core then answers 409.
    pub(super) fn request(
        &mut self,
        subject: &Subject,
        declaration: &Map<String, Value>,
        correction: &Map<String, Value>,
        now: Timestamp,
    ) -> Option<Requested> {
        let waits = |record: &Record| record.status() == Status::WaitingValidation;
        if self.record(&subject.record).is_some_and(waits) {
            return None;
        }
        let opened = self.open(subject, None, now);
        let record = self.record_mut(&subject.record)?;
        let registrar = record.registrar.clone();
        let file = record.event.get_or_insert_default();
        file.failed = false;
        file.rejected = false;
        let mut row =
            |status: &str, kind: &str, more: Value| file.add(status, kind, &opened.stamp, &registrar, more);
        if opened.attempt == 0 {
            row("Accepted", "CREATE", json!({}));
            let declared = row("Requested", "DECLARE", json!({ "declaration": declaration }));
            row("Accepted", "DECLARE", json!({ "originalActionId": declared }));
            row("Accepted", "UNASSIGN", json!({}));
        }
        row("Accepted", "ASSIGN", json!({ "assignedTo": registrar }));
        let action = row("Requested", "REGISTER", json!({ "declaration": correction }));
        let event = document(&subject.record, record);
        Some(Requested { opened, action, event })
    }

    /// Applies the answer to a trigger. `read` is the body of a 200 as core parses it.
    pub(super) fn triggered(
        &mut self,
        id: &str,
        requested: &Requested,
        (result, read): (CallResult, Option<Inline>),
        lost: bool,
        now: Timestamp,
    ) {
        let Some(record) = self.record_mut(id) else { return };
        let answered = record.event.as_ref().is_some_and(|file| file.answer_to(&requested.action).is_some());
        let status = match &result {
            CallResult::Status(status) if !lost => Some(*status),
            CallResult::Status(_) | CallResult::NoAnswer(_) => None,
        };
        if let Some(attempt) = record.attempts.get_mut(requested.opened.attempt) {
            attempt.result = Some(result);
            attempt.answered = Some(now);
            attempt.lost = lost;
        }
        let registrar = record.registrar.clone();
        let Some(file) = record.event.as_mut() else { return };
        match (status, read) {
            // Core now overwrites the index with the document from before the trigger.
            (Some(202), _) => file.stale_index = answered,
            (Some(200), Some(inline)) if !answered => {
                let more = json!({
                    "registrationNumber": inline.confirmation.number, "declaration": inline.declaration,
                });
                file.answer("Accepted", &requested.action, &registrar, now, more);
                file.undefined.extend(inline.undefined);
                self.confirm(id, inline.confirmation, now);
            }
            (Some(200), Some(_)) => {}
            (Some(400), _) if !answered => {
                file.answer("Rejected", &requested.action, &registrar, now, json!({}));
                record.enter(Status::Rejected, now);
            }
            (Some(400), _) => file.crossed = file.answer_to(&requested.action) == Some("Accepted"),
            (Some(_) | None, _) => {
                // The client retries with the same transaction id and gets a success.
                file.failed = true;
                file.retries_without_trigger += 1;
            }
        }
    }

    /// `register.accept`. The declaration is stored unchecked. An undefined field makes the later
    /// indexing fail.
    pub(super) fn accept(
        &mut self,
        call: &ActionCall,
        defined: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Value, Refused> {
        let taken = self.is_taken(&call.transaction, &call.action, "Accepted");
        let record = self.record_mut(&call.event).ok_or(Refused::NO_EVENT)?;
        let file = record.event.as_mut().ok_or(Refused::NO_EVENT)?;
        if !file.has(&call.action) {
            return Err(Refused::NO_ACTION);
        }
        match file.answer_to(&call.action) {
            Some("Rejected") => {
                file.contradicted += 1;
                return Err(Refused::REJECTED);
            }
            Some(_) => {
                file.repeats += 1;
                return Ok(document(&call.event, record));
            }
            None if taken => {
                file.dropped += 1;
                return Ok(document(&call.event, record));
            }
            None => {}
        }
        let unknown: Vec<String> =
            call.declaration.keys().filter(|field| !defined.contains(*field)).cloned().collect();
        let registrar = record.registrar.clone();
        let more = json!({
            "registrationNumber": call.confirmation.number, "declaration": call.declaration,
            "transactionId": call.transaction,
        });
        file.answer("Accepted", &call.action, &registrar, now, more);
        file.stale_index = false;
        let is_broken = !unknown.is_empty();
        file.undefined.extend(unknown);
        self.confirm(&call.event, call.confirmation.clone(), now);
        if is_broken {
            return Err(Refused::HIDDEN);
        }
        self.record(&call.event).map(|record| document(&call.event, record)).ok_or(Refused::NO_EVENT)
    }

    /// `register.reject`.
    pub(super) fn reject(&mut self, call: &ActionCall, now: Timestamp) -> Result<Value, Refused> {
        let taken = self.is_taken(&call.transaction, &call.action, "Rejected");
        let record = self.record_mut(&call.event).ok_or(Refused::NO_EVENT)?;
        let registrar = record.registrar.clone();
        let file = record.event.as_mut().ok_or(Refused::NO_EVENT)?;
        match file.answer_to(&call.action) {
            Some("Rejected") => file.repeats += 1,
            Some(_) => {
                file.contradicted += 1;
                return Err(Refused::HIDDEN);
            }
            None if !file.has(&call.action) => return Err(Refused::HIDDEN),
            None if taken => file.dropped += 1,
            None => {
                let more = json!({ "transactionId": call.transaction });
                file.answer("Rejected", &call.action, &registrar, now, more);
                file.rejected = true;
                file.stale_index = false;
                record.enter(Status::Rejected, now);
            }
        }
        Ok(document(&call.event, record))
    }

    /// `reject.request`: the registrar's own rejection of the record, with a reason.
    pub(super) fn explain(&mut self, id: &str, reason: &str) -> Result<Value, Refused> {
        let record = self.record_mut(id).ok_or(Refused::NO_EVENT)?;
        record.event.as_mut().ok_or(Refused::NO_EVENT)?.reason = Some(reason.to_owned());
        Ok(document(id, record))
    }

    /// `event.get`.
    pub(super) fn event(&self, id: &str) -> Option<Value> {
        let record = self.record(id).filter(|record| record.event.is_some())?;
        Some(document(id, record))
    }

    /// Whether another action has a write with this transaction id. If so, core drops the new
    /// write.
    fn is_taken(&self, transaction: &str, action: &str, status: &str) -> bool {
        let is = |row: &Value, name: &str, text: &str| row.get(name).and_then(Value::as_str) == Some(text);
        self.all().filter_map(|(_, record)| record.event.as_ref()).flat_map(|file| &file.actions).any(|row| {
            is(row, "transactionId", transaction)
                && is(row, "status", status)
                && is(row, "type", "REGISTER")
                && !is(row, "originalActionId", action)
        })
    }
}

/// The body of a 200, which accepts the registration within the trigger's request.
pub(super) struct Inline {
    pub(super) confirmation: Confirmation,
    pub(super) declaration: Map<String, Value>,
    /// Fields that the country's forms do not define.
    pub(super) undefined: Vec<String>,
}

impl EventFile {
    fn add(&mut self, status: &str, kind: &str, at: &str, registrar: &str, more: Value) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let row = json!({
            "id": id, "type": kind, "status": status, "createdAt": at, "createdBy": registrar,
            "createdByUserType": "user", "createdByRole": "LOCAL_REGISTRAR",
            "createdAtLocation": "9e069dda-0d83-4f67-a4f2-9adbf5658e2e", "declaration": {},
            "transactionId": uuid::Uuid::new_v4().to_string(),
        });
        self.actions.push(with(row, more));
        id
    }

    fn answer(&mut self, status: &str, action: &str, registrar: &str, now: Timestamp, more: Value) {
        let more = with(more, json!({ "originalActionId": action }));
        self.add(status, "REGISTER", &iso(now), registrar, more);
    }

    fn has(&self, action: &str) -> bool {
        self.actions.iter().any(|row| row.get("id").and_then(Value::as_str) == Some(action))
    }

    /// The status of the answer to an action, if the action is answered.
    fn answer_to(&self, action: &str) -> Option<&str> {
        let row = self
            .actions
            .iter()
            .find(|row| row.get("originalActionId").and_then(Value::as_str) == Some(action))?;
        row.get("status").and_then(Value::as_str)
    }
}

fn document(id: &str, record: &Record) -> Value {
    let actions = record.event.as_ref().map(|file| file.actions.clone()).unwrap_or_default();
    let created = record.history.first().map(|step| step.at.clone());
    json!({
        "id": id, "type": record.kind.name(), "trackingId": record.tracking_id,
        "createdAt": created, "updatedAt": created, "actions": actions,
    })
}
