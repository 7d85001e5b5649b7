//! The gateway's `/events/…`: tRPC with superjson, limited to the procedures that answer an action.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::actions::{ActionCall, IDENTIFIER, Refused};
use crate::sandbox::opencrvs::connection::ConnectionBreaker;
use crate::sandbox::opencrvs::core::Core;
use crate::sandbox::opencrvs::fault::{Calls, Effect, Fault};
use crate::sandbox::opencrvs::keys::{Claims, TokenHash};
use crate::sandbox::opencrvs::records::Confirmation;

const CONFIRM: &str = "record.confirm-registration";
const REJECT: &str = "record.reject-registration";

pub(in crate::sandbox::opencrvs) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/events/event.get", get(read))
        .route("/events/{procedure}", post(call))
        .with_state(core)
}

async fn read(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if caller(&core, &headers).is_none() {
        return unauthorized();
    }
    let input: Value =
        query.get("input").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let id = input.pointer("/json/eventId").and_then(Value::as_str).unwrap_or_default();
    answer(core.with_records(|records| records.event(id)).ok_or(Refused::NO_EVENT), "event.get")
}

async fn call(
    State(core): State<Arc<Core>>,
    ConnectInfo(connection): ConnectInfo<ConnectionBreaker>,
    Path(procedure): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    // The services behind the gateway go on when the caller disconnects.
    let work = tokio::spawn(async move {
        let called = Called { core, procedure, headers, body };
        let input = serde_json::from_slice::<Value>(&called.body).unwrap_or_default();
        let record = input.pointer("/json/eventId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let fault = called.core.faults.next_fault(Calls::Action, &record);
        tokio::time::sleep(called.core.faults.gateway_latency()).await;
        let done = match fault.map(Fault::effect) {
            None | Some(Effect::AtOnce) => Some(called.run(&input, fault)),
            Some(Effect::Late(ms)) => {
                drop(tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    drop(called.run(&input, fault));
                }));
                None
            }
            Some(Effect::Never) => None,
        };
        (fault, done)
    });
    let Ok((fault, done)) = work.await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let done = done.unwrap_or_else(|| answer(Err(Refused::HIDDEN), ""));
    match fault {
        Some(fault) => apply_fault(fault, done, &connection).await,
        None => done,
    }
}

struct Called {
    core: Arc<Core>,
    procedure: String,
    headers: HeaderMap,
    body: axum::body::Bytes,
}

impl Called {
    /// Checks in core's order: envelope and contents come before the token.
    fn run(&self, input: &Value, fault: Option<Fault>) -> Response {
        let Some(claims) = caller(&self.core, &self.headers) else { return unauthorized() };
        let json =
            |value: &str| value.split(';').next().is_some_and(|kind| kind.trim() == "application/json");
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(json) {
            return self.refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported content-type");
        }
        let Some(input) = input.get("json").and_then(Value::as_object) else { return self.required("") };
        match self.procedure.as_str() {
            "event.actions.register.accept" | "event.actions.register.reject" => {
                self.register(input, &claims, fault)
            }
            "event.actions.reject.request" => self.explain(input, &claims),
            _ => self.refuse(StatusCode::NOT_FOUND, "No procedure found on path"),
        }
    }

    fn register(&self, input: &Map<String, Value>, claims: &Claims, fault: Option<Fault>) -> Response {
        let accepts = self.procedure.ends_with("accept");
        let mut needed = vec!["eventId", "actionId", "transactionId"];
        needed.extend(accepts.then_some("registrationNumber"));
        if let Some(missing) = needed.into_iter().find(|name| text(input, name).is_none()) {
            return self.required(missing);
        }
        let call = self.call(input, fault);
        if !claims.has(CONFIRM) || !claims.has(REJECT) {
            return self
                .refuse(StatusCode::FORBIDDEN, "Missing required scopes/claims for action confirmation");
        }
        let of_this = (claims.event_id.as_deref(), claims.action_id.as_deref());
        if of_this != (Some(call.event.as_str()), Some(call.action.as_str())) {
            return self.refuse(StatusCode::FORBIDDEN, "FORBIDDEN");
        }
        let defined = self.core.defined();
        let now = Timestamp::now();
        let done = self.core.with_records(|records| {
            if accepts { records.accept(&call, &defined, now) } else { records.reject(&call, now) }
        });
        answer(done, &self.procedure)
    }

    fn call(&self, input: &Map<String, Value>, fault: Option<Fault>) -> ActionCall {
        let text = |name| text(input, name).unwrap_or_default().to_owned();
        let declaration = input.get("declaration").and_then(Value::as_object).cloned().unwrap_or_default();
        let id = declaration.get(IDENTIFIER).and_then(Value::as_str).map(str::to_owned);
        ActionCall {
            event: text("eventId"),
            action: text("actionId"),
            transaction: text("transactionId"),
            confirmation: Confirmation {
                number: text("registrationNumber"),
                identifiers: id.map(|id| ("NATIONAL_ID".to_owned(), id)).into_iter().collect(),
                comment: None,
                token: TokenHash::of(bearer(&self.headers).unwrap_or_default()),
                fault,
            },
            declaration,
        }
    }

    fn explain(&self, input: &Map<String, Value>, claims: &Claims) -> Response {
        let reason = input.get("content").and_then(|content| content.get("reason")).and_then(Value::as_str);
        let (Some(id), Some(reason)) = (text(input, "eventId"), reason) else {
            return self.required("content");
        };
        if !claims.has("record.reject") {
            return self.refuse(StatusCode::FORBIDDEN, "FORBIDDEN");
        }
        answer(self.core.with_records(|records| records.explain(id, reason)), &self.procedure)
    }

    fn required(&self, name: &str) -> Response {
        let path: Vec<&str> = if name.is_empty() { Vec::new() } else { vec![name] };
        let issues = json!([{ "code": "invalid_type", "path": path, "message": "Required" }]);
        self.refuse(StatusCode::BAD_REQUEST, &issues.to_string())
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        error(status, message, &self.procedure)
    }
}

fn text<'i>(input: &'i Map<String, Value>, name: &str) -> Option<&'i str> {
    input.get(name).and_then(Value::as_str)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn caller(core: &Core, headers: &HeaderMap) -> Option<Claims> {
    let claims = core.with_key(|key| key.verify(bearer(headers)?, "gateway-user"))?;
    (!core.faults.is_deactivated(&claims.sub)).then_some(claims)
}

/// The gateway's own error, which is not in tRPC's format.
fn unauthorized() -> Response {
    let body = json!({ "statusCode": 401, "error": "Unauthorized", "message": "Missing authentication" });
    (StatusCode::UNAUTHORIZED, Json(body)).into_response()
}

fn answer(done: Result<Value, Refused>, procedure: &str) -> Response {
    match done {
        Ok(event) => Json(json!({ "result": { "data": { "json": event } } })).into_response(),
        Err(refused) => error(refused.status, refused.message, procedure),
    }
}

fn error(status: StatusCode, message: &str, procedure: &str) -> Response {
    let code = match status.as_u16() {
        400 => "BAD_REQUEST",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        415 => "UNSUPPORTED_MEDIA_TYPE",
        429 => "TOO_MANY_REQUESTS",
        _ => "INTERNAL_SERVER_ERROR",
    };
    let data = json!({ "code": code, "httpStatus": status.as_u16(), "path": procedure });
    (status, Json(json!({ "error": { "json": { "message": message, "code": -32_600, "data": data } } })))
        .into_response()
}

async fn apply_fault(fault: Fault, done: Response, connection: &ConnectionBreaker) -> Response {
    match fault {
        Fault::Error { error: row, .. } if row.trpc.0 == StatusCode::UNAUTHORIZED => unauthorized(),
        Fault::Error { error: row, .. } => error(row.trpc.0, row.trpc.1, ""),
        Fault::Transport { failure, .. } => failure.apply(done, connection).await,
    }
}
