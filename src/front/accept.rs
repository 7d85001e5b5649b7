//! Accepts one registration: from the request until the broker or the spool has it.
//!
//! Invariant: a caller that waits for a sync answer is registered before the registration is
//! published, so no answer can come too early.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::{self, BufferedBody};
use super::handover::{StoredBy, hand_over};
use super::sync_answer::Caller;
use super::{Front, Refusal};
use crate::domain::{ActionId, AttemptKey, Dialect, EventKind, Registration, RegistrationNumber};
use crate::opencrvs::{Document, RecordToken, TokenFault, events, fhir};
use crate::pipeline::RegistrationMessage;
use crate::seal::Field;

/// Size in bytes from which a body is parsed on a thread of its own, because parsing it would block
/// the runtime.
const LARGE: usize = 256 * 1024;

/// A registration that the broker or the spool has.
pub(super) struct Accepted {
    pub(super) kind: EventKind,
    /// A caller that waits for a sync answer, and the end of its wait.
    pub(super) caller: Option<(Caller, Instant)>,
}

pub(super) async fn accept(
    front: &Front,
    memory: &Arc<Semaphore>,
    dialect: Dialect,
    request: Request,
) -> Result<Accepted, Refusal> {
    let (parts, mut body) = request.into_parts();
    let read = authenticate_and_read(front, memory, dialect, &parts.headers, &mut body).await;
    if read.is_err() {
        body::discard(body, front.limits.body_timeout);
    }
    let (token, body) = read?;
    let (document, body) = parse(body, token.action.clone()).await?;
    if document.record != token.record {
        return Err(TokenFault::OtherRecord.into());
    }
    let mut message = message(front, document, &token, &parts.headers)?;
    let key = &message.registration.key;
    let (record, attempt) = (key.record.clone(), key.id());
    let span = tracing::Span::current();
    span.record("record.id", record.as_str());
    span.record("attempt.id", attempt.to_string());
    let kind = message.registration.kind.clone();
    let waiting = front.sync_answers.as_ref().and_then(|answers| {
        let (waiting, wait) = answers.register(&kind, attempt)?;
        let bundle = (dialect == Dialect::Fhir).then_some(body);
        Some((Caller { waiting, dialect, kind: kind.clone(), bundle }, wait))
    });
    message.registration.wait = waiting.as_ref().map(|(_, wait)| *wait).unwrap_or_default();
    let stored = hand_over(front, message).await?;
    tracing::info!(event.kind = kind.as_str(), record.id = %record, attempt.id = %attempt, "registration accepted");
    let caller = match (waiting, stored) {
        (Some((caller, wait)), StoredBy::Broker(since)) => Some((caller, since + wait)),
        (Some(_) | None, StoredBy::Broker(_) | StoredBy::Spool) => None,
    };
    Ok(Accepted { kind, caller })
}

async fn authenticate_and_read(
    front: &Front,
    memory: &Arc<Semaphore>,
    dialect: Dialect,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(RecordToken, BufferedBody), Refusal> {
    let token = front.keys.verify(bearer(headers)?).await?;
    if token.dialect() != dialect {
        return Err(TokenFault::OtherDialect.into());
    }
    Ok((token, body::read(headers, body, &front.limits, memory).await?))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(header::AUTHORIZATION).ok_or(TokenFault::Missing)?;
    let text = value.to_str().map_err(|_| TokenFault::Garbage)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(TokenFault::Missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(TokenFault::Missing.into()) }
}

async fn parse(body: BufferedBody, action: Option<ActionId>) -> Result<(Document, BufferedBody), Refusal> {
    if body.bytes.len() < LARGE {
        return Ok((read(&body.bytes, action.as_ref())?, body));
    }
    let parsed = tokio::task::spawn_blocking(move || Ok((read(&body.bytes, action.as_ref())?, body))).await;
    parsed.map_err(|_| Refusal::Internal)?
}

fn read(body: &[u8], action: Option<&ActionId>) -> Result<Document, Refusal> {
    Ok(match action {
        None => fhir::read(body)?,
        Some(action) => events::read(body, action)?,
    })
}

fn message(
    front: &Front,
    document: Document,
    token: &RecordToken,
    headers: &HeaderMap,
) -> Result<RegistrationMessage, Refusal> {
    let view = serde_json::to_vec(&document.view).map_err(|_| Refusal::Internal)?;
    let seal = |field, plain: &[u8]| {
        front.sealer.seal(&document.record, field, plain).map_err(|_| Refusal::Internal)
    };
    let (sealed_view, sealed_token) =
        (seal(Field::View, &view)?, seal(Field::Token, token.raw.expose_secret().as_bytes())?);
    let number = headers.get("x-registration-number").and_then(|number| number.to_str().ok());
    let registration = Registration {
        key: AttemptKey {
            dialect: token.dialect(),
            record: document.record,
            mark: document.mark,
            stamp: document.stamp,
        },
        kind: document.kind,
        tracking_id: document.tracking_id,
        office: document.office,
        accepted_at: Timestamp::now(),
        wait: Duration::ZERO,
        token_expires_at: Some(token.expires_at),
        number: number.and_then(|number| RegistrationNumber::parse(number.trim()).ok()),
    };
    Ok(RegistrationMessage::new(registration, sealed_view, Some(sealed_token)))
}
