//! The sync answer: a copy of the answer in the response to the caller's request. It arrives before
//! the confirmer writes the answer to OpenCRVS.
//!
//! Invariant: a sync answer says only what the confirmer would write. Where that is not certain,
//! the caller gets 202: if a field of the answer may not be defined, or if the country confirms
//! rejected registrations with a comment.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::body::BufferedBody;
use super::refusal::boom;
use super::waiting::{WaitingCaller, WaitingCallers};
use crate::config::Waits;
use crate::domain::{
    ActionCourse, Answer, AttemptId, Dialect, EventKind, FieldStanding, NationalId, NegativePolicy, Reason,
    RegistrationNumber, decide_action,
};
use crate::opencrvs::events::MappedFields;
use crate::opencrvs::fhir::{Amendment, amend};
use crate::pipeline::AnswerMessage;
use crate::seal::{Field, Sealer};

/// Decides which callers wait for a sync answer, and makes their responses.
#[derive(Debug)]
pub struct SyncAnswers {
    pub waits: Waits,
    pub waiting: Arc<WaitingCallers>,
    /// Identifier type under which OpenCRVS stores the ID (FHIR generation).
    pub identifier_type: String,
    /// The fields that an answer writes (events generation).
    pub fields: Option<MappedFields>,
    /// Policy for a negative answer in the FHIR generation.
    pub negative: NegativePolicy,
}

/// A waiting caller, and the data that its response is made from.
pub(super) struct Caller {
    pub(super) waiting: WaitingCaller,
    pub(super) dialect: Dialect,
    pub(super) kind: EventKind,
    /// The bundle that the caller sent, which the answer amends (FHIR generation).
    pub(super) bundle: Option<BufferedBody>,
}

/// An answer whose ID is unsealed.
struct Opened {
    number: RegistrationNumber,
    answer: Answer,
}

impl SyncAnswers {
    /// Registers a caller and returns the time that it may wait. Returns `None` if there is no wait
    /// for this kind of event, or if the caller must not wait.
    pub(super) fn register(&self, kind: &EventKind, attempt: AttemptId) -> Option<(WaitingCaller, Duration)> {
        let wait = self.waits.of(kind);
        if wait.is_zero() { None } else { self.waiting.register(attempt).map(|waiting| (waiting, wait)) }
    }

    /// The response, if the answer comes in time; `None` means 202.
    pub(super) async fn answer(&self, sealer: &Sealer, caller: Caller, until: Instant) -> Option<Response> {
        let message = caller.waiting.answer(until).await?;
        let opened = open(sealer, message)?;
        match caller.dialect {
            Dialect::Fhir => self.to_fhir(opened, caller.bundle?, &caller.kind).await,
            Dialect::Events => self.to_events(opened, &caller.kind, until).await,
        }
    }

    async fn to_fhir(&self, opened: Opened, bundle: BufferedBody, kind: &EventKind) -> Option<Response> {
        let identifier = match opened.answer {
            Answer::Rejected(_) if self.negative == NegativePolicy::ConfirmWithComment => return None,
            Answer::Rejected(reason) => {
                return Some(boom(StatusCode::UNPROCESSABLE_ENTITY, &explain(&reason)));
            }
            Answer::Issued(id) => Some((self.identifier_type.clone(), id)),
            Answer::Recorded | Answer::NotAsked => None,
        };
        let amendment = Amendment { kind: kind.clone(), number: opened.number, identifier };
        // Amending a large bundle would block the runtime.
        let amended = tokio::task::spawn_blocking(move || amend(&bundle.bytes, &amendment)).await;
        Some(json_response(amended.ok()??))
    }

    async fn to_events(&self, opened: Opened, kind: &EventKind, until: Instant) -> Option<Response> {
        let standing = match &self.fields {
            Some(fields) => {
                let standing = fields.standing(kind, &opened.answer);
                timeout_at(until, standing).await.unwrap_or(FieldStanding::Unknown)
            }
            None => FieldStanding::NotWanted,
        };
        // Up to OpenCRVS 1.9.12, any other member leaves the record requested for ever.
        let mut body = json!({ "registrationNumber": opened.number.as_str() });
        match (decide_action(&opened.answer, &standing), &opened.answer, &self.fields) {
            (ActionCourse::Accept { with_fields: true }, answer, Some(fields)) => {
                let fields = fields.evaluate(kind, answer, &opened.number);
                body.as_object_mut()?.insert("declaration".to_owned(), serde_json::to_value(fields).ok()?);
            }
            (ActionCourse::Accept { with_fields: false }, _, _) => {}
            (ActionCourse::Reject, Answer::Rejected(reason), _) => {
                return Some(boom(StatusCode::BAD_REQUEST, &explain(reason)));
            }
            (
                ActionCourse::Accept { with_fields: true }
                | ActionCourse::Reject
                | ActionCourse::Later(_)
                | ActionCourse::Park(_),
                _,
                _,
            ) => return None,
        }
        Some(json_response(body.to_string().into_bytes()))
    }
}

fn open(sealer: &Sealer, message: AnswerMessage) -> Option<Opened> {
    let AnswerMessage { record, number, answer, reason, sealed_id, .. } = message;
    let answer = Answer::of(answer, reason, || {
        let opened = sealer.open(&record, Field::NationalId, sealed_id.as_deref().ok_or(())?);
        let plain = opened
            .map_err(|fault| tracing::warn!(error = %fault, "a sync answer cannot be unsealed: do all processes have the same SEAL_KEYS?"))?;
        let id = NationalId::parse(std::str::from_utf8(&plain).map_err(drop)?).map_err(drop)?;
        Ok::<_, ()>(id)
    });
    Some(Opened { number, answer: answer.ok()? })
}

/// Explains a rejection with its code and the names of fields, without personal data.
fn explain(reason: &Reason) -> String {
    let code = reason.code.as_str();
    let fields =
        if reason.fields.is_empty() { String::new() } else { format!(": {}", reason.fields.join(", ")) };
    format!(
        "the National ID system rejects the registration ({code}{fields}): correct the record and register it again"
    )
}

fn json_response(body: Vec<u8>) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}
