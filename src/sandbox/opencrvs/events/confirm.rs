//! `register.accept` and `register.reject` on the records, with the checks that come after the
//! caller's authorization.
//!
//! Wire source: `opencrvs-events.md` §2.1, §2.3; `opencrvs-2.1.md` §0, §3, §8.

use std::borrow::Cow;
use std::collections::BTreeSet;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::EventFile;
use super::actions::document;
use super::file::{Actor, is};
use crate::sandbox::opencrvs::record::Status;
use crate::sandbox::opencrvs::records::{Confirmation, Records};

/// The arguments of `register.accept` or `register.reject`.
#[derive(Debug, Clone)]
pub(super) struct ActionCall {
    pub(super) event: String,
    pub(super) action: String,
    pub(super) transaction: String,
    pub(super) declaration: Map<String, Value>,
    pub(super) keeps_assignment: bool,
    pub(super) confirmation: Confirmation,
}

/// What the release checks, and who calls.
#[derive(Debug, Clone)]
pub(super) struct ConfirmRules {
    /// `None`: the registrar, whose token the trigger carried.
    pub(super) client: Option<String>,
    /// Whether the checks of 2.1 apply: nobody is assigned, and the action is a pending REGISTER.
    pub(super) is_strict: bool,
    pub(super) assignment_before_action: bool,
    /// The fields that the country's forms define.
    pub(super) defined: BTreeSet<String>,
    pub(super) refuses_undefined_fields: bool,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: Cow<'static, str>,
}

impl Refused {
    const NO_ACTION: Self = Self::new(StatusCode::NOT_FOUND, "Action not found.");
    const REJECTED: Self = Self::new(StatusCode::BAD_REQUEST, "Action has already been rejected.");
    const ASSIGNED: Self = Self::new(StatusCode::CONFLICT, "User is assigned to this event");
    const NOT_ASSIGNED: Self = Self::new(StatusCode::CONFLICT, "You are not assigned to this event");
    const UNEXPECTED_FIELD: Self = Self::new(StatusCode::BAD_REQUEST, "Unexpected field");
    pub(super) const HIDDEN: Self = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error");
    /// By the gateway, which does not accept the token.
    pub(super) const UNAUTHENTICATED: Self = Self::new(StatusCode::UNAUTHORIZED, "Missing authentication");
    /// By the events service, which does not know the subject of the token.
    pub(super) const UNKNOWN: Self = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    pub(super) const FORBIDDEN: Self = Self::new(StatusCode::FORBIDDEN, "FORBIDDEN");

    pub(super) const fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, message: Cow::Borrowed(message) }
    }

    pub(super) fn saying(status: StatusCode, message: String) -> Self {
        Self { status, message: Cow::Owned(message) }
    }

    pub(super) fn no_event(id: &str) -> Self {
        Self::saying(StatusCode::NOT_FOUND, format!("Event not found with ID: {id}"))
    }

    /// Zod's complaint about a member that is missing.
    pub(super) fn required(name: &str) -> Self {
        let path: Vec<&str> = if name.is_empty() { Vec::new() } else { vec![name] };
        let issues = json!([{ "code": "invalid_type", "path": path, "message": "Required" }]);
        Self::saying(StatusCode::BAD_REQUEST, issues.to_string())
    }
}

impl Records {
    /// `register.accept`. Unless the release refuses it, a declaration with an undefined field is
    /// stored and makes the later indexing fail.
    pub(super) fn accept(
        &mut self,
        call: &ActionCall,
        rules: &ConfirmRules,
        now: Timestamp,
    ) -> Result<Value, Refused> {
        let taken = self.is_taken(&call.transaction, &call.action, "Accepted");
        let record = self.record_mut(&call.event).ok_or_else(|| Refused::no_event(&call.event))?;
        let actor = rules.actor(&record.registrar);
        let file = record.event.as_mut().ok_or_else(|| Refused::no_event(&call.event))?;
        file.check(call, rules, now)?;
        match file.answer_to(&call.action) {
            Some("Rejected") => {
                file.contradicted += 1;
                return Err(Refused::REJECTED);
            }
            Some(_) => {
                file.repeats += 1;
                return Ok(document(&call.event, record));
            }
            None => {}
        }
        let unknown: Vec<String> =
            call.declaration.keys().filter(|field| !rules.defined.contains(*field)).cloned().collect();
        let is_broken = !unknown.is_empty();
        if is_broken && rules.refuses_undefined_fields {
            file.unexpected_fields += 1;
            return Err(Refused::UNEXPECTED_FIELD);
        }
        if taken {
            file.dropped += 1;
            return Ok(document(&call.event, record));
        }
        let more = json!({
            "registrationNumber": call.confirmation.number, "declaration": call.declaration,
            "transactionId": call.transaction,
        });
        file.answer("Accepted", &call.action, &actor, now, more);
        file.stale_index = false;
        file.undefined.extend(unknown);
        if !is_broken {
            file.index_now(now);
        }
        self.confirm(&call.event, call.confirmation.clone(), now);
        if is_broken {
            return Err(Refused::HIDDEN);
        }
        self.record(&call.event)
            .map(|record| document(&call.event, record))
            .ok_or_else(|| Refused::no_event(&call.event))
    }

    /// `register.reject`.
    pub(super) fn reject(
        &mut self,
        call: &ActionCall,
        rules: &ConfirmRules,
        now: Timestamp,
    ) -> Result<Value, Refused> {
        let taken = self.is_taken(&call.transaction, &call.action, "Rejected");
        let record = self.record_mut(&call.event).ok_or_else(|| Refused::no_event(&call.event))?;
        let actor = rules.actor(&record.registrar);
        let file = record.event.as_mut().ok_or_else(|| Refused::no_event(&call.event))?;
        file.check(call, rules, now).map_err(|refused| {
            // Before 2.1 a reject of an unknown action is an unexpected error.
            let is_hidden = !rules.is_strict && refused == Refused::NO_ACTION;
            if is_hidden { Refused::HIDDEN } else { refused }
        })?;
        match file.answer_to(&call.action) {
            Some("Rejected") => file.repeats += 1,
            Some(_) => {
                file.contradicted += 1;
                return Err(Refused::HIDDEN);
            }
            None if taken => file.dropped += 1,
            None => {
                let more = json!({ "transactionId": call.transaction });
                file.answer("Rejected", &call.action, &actor, now, more);
                if !call.keeps_assignment {
                    file.unassign(now);
                }
                file.rejected = true;
                file.stale_index = false;
                file.index_now(now);
                record.enter(Status::Rejected, now);
            }
        }
        Ok(document(&call.event, record))
    }

    /// `reject.request`: the rejection of the record itself, with a reason. A user must be assigned
    /// to the event.
    pub(super) fn explain(
        &mut self,
        id: &str,
        reason: &str,
        user: Option<&str>,
        now: Timestamp,
    ) -> Result<Value, Refused> {
        let record = self.record_mut(id).ok_or_else(|| Refused::no_event(id))?;
        let file = record.event.as_mut().ok_or_else(|| Refused::no_event(id))?;
        if user.is_some() && file.assignee(now) != user {
            return Err(Refused::NOT_ASSIGNED);
        }
        file.reason = Some(reason.to_owned());
        Ok(document(id, record))
    }

    /// Whether another action has a write with this transaction id. If so, core drops the new
    /// write.
    fn is_taken(&self, transaction: &str, action: &str, status: &str) -> bool {
        self.all().filter_map(|(_, record)| record.event.as_ref()).flat_map(|file| &file.actions).any(|row| {
            is(row, "transactionId", transaction)
                && is(row, "status", status)
                && is(row, "type", "REGISTER")
                && !is(row, "originalActionId", action)
        })
    }
}

impl ConfirmRules {
    fn actor(&self, registrar: &str) -> Actor {
        match &self.client {
            Some(client) => Actor { id: client.clone(), is_system: true },
            None => Actor::registrar(registrar),
        }
    }
}

impl EventFile {
    fn check(&mut self, call: &ActionCall, rules: &ConfirmRules, now: Timestamp) -> Result<(), Refused> {
        if rules.assignment_before_action {
            self.check_assignment(rules, now)?;
            self.check_action(call, rules)
        } else {
            self.check_action(call, rules)?;
            self.check_assignment(rules, now)
        }
    }

    fn check_assignment(&mut self, rules: &ConfirmRules, now: Timestamp) -> Result<(), Refused> {
        if rules.is_strict && self.assignee(now).is_some() {
            self.conflicts += 1;
            return Err(Refused::ASSIGNED);
        }
        Ok(())
    }

    fn check_action(&self, call: &ActionCall, rules: &ConfirmRules) -> Result<(), Refused> {
        let action = self.action(&call.action).ok_or(Refused::NO_ACTION)?;
        if !rules.is_strict {
            return Ok(());
        }
        let bad = |message: String| Err(Refused::saying(StatusCode::BAD_REQUEST, message));
        let id = &call.action;
        if !is(action, "status", "Requested") {
            return bad(format!("Action {id} is not awaiting confirmation."));
        }
        match action.get("type").and_then(Value::as_str) {
            Some("REGISTER") => Ok(()),
            kind => {
                let kind = kind.unwrap_or_default();
                bad(format!("Action {id} is of type {kind}, cannot be confirmed as REGISTER."))
            }
        }
    }
}
