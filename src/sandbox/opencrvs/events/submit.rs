//! One registration of the events generation. The action is requested, the bridge is triggered, and
//! the status of the bridge's answer decides what happens to the record.

use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::actions::{IDENTIFIER, Inline, Requested, TriggerAnswer, TriggerRules};
use super::document;
use super::release::Release;
use crate::sandbox::opencrvs::keys::{Claims, TokenHash};
use crate::sandbox::opencrvs::record::{CallResult, Record, Status};
use crate::sandbox::opencrvs::records::{Confirmation, Subject};
use crate::sandbox::opencrvs::{OpencrvsSim, SimulateError, SubmitOptions, SubmitOutcome};
use crate::sandbox::population::Declaration;
use crate::sandbox::random::rng;

/// Salt of the decision whether another user is assigned to an event.
const ASSIGNMENT: u64 = 0xa551_61ed;

impl OpencrvsSim {
    /// Registers a declaration in the events generation, for the first time or again. While a
    /// request is open core answers 409; the outcome then has 409 as its `result`.
    ///
    /// # Errors
    /// [`SimulateError`] when no token can be signed. What the bridge answers is in the outcome.
    pub async fn submit_event(
        &self,
        family: &Declaration,
        front: &Url,
        options: SubmitOptions,
    ) -> Result<SubmitOutcome, SimulateError> {
        let subject = Subject::of(family);
        let declaration = document::declaration(family);
        let id = &family.record;
        let release = self.core.events.release_since(options.release);
        let requested = self.core.with_records(|records| {
            records.request(&subject, &declaration, &options, release, Timestamp::now())
        });
        let Some(requested) = requested else {
            return Ok(self.outcome(id, String::new(), CallResult::Status(409), true));
        };
        let token = match &options.token {
            Some(token) => token.clone(),
            None => self.core.mint(&self.trigger_claims(id, &requested, release))?,
        };
        self.core.with_records(|records| {
            records.carry(id, &requested.opened, TokenHash::of(&token), options.corrected.clone());
        });
        let call = self.caller.trigger(front, family.kind.name(), &token, &requested.event);
        let (result, body) = match options.timeout {
            Some(timeout) => tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| {
                (CallResult::NoAnswer("the caller did not wait any longer".to_owned()), Vec::new())
            }),
            None => call.await,
        };
        let lost = options.loses(&result);
        let read = self.inline(&body);
        let rules = self.trigger_rules(id);
        let answer = TriggerAnswer { result: result.clone(), read, lost, rules };
        self.core.with_records(|records| {
            records.triggered(id, &requested, answer, Timestamp::now());
        });
        Ok(self.outcome(id, requested.opened.stamp, result, !lost))
    }

    /// The claims of the token on the trigger: for this action, or core's own in 2.1.
    fn trigger_claims(&self, event: &str, requested: &Requested, release: Release) -> Claims {
        if release.has_action_tokens() {
            self.core.action_claims(&requested.opened.registrar, event, &requested.action)
        } else {
            self.core.service_claims()
        }
    }

    fn trigger_rules(&self, event: &str) -> TriggerRules {
        let behaviour = self.behaviour();
        let is_taken = rng(ASSIGNMENT, event, 0).f64() < behaviour.assigned_share;
        TriggerRules {
            release: self.core.release_of(event),
            other_user: is_taken.then_some(behaviour.assigned_for),
            registrar_leaves_after: behaviour.registrar_leaves_after,
            indexes_failed_triggers: behaviour.indexes_failed_triggers,
        }
    }

    fn outcome(&self, record: &str, stamp: String, result: CallResult, arrived: bool) -> SubmitOutcome {
        let status = self.record(record).as_ref().map_or(Status::Declared, Record::status);
        SubmitOutcome { record: record.to_owned(), stamp, result, arrived, status }
    }

    /// Parses the body of a 200 as core up to 1.9.12 does, which is the strictest: only these
    /// members are allowed.
    fn inline(&self, body: &[u8]) -> Option<Inline> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let known = ["registrationNumber", "declaration", "annotation"];
        let members = body.as_object()?;
        if members.keys().any(|name| !known.contains(&name.as_str())) {
            return None;
        }
        let number = members.get("registrationNumber")?.as_str()?.to_owned();
        let declaration = members.get("declaration").and_then(Value::as_object).cloned().unwrap_or_default();
        let defined = self.core.defined();
        let undefined = declaration.keys().filter(|field| !defined.contains(*field)).cloned().collect();
        let id = declaration.get(IDENTIFIER).and_then(Value::as_str);
        let confirmation = Confirmation {
            number,
            identifiers: id.map(|id| ("NATIONAL_ID".to_owned(), id.to_owned())).into_iter().collect(),
            comment: None,
            token: TokenHash::default(),
            fault: None,
        };
        Some(Inline { confirmation, declaration, undefined })
    }
}
