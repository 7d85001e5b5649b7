//! The gateway: `POST /graphql` as it behaves, not as its schema reads.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::book::Confirmation;
use super::core::Core;
use super::faults::{Calls, Fault};
use super::graphql::{GatewayError, Operation};
use super::keys::Claims;
use super::tally::Tally;
use super::wire::Scissors;

pub(super) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/graphql", post(graphql))
        .route("/v1/graphql", post(graphql))
        .route("/simulated/tally", get(tally))
        .layer(middleware::from_fn(version))
        .with_state(core)
}

/// Not of OpenCRVS: what it saw so far, for whoever runs the sandbox.
async fn tally(State(core): State<Arc<Core>>) -> Json<Tally> {
    Json(core.with_book(|book| Tally::of(book)))
}

async fn version(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert("x-version", header::HeaderValue::from_static("1.8.1"));
    response
}

async fn graphql(
    State(core): State<Arc<Core>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let document = body.get("query").and_then(Value::as_str).unwrap_or_default();
    let operation = match Operation::of(document) {
        Ok(operation) => operation,
        Err(error) => return error.answer(None),
    };
    let pause = core.faults.pause();
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let calls = match operation {
        Operation::Confirm => Some(Calls::Confirm),
        Operation::Fetch => Some(Calls::Fetch),
        Operation::Reject => None,
    };
    let fault = calls.and_then(|calls| core.faults.take(calls));
    if let (Some(calls), Some(Fault::Held)) = (calls, fault) {
        // A task of its own: a caller that goes away takes nothing back.
        let late = tokio::spawn(async move {
            drop(core.faults.hold_back(calls).await);
            let fault = core.faults.take(calls);
            let call = Call { core: &core, operation, headers: &headers, variables: body.get("variables") };
            call.with(fault, &scissors).await
        });
        return late.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    let call = Call { core: &core, operation, headers: &headers, variables: body.get("variables") };
    call.with(fault, &scissors).await
}

struct Call<'a> {
    core: &'a Core,
    operation: Operation,
    headers: &'a HeaderMap,
    variables: Option<&'a Value>,
}

impl Call<'_> {
    async fn with(&self, fault: Option<Fault>, scissors: &Scissors) -> Response {
        match fault {
            Some(fault) => self.disturbed(fault, scissors).await,
            None => self.answer(),
        }
    }

    fn answer(&self) -> Response {
        match self.run() {
            Ok(data) => Json(json!({"data": {self.operation.field(): data}})).into_response(),
            Err(error) => error.answer(Some(self.operation)),
        }
    }

    async fn disturbed(&self, fault: Fault, scissors: &Scissors) -> Response {
        let done = fault.applies().then(|| self.answer());
        if let Some(error) = GatewayError::of(fault) {
            return error.answer(Some(self.operation));
        }
        match fault {
            Fault::Http(status) | Fault::HttpAfter(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                return (status, "<html><body>Bad Gateway</body></html>").into_response();
            }
            Fault::Hang | Fault::HangAfter => std::future::pending::<()>().await,
            Fault::Delay(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Fault::CutBefore | Fault::CutAfter => scissors.cut(),
            Fault::NotJson => return "<html><body>Welcome</body></html>".into_response(),
            Fault::Unauthorized
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
            | Fault::RateLimited
            | Fault::Held => {}
        }
        done.unwrap_or_else(|| StatusCode::OK.into_response())
    }

    fn run(&self) -> Result<Value, GatewayError> {
        let claims = self.caller()?;
        let id = self.text("id").ok_or(GatewayError::BadUserInput("id"))?;
        match self.operation {
            Operation::Fetch => self.fetch(id),
            Operation::Confirm => {
                self.allowed(&claims, "record.confirm-registration", id)?;
                let details = self.details()?;
                let task = self.core.with_book(|book| book.confirm(id, details, Timestamp::now()));
                task.map(Value::from).ok_or(GatewayError::Confirm("Internal Server Error"))
            }
            Operation::Reject => {
                self.allowed(&claims, "record.reject-registration", id)?;
                Err(GatewayError::RejectForbidden)
            }
        }
    }

    fn caller(&self) -> Result<Claims, GatewayError> {
        let token = self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            token.and_then(|value| value.strip_prefix("Bearer ")).ok_or(GatewayError::Unauthorized)?;
        let claims = self.core.with_key(|key| key.verify(token, "gateway-user"));
        let claims = claims.ok_or(GatewayError::Unauthorized)?;
        if self.core.faults.is_deactivated(&claims.sub) {
            return Err(GatewayError::AuthenticationFailed);
        }
        Ok(claims)
    }

    fn allowed(&self, claims: &Claims, scope: &str, id: &str) -> Result<(), GatewayError> {
        if !claims.scope.iter().any(|held| held == scope) {
            return Err(GatewayError::NoScope(self.operation));
        }
        if claims.record_id.as_deref() != Some(id) {
            return Err(GatewayError::OtherRecord);
        }
        Ok(())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.variables?.get(name)?.as_str()
    }

    fn details(&self) -> Result<Confirmation, GatewayError> {
        let bad = GatewayError::BadUserInput("details");
        let details = self.variables.and_then(|all| all.get("details")).ok_or_else(|| bad.clone())?;
        let number = details.get("registrationNumber").and_then(Value::as_str).ok_or_else(|| bad.clone())?;
        let given =
            details.get("identifiers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut identifiers = Vec::new();
        for identifier in given {
            let text = |name: &str| identifier.get(name).and_then(Value::as_str).map(str::to_owned);
            match (text("type"), text("value")) {
                (Some(kind), Some(value)) => identifiers.push((kind, value)),
                (None, _) | (_, None) => return Err(bad),
            }
        }
        let comment = details.get("comment").and_then(Value::as_str).map(str::to_owned);
        Ok(Confirmation { number: number.to_owned(), identifiers, comment })
    }

    /// Neither the scope nor the record of the token is checked here, as in core.
    fn fetch(&self, id: &str) -> Result<Value, GatewayError> {
        self.core.with_book(|book| {
            let record = book.record(id).ok_or_else(|| GatewayError::FetchFailed(id.to_owned()))?;
            let status: Vec<Value> = record
                .history
                .iter()
                .rev()
                .map(|step| json!({"type": step.status.name(), "timestamp": step.at}))
                .collect();
            Ok(json!({"id": id, "registration": {
                "trackingId": record.tracking_id,
                "registrationNumber": record.numbers.first(),
                "status": status
            }}))
        })
    }
}
