//! One registration, from the request to the broker's confirm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;

use super::body::{self, Held};
use super::{Front, Refusal};
use crate::broker::{Outgoing, PublishError, Target};
use crate::domain::{
    AttemptKey, Dialect, EventKind, MESSAGE_VERSION, Registration, RegistrationMessage, RegistrationNumber,
};
use crate::opencrvs::fhir::{self, Document};
use crate::opencrvs::{RecordToken, TokenFault};
use crate::seal::Field;

/// A parse of more than this leaves the runtime's threads to others.
const LARGE: usize = 256 * 1024;

pub(super) async fn accept(
    front: &Front,
    memory: &Arc<Semaphore>,
    request: Request,
) -> Result<EventKind, Refusal> {
    let (parts, mut body) = request.into_parts();
    let taken = take(front, memory, &parts.headers, &mut body).await;
    if taken.is_err() {
        body::discard(body, &front.limits);
    }
    let (token, held) = taken?;
    let document = parse(held).await?;
    if document.record != token.record {
        return Err(TokenFault::OtherRecord.into());
    }
    let mut message = message(front, document, &token, &parts.headers)?;
    let key = &message.registration.key;
    let span = tracing::Span::current();
    span.record("record.id", key.record.as_str());
    span.record("attempt.id", key.id().to_string());
    let kind = message.registration.kind.clone();
    publish(front, &mut message).await?;
    let key = &message.registration.key;
    tracing::info!(event.kind = kind.as_str(), record.id = %key.record, attempt.id = %key.id(), "accepted");
    Ok(kind)
}

async fn take(
    front: &Front,
    memory: &Arc<Semaphore>,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(RecordToken, Held), Refusal> {
    let token = front.keys.verify(bearer(headers)?).await?;
    Ok((token, body::read(headers, body, &front.limits, memory).await?))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(header::AUTHORIZATION).ok_or(TokenFault::Missing)?;
    let text = value.to_str().map_err(|_| TokenFault::Garbage)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(TokenFault::Missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(TokenFault::Missing.into()) }
}

async fn parse(held: Held) -> Result<Document, Refusal> {
    if held.bytes.len() < LARGE {
        return Ok(fhir::read(&held.bytes)?);
    }
    let parsed = tokio::task::spawn_blocking(move || fhir::read(&held.bytes)).await;
    Ok(parsed.map_err(|_| Refusal::Internal)??)
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
            dialect: Dialect::Fhir,
            record: document.record,
            mark: document.mark,
            stamp: document.stamp,
        },
        kind: document.kind,
        tracking_id: document.tracking_id,
        office: document.office,
        accepted_at: Timestamp::now(),
        token_expires_at: token.expires_at,
        number: number.and_then(|number| RegistrationNumber::parse(number.trim()).ok()),
    };
    Ok(RegistrationMessage { v: MESSAGE_VERSION, registration, sealed_view, sealed_token })
}

/// Publishes once it can; tries again only what was certainly not sent, as long as the caller is held.
async fn publish(front: &Front, message: &mut RegistrationMessage) -> Result<(), Refusal> {
    let deadline = Instant::now() + front.limits.hold;
    loop {
        // However long it was held: what is written to OpenCRVS must not overtake our answer, so its time counts
        // from the publish that the answer follows.
        message.registration.accepted_at = Timestamp::now();
        let body = serde_json::to_vec(message).map_err(|_| Refusal::Internal)?;
        let outgoing = Outgoing {
            id: message.registration.key.id().to_string(),
            kind: "registration.v1",
            content_type: "application/json",
            correlation_id: Some(message.registration.key.record.to_string()),
            headers: BTreeMap::new(),
            body,
        };
        let fault = match front.publisher.publish(&Target::registrations(), outgoing).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        tracing::warn!(error = %fault, "the broker did not confirm");
        if fault.may_be_stored() {
            return Err(Refusal::Unconfirmed(fault));
        }
        match fault {
            PublishError::NotSent(_) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() || !front.publisher.available(left).await {
                    return Err(Refusal::BrokerAway);
                }
            }
            PublishError::Unroutable
            | PublishError::Refused
            | PublishError::TooLarge
            | PublishError::Unknown(_) => return Err(Refusal::BrokerAway),
        }
    }
}
