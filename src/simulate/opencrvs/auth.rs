//! The auth service: its public key, the token exchange, and the token that anybody may have.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::json;

use super::core::Core;
use super::faults::{Calls, Fault};
use super::keys::Claims;
use super::wire::Scissors;

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

async fn public_key(State(core): State<Arc<Core>>, ConnectInfo(scissors): ConnectInfo<Scissors>) -> Response {
    if let Some(answer) = disturbed(&core, Calls::Key, &scissors).await {
        return answer;
    }
    let pem = core.with_key(|key| key.public_pem().to_owned());
    ([(header::CONTENT_TYPE, "application/octet-stream")], pem).into_response()
}

async fn anonymous(State(core): State<Arc<Core>>) -> Response {
    match core.mint(&Claims::anonymous(Timestamp::now())) {
        Ok(token) => Json(json!({"token": token})).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn exchange(
    State(core): State<Arc<Core>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    if let Some(answer) = disturbed(&core, Calls::Exchange, &scissors).await {
        return answer;
    }
    let text = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    if text("grant_type") != EXCHANGE {
        return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let complete = text("subject_token_type") == ACCESS_TOKEN
        && text("requested_token_type") == RECORD_TOKEN
        && !text("record_id").is_empty()
        && !text("subject_token").is_empty();
    if !complete {
        return refusal(StatusCode::BAD_REQUEST, "invalid_request");
    }
    // core checks no scope and no record here: whoever holds a token may have one for any record
    let Some(subject) = core.with_key(|key| key.verify(text("subject_token"), "auth-user")) else {
        return refusal(StatusCode::UNAUTHORIZED, "unauthorized_client");
    };
    match core.mint(&core.record_claims(&subject.sub, text("record_id"))) {
        Ok(token) => Json(json!({"access_token": token, "token_type": "Bearer"})).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Of the faults only those that any HTTP service can have are possible here.
async fn disturbed(core: &Core, calls: Calls, scissors: &Scissors) -> Option<Response> {
    match core.faults.take(calls)? {
        Fault::Http(status) | Fault::HttpAfter(status) => {
            Some(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY).into_response())
        }
        Fault::NotJson => Some("<html>".into_response()),
        Fault::Hang | Fault::HangAfter => std::future::pending().await,
        Fault::Delay(ms) => {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            None
        }
        Fault::Unauthorized => Some(refusal(StatusCode::UNAUTHORIZED, "unauthorized_client")),
        Fault::CutBefore | Fault::CutAfter => {
            scissors.cut();
            Some(StatusCode::OK.into_response())
        }
        Fault::Held
        | Fault::AuthenticationFailed
        | Fault::UserManagementDown
        | Fault::NoScope
        | Fault::OtherRecord
        | Fault::FailsBefore
        | Fault::FailsAfter
        | Fault::WorkflowUnreachable
        | Fault::WorkflowUnauthorized
        | Fault::WorkflowForbidden
        | Fault::ParseFailed
        | Fault::ValidationFailed
        | Fault::BadUserInput
        | Fault::RateLimited => Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
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
