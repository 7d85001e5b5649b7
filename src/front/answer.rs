//! What a caller is told that was held for its answer. It is a faster copy of what the confirmer tells OpenCRVS.
//!
//! Invariant: it says nothing that the confirmer would not come to, and nothing at all (which is 202) where that is not
//! certain: a field that may not be defined, a rejection that the country wants registered all the same.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::body::Held;
use super::refusal::boom;
use super::waiting::{Waiters, WaitingCaller};
use crate::config::Waits;
use crate::domain::{
    ActionCourse, Answer, AttemptId, Dialect, EventKind, IdField, NationalId, NegativePolicy, Reason,
    RegistrationNumber, decide_action,
};
use crate::opencrvs::events::IdentifierField;
use crate::opencrvs::fhir::{Amendment, amend};
use crate::pipeline::AnswerMessage;
use crate::seal::{Field, Sealer};

/// How callers are held, and what they are told.
#[derive(Debug)]
pub struct Holding {
    /// How long, by kind of event.
    pub waits: Waits,
    /// Who is held.
    pub waiters: Arc<Waiters>,
    /// The identifier type under which OpenCRVS gets the ID (FHIR generation).
    pub identifier_type: String,
    /// The field that gets it (events generation), if any does.
    pub field: Option<IdentifierField>,
    /// What is done with a negative answer in the FHIR generation.
    pub negative: NegativePolicy,
}

/// A caller that is held: its place, its kind of event, and the bundle that it may get back.
pub(super) struct Caller {
    pub(super) place: WaitingCaller,
    pub(super) dialect: Dialect,
    pub(super) kind: EventKind,
    pub(super) bundle: Option<Held>,
}

/// An answer as it is told.
struct Told {
    number: RegistrationNumber,
    answer: Answer,
}

impl Holding {
    /// A place for a registration of this kind and how long it may be held, if it may.
    pub(super) fn expect(
        &self,
        kind: &EventKind,
        attempt: AttemptId,
    ) -> Option<(WaitingCaller, std::time::Duration)> {
        let wait = self.waits.of(kind);
        if wait.is_zero() { None } else { self.waiters.expect(attempt).map(|place| (place, wait)) }
    }

    /// The answer to a caller, if it is there in time; without one it is 202.
    pub(super) async fn tell(&self, sealer: &Sealer, caller: Caller, until: Instant) -> Option<Response> {
        let message = caller.place.answer(until).await?;
        let told = told(sealer, message)?;
        match caller.dialect {
            Dialect::Fhir => self.to_fhir(told, caller.bundle?, &caller.kind).await,
            Dialect::Events => self.to_events(told, &caller.kind, until).await,
        }
    }

    async fn to_fhir(&self, told: Told, bundle: Held, kind: &EventKind) -> Option<Response> {
        let identifier = match told.answer {
            Answer::Rejected(_) if self.negative == NegativePolicy::ConfirmWithComment => return None,
            Answer::Rejected(reason) => {
                return Some(boom(StatusCode::UNPROCESSABLE_ENTITY, &spelled(&reason)));
            }
            Answer::Issued(id) => Some((self.identifier_type.clone(), id)),
            Answer::Recorded | Answer::NotAsked => None,
        };
        let amendment = Amendment { kind: kind.clone(), number: told.number, identifier };
        // A bundle may be long, and the runtime's threads are others' too.
        let amended = tokio::task::spawn_blocking(move || amend(&bundle.bytes, &amendment)).await;
        Some(json_of(amended.ok()??))
    }

    async fn to_events(&self, told: Told, kind: &EventKind, until: Instant) -> Option<Response> {
        let field = match &self.field {
            Some(field) if matches!(told.answer, Answer::Issued(_)) => {
                timeout_at(until, field.defined(kind)).await.unwrap_or(IdField::Unknown)
            }
            Some(_) | None => IdField::NotWanted,
        };
        let mut declaration = Map::new();
        match (decide_action(&told.answer, field), told.answer, &self.field) {
            (ActionCourse::Accept { with_id: true }, Answer::Issued(id), Some(field)) => {
                declaration.insert(field.name().to_owned(), Value::from(id.expose()));
            }
            (ActionCourse::Accept { with_id: false }, _, _) => {}
            (ActionCourse::Reject, Answer::Rejected(reason), _) => {
                return Some(boom(StatusCode::BAD_REQUEST, &spelled(&reason)));
            }
            (
                ActionCourse::Accept { with_id: true }
                | ActionCourse::Reject
                | ActionCourse::Later(_)
                | ActionCourse::Park(_),
                _,
                _,
            ) => return None,
        }
        // Up to 1.9.12 any other member leaves the record requested for ever.
        let mut body = json!({ "registrationNumber": told.number.as_str() });
        if let (false, Some(members)) = (declaration.is_empty(), body.as_object_mut()) {
            members.insert("declaration".to_owned(), declaration.into());
        }
        Some(json_of(body.to_string().into_bytes()))
    }
}

fn told(sealer: &Sealer, message: AnswerMessage) -> Option<Told> {
    let AnswerMessage { record, number, answer, reason, sealed_id, .. } = message;
    let answer = Answer::of(answer, reason, || {
        let opened = sealer.open(&record, Field::NationalId, sealed_id.as_deref().ok_or(())?);
        let plain =
            opened.map_err(|fault| tracing::warn!(error = %fault, "an answer's copy does not open"))?;
        let id = NationalId::parse(std::str::from_utf8(&plain).map_err(drop)?).map_err(drop)?;
        Ok::<_, ()>(id)
    });
    Some(Told { number, answer: answer.ok()? })
}

/// Holds codes and names of fields, and nothing of a person.
fn spelled(reason: &Reason) -> String {
    let code = reason.code.as_str();
    let fields =
        if reason.fields.is_empty() { String::new() } else { format!(": {}", reason.fields.join(", ")) };
    format!(
        "the National ID system rejects the registration ({code}{fields}): correct the record and register it again"
    )
}

fn json_of(body: Vec<u8>) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}
