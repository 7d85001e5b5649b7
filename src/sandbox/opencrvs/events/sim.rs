//! The controls of the events generation on a running simulated OpenCRVS.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::actions::document;
use super::behaviour::EventsBehaviour;
use super::credential::Credential;
use super::file::{ActionState, after};
use super::release::Release;
use super::state::TokenRequests;
use super::{EventFile, EventsTally};
use crate::sandbox::opencrvs::OpencrvsSim;
use crate::sandbox::opencrvs::keys::Claims;
use crate::sandbox::opencrvs::record::{CallResult, Record, iso};
use crate::sandbox::population::Kind;

/// A requested registration and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionSummary {
    pub event: String,
    pub action: String,
    /// The release that the action was requested in.
    pub release: Release,
    /// `birth`, `death` or `marriage`.
    pub kind: &'static str,
    pub state: ActionState,
    pub requested: Timestamp,
    /// Index of the record's attempt that sent the trigger.
    pub attempt: usize,
    /// Whether core saw the trigger fail.
    pub trigger_failed: bool,
    /// The user who is assigned to the event.
    pub assigned_to: Option<String>,
}

impl OpencrvsSim {
    /// Counts the records of the events generation, and the damage that a real core would have
    /// done.
    pub fn events_tally(&self) -> EventsTally {
        self.inspect(EventsTally::of)
    }

    pub fn release(&self) -> Release {
        self.core.events.release()
    }

    /// Switches to another release, and migrates the events of older releases to it. Pending
    /// actions stay pending and registrars stay assigned to them. From 2.1 on, action tokens are
    /// refused and no token of an event is exchanged.
    pub fn upgrade(&self, release: Release) {
        let leaves = self.core.events.with(|state| {
            state.release = release;
            state.oldest = release;
            state.behaviour.registrar_leaves_after
        });
        let now = Timestamp::now();
        if let Some(span) = leaves {
            self.change_files(|_, file| file.leaves_at(after(now, span)));
        }
    }

    pub fn behaviour(&self) -> EventsBehaviour {
        self.core.events.behaviour()
    }

    /// Changes the switches.
    pub fn behave(&self, change: impl FnOnce(&mut EventsBehaviour)) {
        self.core.events.with(|state| change(&mut state.behaviour));
    }

    /// Every requested registration, in no particular order.
    pub fn actions(&self) -> Vec<ActionSummary> {
        self.inspect(|records| {
            let with_files =
                records.all().filter_map(|(id, record)| Some((id, record, record.event.as_ref()?)));
            with_files.flat_map(|(id, record, file)| summaries(id, record, file)).collect()
        })
    }

    /// The actions that wait for an answer, whether or not core saw their trigger fail.
    pub fn pending_actions(&self) -> Vec<ActionSummary> {
        self.actions().into_iter().filter(|action| action.state == ActionState::Pending).collect()
    }

    /// The event as a trigger would carry it now.
    pub fn event_document(&self, event: &str) -> Option<Value> {
        self.inspect(|records| {
            let record = records.record(event).filter(|record| record.event.is_some())?;
            Some(document(event, record))
        })
    }

    /// Assigns a user to an event until the user is unassigned. Returns false if the event does not
    /// exist.
    pub fn assign(&self, event: &str, user: &str) -> bool {
        let now = Timestamp::now();
        let mut found = false;
        self.change_files(|id, file| {
            if id == event {
                found = true;
                file.unassign(now);
                file.assign(user, None, &iso(now));
                file.index_now(now);
            }
        });
        found
    }

    /// Unassigns the user of an event. Returns false if nobody is assigned.
    pub fn unassign(&self, event: &str) -> bool {
        self.unassign_where(|id| id == event) > 0
    }

    /// Unassigns the users of all events, and returns how many there were.
    pub fn unassign_all(&self) -> usize {
        self.unassign_where(|_| true)
    }

    fn unassign_where(&self, wanted: impl Fn(&str) -> bool) -> usize {
        let now = Timestamp::now();
        let mut unassigned = 0;
        self.change_files(|id, file| {
            if wanted(id) && file.unassign(now) {
                unassigned += 1;
                file.index_now(now);
            }
        });
        unassigned
    }

    fn change_files(&self, mut change: impl FnMut(&str, &mut EventFile)) {
        self.core.with_records(|records| {
            for (id, record) in records.all_mut() {
                if let Some(file) = &mut record.event {
                    change(id, file);
                }
            }
        });
    }

    /// The claims of the token on a trigger of 2.1.
    pub fn service_claims(&self) -> Claims {
        self.core.service_claims()
    }

    /// `sub` of the token on a trigger of 2.1.
    pub fn service_subject(&self) -> String {
        self.behaviour().service_subject
    }

    /// How often a procedure was called with this kind of credential. The procedures are named as
    /// in tRPC, such as `event.actions.register.accept`.
    pub fn calls_of(&self, procedure: &str, credential: Credential) -> u64 {
        let key = (procedure.to_owned(), credential);
        self.core.events.with(|state| state.calls.get(&key).copied().unwrap_or_default())
    }

    /// The requests of system clients for a token so far.
    pub fn token_requests(&self) -> TokenRequests {
        self.core.events.with(|state| state.token_requests)
    }

    /// Posts any document to the trigger for REGISTER, with any token, and returns the answer and
    /// its body. Nothing is recorded.
    pub async fn post_trigger(
        &self,
        front: &Url,
        kind: Kind,
        token: &str,
        event: &Value,
    ) -> (CallResult, Vec<u8>) {
        self.caller.trigger(front, kind.name(), token, event).await
    }
}

fn summaries<'r>(
    id: &'r str,
    record: &'r Record,
    file: &'r EventFile,
) -> impl Iterator<Item = ActionSummary> + 'r {
    file.requests.iter().filter_map(move |request| {
        Some(ActionSummary {
            event: id.to_owned(),
            action: request.action.clone(),
            release: request.release,
            kind: record.kind.name(),
            state: file.state_of(&request.action)?,
            requested: request.requested,
            attempt: request.attempt,
            trigger_failed: request.trigger_failed,
            assigned_to: file.assignment.as_ref().map(|assignment| assignment.user.clone()),
        })
    })
}
