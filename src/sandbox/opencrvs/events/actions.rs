//! A registration is requested, and the answer to its trigger is applied.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::document::correction;
use super::file::{ActionRequest, ActionState, Actor, NewAction, after};
use super::release::Release;
use crate::sandbox::opencrvs::SubmitOptions;
use crate::sandbox::opencrvs::record::{CallResult, Record, Status, iso};
use crate::sandbox::opencrvs::records::{Confirmation, Opened, Records, Subject};

/// The form field of this country that takes the ID of a child.
pub(in crate::sandbox::opencrvs) const IDENTIFIER: &str = "child.nid";

/// A user who is not the registrar of the records, to whom events are assigned.
const CLERK: &str = "5fc1e4000000000000000001";

/// A requested registration: its action, and the document that the trigger carries.
pub(in crate::sandbox::opencrvs) struct Requested {
    pub(in crate::sandbox::opencrvs) opened: Opened,
    pub(in crate::sandbox::opencrvs) action: String,
    pub(in crate::sandbox::opencrvs) event: Value,
}

/// The body of a 200, which accepts the registration within the trigger's request.
pub(super) struct Inline {
    pub(super) confirmation: Confirmation,
    pub(super) declaration: Map<String, Value>,
    /// Fields that the country's forms do not define.
    pub(super) undefined: Vec<String>,
}

/// How the bridge answered a trigger, and what core does then.
pub(super) struct TriggerAnswer {
    pub(super) result: CallResult,
    /// The body of a 200 as core parses it.
    pub(super) read: Option<Inline>,
    /// The answer was lost on the way.
    pub(super) lost: bool,
    pub(super) rules: TriggerRules,
}

/// What core does after a trigger, apart from what its status says.
#[derive(Debug, Clone, Copy)]
pub(super) struct TriggerRules {
    pub(super) release: Release,
    /// How long another user is assigned after a 202, if one is.
    pub(super) other_user: Option<Duration>,
    pub(super) registrar_leaves_after: Option<Duration>,
    pub(super) indexes_failed_triggers: bool,
}

impl Records {
    /// Declares the record if it is new, and requests its registration. The options may name the
    /// time of a clock that is ahead. `None` if a request is already open; core then answers 409.
    pub(in crate::sandbox::opencrvs) fn request(
        &mut self,
        subject: &Subject,
        declaration: &Map<String, Value>,
        options: &SubmitOptions,
        release: Release,
        now: Timestamp,
    ) -> Option<Requested> {
        let waits = |record: &Record| record.status() == Status::WaitingValidation;
        if self.record(&subject.record).is_some_and(waits) {
            return None;
        }
        let opened = self.open(subject, options.at, now);
        let correction = correction(subject.kind, options.corrected.as_deref());
        let record = self.record_mut(&subject.record)?;
        let registrar = record.registrar.clone();
        let file = record.event.get_or_insert_default();
        file.failed = false;
        file.rejected = false;
        let actor = Actor::registrar(&registrar);
        let new = |status, kind| NewAction { status, kind, at: &opened.stamp, actor: &actor };
        if opened.attempt == 0 {
            file.add(&new("Accepted", "CREATE"), json!({}));
            let declared = file.add(&new("Requested", "DECLARE"), json!({ "declaration": declaration }));
            file.add(&new("Accepted", "DECLARE"), json!({ "originalActionId": declared }));
            file.add(&new("Accepted", "UNASSIGN"), json!({}));
        }
        file.assign(&registrar, None, &opened.stamp);
        file.index_now(now);
        let action = file.add(&new("Requested", "REGISTER"), json!({ "declaration": correction }));
        file.requests.push(ActionRequest {
            action: action.clone(),
            release,
            attempt: opened.attempt,
            requested: now,
            trigger_failed: false,
        });
        let event = document(&subject.record, record);
        Some(Requested { opened, action, event })
    }

    /// Applies the answer to a trigger.
    pub(super) fn triggered(
        &mut self,
        id: &str,
        requested: &Requested,
        answer: TriggerAnswer,
        now: Timestamp,
    ) {
        let TriggerAnswer { result, read, lost, rules } = answer;
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
        let actor = Actor::registrar(&record.registrar);
        let Some(file) = record.event.as_mut() else { return };
        match (status, read) {
            (Some(202), _) => file.accepted_for_later(answered, rules, now),
            (Some(200), Some(inline)) if !answered => {
                let more = json!({
                    "registrationNumber": inline.confirmation.number, "declaration": inline.declaration,
                });
                file.answer("Accepted", &requested.action, &actor, now, more);
                file.unassign(now);
                file.undefined.extend(inline.undefined);
                file.index_now(now);
                self.confirm(id, inline.confirmation, now);
            }
            (Some(200), Some(_)) => {}
            (Some(400), _) if !answered => {
                file.answer("Rejected", &requested.action, &actor, now, json!({}));
                file.unassign(now);
                file.index_now(now);
                record.enter(Status::Rejected, now);
            }
            (Some(400), _) => file.crossed = file.answer_to(&requested.action) == Some("Accepted"),
            (Some(_) | None, _) => file.trigger_failed(&requested.action, rules, now),
        }
    }

    /// `event.get`. Core notes that the event was read, and indexes it again.
    pub(super) fn read_event(&mut self, id: &str, reader: &Actor, now: Timestamp) -> Option<Value> {
        let record = self.record_mut(id)?;
        let file = record.event.as_mut()?;
        let _ = file.assignee(now);
        let new = NewAction { status: "Accepted", kind: "READ", at: &iso(now), actor: reader };
        file.add(&new, json!({}));
        file.index_now(now);
        Some(document(id, record))
    }
}

impl super::EventFile {
    fn accepted_for_later(&mut self, answered: bool, rules: TriggerRules, now: Timestamp) {
        // Core now overwrites the index with the document from before the trigger.
        self.stale_index = answered;
        if rules.release.has_action_tokens() {
            self.index_as(Some(ActionState::Pending), now);
            return;
        }
        self.unassign(now);
        if let Some(span) = rules.other_user {
            self.assign(CLERK, Some(after(now, span)), &iso(now));
        }
        self.index_as(Some(ActionState::Pending), now);
    }

    fn trigger_failed(&mut self, action: &str, rules: TriggerRules, now: Timestamp) {
        // The client retries with the same transaction id and gets a success.
        self.failed = true;
        self.retries_without_trigger += 1;
        if let Some(request) = self.requests.iter_mut().find(|request| request.action == action) {
            request.trigger_failed = true;
        }
        if let Some(span) = rules.registrar_leaves_after.filter(|_| !rules.release.has_action_tokens()) {
            self.leaves_at(after(now, span));
        }
        if rules.indexes_failed_triggers {
            self.index_now(now);
        }
    }
}

pub(super) fn document(id: &str, record: &Record) -> Value {
    let actions = record.event.as_ref().map(|file| file.actions.clone()).unwrap_or_default();
    let created = record.history.first().map(|step| step.at.clone());
    json!({
        "id": id, "type": record.kind.name(), "trackingId": record.tracking_id,
        "createdAt": created, "updatedAt": created, "actions": actions,
    })
}
