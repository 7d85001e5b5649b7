//! The part of a record that only the events generation has: its actions, who is assigned to it,
//! and what the search index shows.
//!
//! Invariant: damage that core would have done is never repaired here.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::release::Release;
use crate::sandbox::json::with;
use crate::sandbox::opencrvs::record::iso;

/// The part of a record that only the events generation has.
#[derive(Debug, Clone, Default)]
pub struct EventFile {
    /// The actions as core stores them, oldest first.
    pub actions: Vec<Value>,
    /// Every requested registration, oldest first.
    pub requests: Vec<ActionRequest>,
    /// The user who is assigned to the event.
    pub assignment: Option<Assignment>,
    /// Whether core saw the trigger of the newest request fail.
    pub failed: bool,
    /// How often a client's retry was answered with a success although no trigger was sent.
    pub retries_without_trigger: u32,
    /// Fields that were written although no form defines them. Each breaks the record permanently.
    pub undefined: Vec<String>,
    /// How often an accept was refused because of a field that no form defines.
    pub unexpected_fields: u32,
    /// The index shows the record as requested although it is answered, because the answer came
    /// before our 202.
    pub stale_index: bool,
    /// How often the same answer came again. A repeated answer has no effect.
    pub repeats: u32,
    /// Writes that core dropped because another write has the same transaction id.
    pub dropped: u32,
    /// Answers that came after a different answer. Core refuses them.
    pub contradicted: u32,
    /// Answers that were refused because a user was assigned to the event.
    pub conflicts: u32,
    /// Our 400 came after the acceptance. Core stores both, and shows the registered record as
    /// rejected.
    pub crossed: bool,
    /// The bridge rejected the newest request after it had accepted it.
    pub rejected: bool,
    /// The reason of the rejection, if the bridge gave one.
    pub reason: Option<String>,
    /// What was indexed, oldest first.
    pub(super) index: Vec<IndexRow>,
}

/// A requested registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRequest {
    /// The action's id.
    pub action: String,
    /// The release that the action was requested in.
    pub release: Release,
    /// Index of the record's attempt that sent the trigger.
    pub attempt: usize,
    pub requested: Timestamp,
    /// Whether core saw the trigger fail. The action is pending all the same.
    pub trigger_failed: bool,
}

/// The state of a requested action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    Pending,
    Accepted,
    Rejected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub user: String,
    /// When the user leaves the event. `None`: not by itself.
    pub until: Option<Timestamp>,
}

/// A document of the search index.
#[derive(Debug, Clone)]
pub(super) struct IndexRow {
    pub(super) at: Timestamp,
    pub(super) status: &'static str,
    pub(super) flags: Vec<&'static str>,
    /// Time of the newest accepted action. A request does not change it.
    pub(super) updated_at: String,
    pub(super) assigned_to: Option<String>,
    pub(super) registration_number: Option<String>,
}

/// Who writes an action.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) id: String,
    pub(super) is_system: bool,
}

impl Actor {
    pub(super) fn registrar(id: &str) -> Self {
        Self { id: id.to_owned(), is_system: false }
    }
}

/// An action to store.
pub(super) struct NewAction<'a> {
    pub(super) status: &'a str,
    pub(super) kind: &'a str,
    pub(super) at: &'a str,
    pub(super) actor: &'a Actor,
}

impl EventFile {
    /// The release that the newest registration was requested in.
    pub(in crate::sandbox::opencrvs) fn release(&self) -> Option<Release> {
        self.requests.last().map(|request| request.release)
    }

    /// The state of a requested registration, or `None` if the event has no such request.
    pub fn state_of(&self, action: &str) -> Option<ActionState> {
        self.requests.iter().find(|request| request.action == action)?;
        Some(match self.answer_to(action) {
            None => ActionState::Pending,
            Some("Accepted") => ActionState::Accepted,
            Some(_) => ActionState::Rejected,
        })
    }

    /// The fields that accepted registrations wrote; the newest value of each. A null erased its
    /// field.
    pub fn written(&self) -> Map<String, Value> {
        let accepted = self.actions.iter().filter(|row| is(row, "type", "REGISTER"));
        let accepted = accepted.filter(|row| is(row, "status", "Accepted"));
        accepted.filter_map(|row| row.get("declaration")?.as_object().cloned()).flatten().collect()
    }

    /// Stores an action and returns its id.
    pub(super) fn add(&mut self, new: &NewAction<'_>, more: Value) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let row = json!({
            "id": id, "type": new.kind, "status": new.status, "createdAt": new.at,
            "createdBy": new.actor.id, "declaration": {},
            "transactionId": uuid::Uuid::new_v4().to_string(),
        });
        let by = if new.actor.is_system {
            json!({ "createdByUserType": "system" })
        } else {
            json!({
                "createdByUserType": "user", "createdByRole": "LOCAL_REGISTRAR",
                "createdAtLocation": "9e069dda-0d83-4f67-a4f2-9adbf5658e2e",
            })
        };
        self.actions.push(with(with(row, by), more));
        id
    }

    pub(super) fn answer(&mut self, status: &str, action: &str, actor: &Actor, now: Timestamp, more: Value) {
        let more = with(more, json!({ "originalActionId": action }));
        self.add(&NewAction { status, kind: "REGISTER", at: &iso(now), actor }, more);
    }

    pub(super) fn assign(&mut self, user: &str, until: Option<Timestamp>, at: &str) {
        let actor = Actor::registrar(user);
        let new = NewAction { status: "Accepted", kind: "ASSIGN", at, actor: &actor };
        self.add(&new, json!({ "assignedTo": user }));
        self.assignment = Some(Assignment { user: user.to_owned(), until });
    }

    /// Ends the assignment; returns false if nobody is assigned.
    pub(super) fn unassign(&mut self, now: Timestamp) -> bool {
        let Some(assignment) = self.assignment.take() else { return false };
        let actor = Actor::registrar(&assignment.user);
        self.add(
            &NewAction { status: "Accepted", kind: "UNASSIGN", at: &iso(now), actor: &actor },
            json!({}),
        );
        true
    }

    /// The user who is assigned now. An assignment whose time is over ends here.
    pub(super) fn assignee(&mut self, now: Timestamp) -> Option<&str> {
        let until = self.assignment.as_ref().and_then(|assignment| assignment.until);
        if until.is_some_and(|until| until <= now) {
            self.unassign(now);
            self.index_now(now);
        }
        self.assignment.as_ref().map(|assignment| assignment.user.as_str())
    }

    /// Sets when the assigned user leaves the event.
    pub(super) fn leaves_at(&mut self, until: Timestamp) {
        if let Some(assignment) = &mut self.assignment {
            assignment.until = Some(until);
        }
    }

    pub(super) fn action(&self, id: &str) -> Option<&Value> {
        self.actions.iter().find(|row| is(row, "id", id))
    }

    /// The status of the answer to an action, if the action is answered.
    pub(super) fn answer_to(&self, action: &str) -> Option<&str> {
        let row = self.actions.iter().find(|row| is(row, "originalActionId", action))?;
        row.get("status").and_then(Value::as_str)
    }

    pub(super) fn index_now(&mut self, now: Timestamp) {
        let newest = self.requests.last().and_then(|request| self.state_of(&request.action));
        self.index_as(newest, now);
    }

    /// Indexes the record as if its newest request had this state.
    pub(super) fn index_as(&mut self, newest: Option<ActionState>, now: Timestamp) {
        // An undefined field makes every later indexing of the record fail.
        if !self.undefined.is_empty() {
            return;
        }
        let registered = self.actions.iter().find(|row| {
            newest != Some(ActionState::Pending)
                && is(row, "type", "REGISTER")
                && is(row, "status", "Accepted")
        });
        let flags = match newest {
            Some(ActionState::Pending) => vec!["register:requested"],
            Some(ActionState::Rejected) => vec!["register:rejected"],
            Some(ActionState::Accepted) | None => Vec::new(),
        };
        let changes = ["CREATE", "DECLARE", "REGISTER"];
        let accepted =
            self.actions.iter().rev().find(|row| {
                is(row, "status", "Accepted") && changes.iter().any(|kind| is(row, "type", kind))
            });
        let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        self.index.push(IndexRow {
            at: now,
            status: if registered.is_some() { "REGISTERED" } else { "DECLARED" },
            flags,
            updated_at: accepted.and_then(|row| text(row, "createdAt")).unwrap_or_default(),
            assigned_to: self.assignment.as_ref().map(|assignment| assignment.user.clone()),
            registration_number: registered.and_then(|row| text(row, "registrationNumber")),
        });
    }

    /// What the index shows at a time.
    pub(super) fn indexed(&self, at: Timestamp) -> Option<&IndexRow> {
        self.index.iter().rev().find(|row| row.at <= at)
    }
}

pub(super) fn is(row: &Value, name: &str, text: &str) -> bool {
    row.get(name).and_then(Value::as_str) == Some(text)
}

/// The sum of a time and a span; the latest possible time if the span is too long.
pub(super) fn after(now: Timestamp, span: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| now.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
}
