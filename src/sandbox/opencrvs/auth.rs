//! The auth service: its public key, the token exchange, the tokens of system clients, and the
//! anonymous token.
//!
//! Wire source: `opencrvs-events.md` §3; `opencrvs-2.1.md` §2; opencrvs-core, `packages/auth`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::json;

use super::call::Call;
use super::calls::Calls;
use super::connection::ConnectionBreaker;
use super::core::Core;
use super::errors::ErrorRow;
use super::events::{Release, TokenRefusal};
use super::keys::{Claims, TokenHash};
use super::records::Exchanged;

const CLIENT_CREDENTIALS: &str = "client_credentials";
const EXCHANGE: &str = "urn:opencrvs:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const RECORD_TOKEN: &str = "urn:opencrvs:oauth:token-type:single_record_token";

pub(super) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/.well-known", get(public_key))
        .route("/token", post(token))
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
    match fault {
        Some(fault) => fault.apply(Some(answer), error, &connection).await,
        None => answer,
    }
}

async fn anonymous(State(core): State<Arc<Core>>) -> Response {
    match core.mint(&Claims::anonymous(Timestamp::now())) {
        Ok(token) => Json(json!({"token": token})).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `POST /token`, also as `/auth/token` of the gateway: the token exchange and client credentials.
pub(super) async fn token(
    State(core): State<Arc<Core>>,
    ConnectInfo(connection): ConnectInfo<ConnectionBreaker>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = Asked::of(&core, query, &headers, &body);
    let is_client = asked.text("grant_type") == CLIENT_CREDENTIALS;
    let (calls, record) = if is_client {
        (Calls::Token, asked.text("client_id").to_owned())
    } else {
        (Calls::Exchange, record_of(&|name| asked.text(name)).to_owned())
    };
    let call = Call { core: Arc::clone(&core), calls: Some(calls), record, connection: &connection };
    let work = move |_| {
        move || {
            if is_client { client_token(&core, &asked) } else { exchanged(&core, |name| asked.text(name)) }
        }
    };
    call.perform(work, error).await
}

/// The parameters of a request for a token.
struct Asked {
    given: HashMap<String, String>,
    has_credentials_in_query: bool,
}

impl Asked {
    /// 1.9 reads the query only, newer releases the form as well.
    fn of(core: &Core, query: HashMap<String, String>, headers: &HeaderMap, body: &[u8]) -> Self {
        let has_credentials_in_query =
            ["client_id", "client_secret"].iter().any(|name| query.contains_key(*name));
        let mut given = query;
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/x-www-form-urlencoded") && core.events.release() != Release::V1_9 {
            given.extend(url::form_urlencoded::parse(body).into_owned());
        }
        Self { given, has_credentials_in_query }
    }

    fn text(&self, name: &str) -> &str {
        self.given.get(name).map(String::as_str).unwrap_or_default()
    }
}

fn client_token(core: &Core, asked: &Asked) -> Response {
    match core.client_token(
        asked.text("client_id"),
        asked.text("client_secret"),
        asked.has_credentials_in_query,
    ) {
        Ok(token) => Json(json!({"access_token": token, "token_type": "Bearer"})).into_response(),
        Err(TokenRefusal::InvalidRequest) => refusal(StatusCode::BAD_REQUEST, "invalid_request"),
        Err(TokenRefusal::InvalidClient) => refusal(StatusCode::UNAUTHORIZED, "invalid_client"),
        Err(TokenRefusal::Failed) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Exchanges a token. As in auth, the signature, audience and expiry are checked, but not the
/// scope, the record or the registrar.
fn exchanged<'a>(core: &Core, text: impl Fn(&str) -> &'a str) -> Response {
    if text("grant_type") != EXCHANGE {
        return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    // The FHIR generation, whose tokens name a `record_id`, is an installation of its own with an
    // auth of its own, which is never upgraded to 2.1.
    if !text("event_id").is_empty()
        && let Some(status) = core.exchange_gone(text("event_id"))
    {
        return refusal(status, "unsupported_grant_type");
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
fn error(row: &ErrorRow) -> Response {
    if *row == ErrorRow::UNAUTHORIZED {
        refusal(StatusCode::UNAUTHORIZED, "unauthorized_client")
    } else {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

fn refusal(status: StatusCode, error: &str) -> Response {
    let body = json!({
        "error": error,
        "error_description": "Invalid request. Check that all required parameters have been provided.",
        "error_uri": "Refer to https://documentation.opencrvs.org/"
    });
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
