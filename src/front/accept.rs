//! One registration, from the request to the moment when it is safe.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::Caller;
use super::body::{self, Held};
use super::handover::{Safe, hand_over};
use super::{Front, Refusal};
use crate::domain::{ActionId, AttemptKey, Dialect, EventKind, Registration, RegistrationNumber};
use crate::opencrvs::{Document, RecordToken, TokenFault, events, fhir};
use crate::pipeline::{MESSAGE_VERSION, RegistrationMessage};
use crate::seal::Field;

/// A parse of more than this leaves the runtime's threads to others.
const LARGE: usize = 256 * 1024;

/// A registration that is safe.
pub(super) struct Accepted {
    pub(super) kind: EventKind,
    /// Its caller, where it is held for the answer, and until when.
    pub(super) held: Option<(Caller, Instant)>,
}

pub(super) async fn accept(
    front: &Front,
    memory: &Arc<Semaphore>,
    dialect: Dialect,
    request: Request,
) -> Result<Accepted, Refusal> {
    let (parts, mut body) = request.into_parts();
    let taken = take(front, memory, dialect, &parts.headers, &mut body).await;
    if taken.is_err() {
        body::discard(body, front.limits.body_timeout);
    }
    let (token, held) = taken?;
    let (document, held) = parse(held, token.action.clone()).await?;
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
    // The place is taken before anybody could answer.
    let expected = front.holding.as_ref().and_then(|holding| {
        let (place, wait) = holding.expect(&kind, attempt)?;
        let bundle = (dialect == Dialect::Fhir).then_some(held);
        Some((Caller { place, dialect, kind: kind.clone(), bundle }, wait))
    });
    message.registration.wait = expected.as_ref().map(|(_, wait)| *wait).unwrap_or_default();
    let safe = hand_over(front, message).await?;
    tracing::info!(event.kind = kind.as_str(), record.id = %record, attempt.id = %attempt, "accepted");
    let held = match (expected, safe) {
        (Some((caller, wait)), Safe::Published(since)) => Some((caller, since + wait)),
        (Some(_) | None, Safe::Published(_) | Safe::Spooled) => None,
    };
    Ok(Accepted { kind, held })
}

async fn take(
    front: &Front,
    memory: &Arc<Semaphore>,
    dialect: Dialect,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(RecordToken, Held), Refusal> {
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

async fn parse(held: Held, action: Option<ActionId>) -> Result<(Document, Held), Refusal> {
    if held.bytes.len() < LARGE {
        return Ok((read(&held.bytes, action.as_ref())?, held));
    }
    let parsed = tokio::task::spawn_blocking(move || Ok((read(&held.bytes, action.as_ref())?, held))).await;
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
        token_expires_at: token.expires_at,
        number: number.and_then(|number| RegistrationNumber::parse(number.trim()).ok()),
    };
    Ok(RegistrationMessage { v: MESSAGE_VERSION, registration, sealed_view, sealed_token })
}
