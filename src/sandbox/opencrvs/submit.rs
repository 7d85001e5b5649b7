//! One submission. The record waits for validation, the bridge is called, and the bridge's answer
//! decides what happens to the record.
//!
//! Invariant: a submission calls the bridge once. Only a registrar who submits the record again
//! repeats the call.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::events::Release;
use super::keys::TokenHash;
use super::record::{CallResult, Status};
use super::records::Subject;
use super::subject::person;
use super::{OpencrvsSim, SimulateError};
use crate::sandbox::population::{AttemptFacts, Declaration, Kind, correct_name};

/// How a submission differs from the default one.
#[derive(Debug, Clone, Default)]
pub struct SubmitOptions {
    /// A given name that the registrar corrected.
    pub corrected: Option<String>,
    /// The answer is lost on the way, so core treats an accepted submission as failed.
    pub lose_answer: bool,
    /// An answer that refuses is lost on the way, too.
    pub lose_refusal: bool,
    /// The time of the submission by OpenCRVS's clock, instead of the current time. It is moved
    /// forward if the record has a later row.
    pub at: Option<Timestamp>,
    /// A token to send instead of the record's own.
    pub token: Option<String>,
    /// The release that an event belongs to, instead of the simulator's own. It decides which token
    /// the trigger carries, and who may answer.
    pub release: Option<Release>,
    /// How long the caller waits for the answer. Core itself has no timeout.
    pub timeout: Option<Duration>,
}

impl SubmitOptions {
    /// Whether the options say that this answer is lost.
    pub(super) fn loses(&self, result: &CallResult) -> bool {
        match result {
            CallResult::Status(_) if result.is_success() => self.lose_answer,
            CallResult::Status(_) => self.lose_refusal,
            CallResult::NoAnswer(_) => false,
        }
    }
}

/// The result of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitOutcome {
    pub record: String,
    /// `Task.lastModified` of the attempt.
    pub stamp: String,
    /// What the bridge answered.
    pub result: CallResult,
    /// Whether the answer reached core.
    pub arrived: bool,
    /// The state of the record after core handled the answer.
    pub status: Status,
}

impl OpencrvsSim {
    /// Submits a declaration, for the first time or again.
    ///
    /// # Errors
    /// [`SimulateError`] when no token can be signed. What the bridge answers is in the outcome.
    pub async fn submit(
        &self,
        declaration: &Declaration,
        front: &Url,
        options: SubmitOptions,
    ) -> Result<SubmitOutcome, SimulateError> {
        let subject = Subject::of(declaration);
        self.send(&subject, front, options, |facts| declaration.bundle(facts)).await
    }

    /// Submits any document for the record that it names. The time of the attempt is written into
    /// its Task.
    ///
    /// # Errors
    /// [`SimulateError::Document`] when the document names no record, Task, tracking id or kind.
    pub async fn submit_bundle(
        &self,
        bundle: &Value,
        front: &Url,
        options: SubmitOptions,
    ) -> Result<SubmitOutcome, SimulateError> {
        let subject = subject(bundle)?;
        self.send(&subject, front, options, |facts| stamped(bundle, &facts.last_modified)).await
    }

    /// Posts any document with any token, although OpenCRVS has no such submission. Nothing is
    /// recorded.
    pub async fn post_invented(&self, front: &Url, token: &str, bundle: &Value) -> CallResult {
        self.caller.post(front, token, bundle).await
    }

    async fn send(
        &self,
        subject: &Subject,
        front: &Url,
        options: SubmitOptions,
        document: impl FnOnce(&AttemptFacts) -> Value,
    ) -> Result<SubmitOutcome, SimulateError> {
        let opened = self.core.with_records(|records| records.open(subject, options.at, Timestamp::now()));
        let facts = AttemptFacts { last_modified: opened.stamp.clone(), earlier: opened.earlier.clone() };
        let mut bundle = document(&facts);
        if let Some(name) = &options.corrected {
            correct_name(&mut bundle, name);
        }
        let token = match &options.token {
            Some(token) => token.clone(),
            None => self.core.mint(&self.core.record_claims(&opened.registrar, &subject.record))?,
        };
        self.core.with_records(|records| {
            records.carry(&subject.record, &opened, TokenHash::of(&token), options.corrected.clone());
            // Core saves the document before it calls the bridge.
            if let Some(record) = records.record_mut(&subject.record) {
                record.person = person(&bundle, subject.kind);
            }
        });
        let call = self.caller.post(front, &token, &bundle);
        let result = match options.timeout {
            Some(timeout) => tokio::time::timeout(timeout, call)
                .await
                .unwrap_or_else(|_| CallResult::NoAnswer("the caller did not wait any longer".to_owned())),
            None => call.await,
        };
        let lost = options.loses(&result);
        let status = self.core.with_records(|records| {
            records.close(&subject.record, &opened, result.clone(), lost, Timestamp::now());
            records.record(&subject.record).map_or(Status::Rejected, super::Record::status)
        });
        Ok(SubmitOutcome {
            record: subject.record.clone(),
            stamp: opened.stamp,
            result,
            arrived: !lost,
            status,
        })
    }
}

fn resources(bundle: &Value) -> impl Iterator<Item = &Value> {
    let entries = bundle.get("entry").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.get("resource"))
}

fn resource<'a>(bundle: &'a Value, kind: &str) -> Option<&'a Value> {
    resources(bundle).find(|resource| resource.get("resourceType").and_then(Value::as_str) == Some(kind))
}

fn subject(bundle: &Value) -> Result<Subject, SimulateError> {
    let composition = resource(bundle, "Composition").ok_or(SimulateError::Document("Composition"))?;
    let task = resource(bundle, "Task").ok_or(SimulateError::Document("Task"))?;
    let text = |of: &Value, path: &str| of.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let kind = text(task, "/code/coding/0/code").and_then(|code| Kind::parse(&code));
    Ok(Subject {
        record: text(composition, "/id").ok_or(SimulateError::Document("Composition.id"))?,
        tracking_id: text(composition, "/identifier/value").ok_or(SimulateError::Document("tracking id"))?,
        task: text(task, "/id").ok_or(SimulateError::Document("Task.id"))?,
        kind: kind.ok_or(SimulateError::Document("event kind that is simulated"))?,
    })
}

fn stamped(bundle: &Value, at: &str) -> Value {
    let mut bundle = bundle.clone();
    let entries = bundle.get_mut("entry").and_then(Value::as_array_mut);
    for resource in entries.into_iter().flatten().filter_map(|entry| entry.get_mut("resource")) {
        if resource.get("resourceType") == Some(&json!("Task"))
            && let Some(fields) = resource.as_object_mut()
        {
            fields.insert("lastModified".to_owned(), json!(at));
        }
    }
    bundle
}
