//! The country's configuration service, reduced to what the bridge or core reads: the fields of the
//! forms, and empty answers for the rest of the configuration.
//!
//! Wire source: `opencrvs-2.1.md` §5. 2.0 moved every path under `/config`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::release::Release;
use crate::sandbox::opencrvs::core::Core;

pub(in crate::sandbox::opencrvs) fn router(core: Arc<Core>) -> Router {
    Router::new().fallback(answer).with_state(core)
}

async fn answer(State(core): State<Arc<Core>>, request: Request) -> Response {
    let path = request.uri().path();
    let name = match core.events.release() {
        Release::V1_9 => match path {
            "/events" => "events",
            "/workqueue" => "workqueues",
            "/application-config" => "application",
            "/locations" => "locations",
            "/roles" => "roles",
            "/users" => "users",
            _ => "",
        },
        Release::V2_0 | Release::V2_1 => path.strip_prefix("/config/").unwrap_or_default(),
    };
    match name {
        _ if request.method() != Method::GET => StatusCode::NOT_FOUND.into_response(),
        "events" => Json(events(&core)).into_response(),
        "workqueues" | "locations" | "roles" | "users" => Json(json!([])).into_response(),
        "application" => Json(json!({ "APPLICATION_NAME": "Simulated country" })).into_response(),
        _ => {
            let body = json!({ "statusCode": 404, "error": "Not Found", "message": "Not Found" });
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
    }
}

/// The forms of `country.json`: the fields that every form of farajaland has, as far as they name
/// persons and dates (`opencrvs-events.md` §5), with the further fields that this country defines.
fn events(core: &Core) -> Value {
    let defined = core.defined();
    let mut events: Value = serde_json::from_str(include_str!("country.json")).unwrap_or_default();
    for event in events.as_array_mut().into_iter().flatten() {
        let first = event.pointer("/declaration/pages/0/fields/0/id").and_then(Value::as_str);
        let subject = first.and_then(|id| id.split('.').next()).unwrap_or_default();
        let of_subject = defined.iter().filter(|name| name.split('.').next() == Some(subject));
        let field = |id: &String| json!({ "id": id, "type": "TEXT", "label": { "defaultMessage": "" } });
        let more: Vec<Value> = of_subject.map(field).collect();
        if let Some(fields) = event.pointer_mut("/declaration/pages/1/fields") {
            *fields = Value::Array(more);
        }
    }
    events
}
