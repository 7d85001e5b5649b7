//! The auth service: its public key, the token exchange, and the anonymous token.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::json;

use super::connection::ConnectionBreaker;
use super::core::Core;
use super::fault::{Calls, Effect, Fault};
use super::keys::{Claims, TokenHash};
use super::records::Exchanged;

const EXCHANGE: &str = "urn:opencrvs:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const RECORD_TOKEN: &str = "urn:opencrvs:oauth:token-type:single_record_token";

pub(super) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/.well-known", get(public_key))
        .route("/token", post(exchange))
        .route("/anonymous-token", get(anonymous))
        .with_state(core)
}

async fn public_key(
    State(core): State<Arc<Core>>,
    ConnectInfo(connection): ConnectInfo<ConnectionBreaker>,
) -> Response {
    let fault = core.faults.next_fault(Calls::Key, "");
    let pem = core.with_key(|key| key.public_pem().to_owned());
    let answer = ([(header::CONTENT_TYPE, "application/octet-stream")], pem).into_response();
    apply_fault(fault, answer, &connection).await
}

async fn anonymous(State(core): State<Arc<Core>>) -> Response {
    match core.mint(&Claims::anonymous(Timestamp::now())) {
        Ok(token) => Json(json!({"token": token})).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn exchange(
    State(core): State<Arc<Core>>,
    ConnectInfo(connection): ConnectInfo<ConnectionBreaker>,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    let text = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let fault = core.faults.next_fault(Calls::Exchange, record_of(&text));
    let done = match fault.map(Fault::effect) {
        None | Some(Effect::AtOnce | Effect::Late(_)) => exchanged(&core, text),
        Some(Effect::Never) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    };
    apply_fault(fault, done, &connection).await
}

/// Exchanges a token. As in auth, the signature, audience and expiry are checked, but not the
/// scope, the record or the registrar.
fn exchanged<'a>(core: &Core, text: impl Fn(&str) -> &'a str) -> Response {
    if text("grant_type") != EXCHANGE {
        return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let complete = text("subject_token_type") == ACCESS_TOKEN
        && text("requested_token_type") == RECORD_TOKEN
        && is_for_something(&text)
        && !text("subject_token").is_empty();
    if !complete {
        return refusal(StatusCode::BAD_REQUEST, "invalid_request");
    }
    let Some(subject) = core.with_key(|key| key.verify(text("subject_token"), "auth-user")) else {
        core.exchange_refused.fetch_add(1, Ordering::Relaxed);
        return refusal(StatusCode::UNAUTHORIZED, "unauthorized_client");
    };
    let claims = match text("event_id") {
        "" => core.record_claims(&subject.sub, text("record_id")),
        event => core.action_claims(&subject.sub, event, text("action_id")),
    };
    let Ok(token) = core.mint(&claims) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    core.with_records(|records| {
        records.exchange(Exchanged {
            at: Timestamp::now(),
            record: record_of(&text).to_owned(),
            from: TokenHash::of(text("subject_token")),
            to: TokenHash::of(&token),
        });
    });
    Json(json!({"access_token": token, "token_type": "Bearer"})).into_response()
}

/// Whether the request names a record, or an action of an event.
fn is_for_something<'a>(text: &impl Fn(&str) -> &'a str) -> bool {
    !text("record_id").is_empty() || (!text("event_id").is_empty() && !text("action_id").is_empty())
}

fn record_of<'a>(text: &impl Fn(&str) -> &'a str) -> &'a str {
    match text("event_id") {
        "" => text("record_id"),
        event => event,
    }
}

/// A refused token is auth's only specific error. Every other error of OpenCRVS becomes a 500.
async fn apply_fault(fault: Option<Fault>, answer: Response, connection: &ConnectionBreaker) -> Response {
    match fault {
        None => answer,
        Some(fault) if fault == Fault::UNAUTHORIZED => {
            refusal(StatusCode::UNAUTHORIZED, "unauthorized_client")
        }
        Some(Fault::Error { .. }) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Transport { failure, .. }) => failure.apply(answer, connection).await,
    }
}

fn refusal(status: StatusCode, error: &str) -> Response {
    let body = json!({
        "error": error,
        "error_description": "Invalid request. Check that all required parameters have been provided.",
        "error_uri": "Refer to https://documentation.opencrvs.org/"
    });
    (status, Json(body)).into_response()
}
