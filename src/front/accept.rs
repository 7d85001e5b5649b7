//! Accepts one registration: from the request until the broker or the spool has it.
//!
//! Invariant: a registration that the ID system cannot be asked about is refused at once, with the
//! names of the fields at fault. A caller that waits for a sync answer is registered before the
//! registration is published, so no answer can come too early.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::body::{self, BufferedBody};
use super::callers::Place;
use super::handover::{StoredBy, hand_over};
use super::memory::BodyMemory;
use super::server::Shared;
use super::sync_answer::Caller;
use super::{Front, Refusal};
use crate::domain::{ActionId, AttemptKey, Dialect, EventKind, RecordId, Registration, RegistrationNumber};
use crate::nid::fitness;
use crate::opencrvs::{
    Document, Reading, RecordToken, ServiceToken, TokenFault, VerifiedToken, events, fhir,
};
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

pub(super) async fn accept(shared: &Shared, dialect: Dialect, request: Request) -> Result<Accepted, Refusal> {
    let front = &shared.front;
    let (parts, mut body) = request.into_parts();
    let read = authenticate_and_read(shared, dialect, &parts.headers, &mut body).await;
    if read.is_err() {
        body::discard(body, front.limits.body_timeout);
    }
    let (token, _place, body) = read?;
    let (document, body) = parse(body, &shared.memory, Target::of(&token), &front.reading).await?;
    if token.record().is_some_and(|record| *record != document.record) {
        return Err(TokenFault::OtherRecord.into());
    }
    fitness(&document.kind, &document.view, document.office.as_deref(), Timestamp::now())
        .map_err(Refusal::Unfit)?;
    let number = front.number_header.read(&parts.headers).await?;
    let mut message = message(front, document, &token, number)?;
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
    shared: &Shared,
    dialect: Dialect,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(VerifiedToken, Option<Place<RecordId>>, BufferedBody), Refusal> {
    let Shared { front, memory, records, .. } = shared;
    let token = front.keys.verify(bearer(headers)?).await?;
    if token.dialect() != dialect {
        return Err(TokenFault::OtherDialect.into());
    }
    let place = token.record().map(|record| records.enter(record).ok_or(Refusal::TooMany)).transpose()?;
    Ok((token, place, body::read(headers, body, &front.limits, memory).await?))
}

/// The token of the header `Authorization`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, TokenFault> {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(TokenFault::Missing) };
    let text = value.to_str().map_err(|_| TokenFault::Garbage)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(TokenFault::Missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(TokenFault::Missing) }
}

/// What the body has to contain, according to the token.
enum Target {
    Bundle,
    /// An event document. The token can answer this action.
    Action(ActionId),
    /// An event document in which this action waits for an answer.
    BoundAction(ActionId),
    /// An event document in which any REGISTER waits for an answer.
    AnyAction,
}

impl Target {
    fn of(token: &VerifiedToken) -> Self {
        match token {
            VerifiedToken::Record(RecordToken { action: None, .. }) => Self::Bundle,
            VerifiedToken::Record(RecordToken { action: Some(action), .. }) => Self::Action(action.clone()),
            VerifiedToken::Service(ServiceToken { bound: Some((_, action)) }) => {
                Self::BoundAction(action.clone())
            }
            VerifiedToken::Service(ServiceToken { bound: None }) => Self::AnyAction,
        }
    }

    fn read(&self, body: &[u8], reading: &Reading) -> Result<Document, Refusal> {
        Ok(match self {
            Self::Bundle => fhir::read(body, reading)?,
            Self::Action(action) => events::read(body, Some(action), reading)?,
            Self::BoundAction(action) => events::read_bound(body, action, reading)?,
            Self::AnyAction => events::read(body, None, reading)?,
        })
    }
}

async fn parse(
    body: BufferedBody,
    memory: &BodyMemory,
    target: Target,
    reading: &Reading,
) -> Result<(Document, BufferedBody), Refusal> {
    if body.bytes.len() < LARGE {
        return Ok((target.read(&body.bytes, reading)?, body));
    }
    let _permit = memory.parse().await?;
    let reading = reading.clone();
    let parsed = tokio::task::spawn_blocking(move || Ok((target.read(&body.bytes, &reading)?, body))).await;
    parsed.map_err(|_| Refusal::Internal)?
}

fn message(
    front: &Front,
    document: Document,
    token: &VerifiedToken,
    number: Option<RegistrationNumber>,
) -> Result<RegistrationMessage, Refusal> {
    let view = serde_json::to_vec(&document.view).map_err(|_| Refusal::Internal)?;
    let seal = |field, plain: &[u8]| {
        front.sealer.seal(&document.record, field, plain).map_err(|_| Refusal::Internal)
    };
    let sealed_view = seal(Field::View, &view)?;
    let (token_expires_at, sealed_token) = match token {
        VerifiedToken::Record(token) => {
            (Some(token.expires_at), Some(seal(Field::Token, token.raw.expose_secret().as_bytes())?))
        }
        VerifiedToken::Service(_) => (None, None),
    };
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
        token_expires_at,
        number,
        unheard: false,
    };
    Ok(RegistrationMessage::new(registration, sealed_view, sealed_token))
}
