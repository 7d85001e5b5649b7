//! `/integrations` of the events service on the inner network, where the country registers its
//! system clients with the bootstrap token.
//!
//! Wire source: `opencrvs-2.1.md` §1; opencrvs-core, `packages/events/src/router/integrations`.
//!
//! Invariant: a secret is shown once, in the answer that creates its client.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::code;
use super::credential::admit;
use super::release::Release;
use super::scopes::Grant;
use crate::sandbox::opencrvs::core::Core;

/// The events service on the inner network, `http://events:5555/`.
pub(in crate::sandbox::opencrvs) fn router(core: Arc<Core>) -> Router {
    Router::new().route("/integrations", get(list).post(create)).with_state(core)
}

#[derive(Deserialize)]
struct NewIntegration {
    name: String,
    scopes: Vec<String>,
    credentials: Option<GivenCredentials>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenCredentials {
    client_id: uuid::Uuid,
    client_secret: String,
}

async fn list(State(core): State<Arc<Core>>, headers: HeaderMap) -> Response {
    if let Some(refused) = refused(&core, &headers, "integrations.list") {
        return refused;
    }
    let clients: Vec<Value> = core.events.with(|state| {
        state.clients.all().map(|client| json!({ "id": client.id, "name": client.name })).collect()
    });
    Json(clients).into_response()
}

async fn create(State(core): State<Arc<Core>>, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    if let Some(refused) = refused(&core, &headers, "integrations.create") {
        return refused;
    }
    let wanted = serde_json::from_slice::<NewIntegration>(&body);
    let Some(wanted) = wanted.ok().filter(|new| !new.name.is_empty() && !new.scopes.is_empty()) else {
        return error(StatusCode::BAD_REQUEST, "Input validation failed");
    };
    let credentials = wanted.credentials.map(|given| (given.client_id.to_string(), given.client_secret));
    let created = core.events.with(|state| state.clients.create(&wanted.name, wanted.scopes, credentials));
    match created {
        Some(created) => Json(created).into_response(),
        None => error(StatusCode::CONFLICT, "Client id is already taken"),
    }
}

/// The refusal of a caller who may not see or create integrations.
fn refused(core: &Core, headers: &HeaderMap, procedure: &str) -> Option<Response> {
    if core.events.release() == Release::V1_9 {
        return Some(error(StatusCode::NOT_FOUND, "Not found"));
    }
    match admit(core, headers, "events-user", procedure) {
        Err(_) => Some(error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED")),
        Ok(caller) if Grant::of(&caller.claims.scope, "integration.create").is_none() => {
            Some(error(StatusCode::FORBIDDEN, "FORBIDDEN"))
        }
        Ok(_) => None,
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message, "code": code(status) }))).into_response()
}
