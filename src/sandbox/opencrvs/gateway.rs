//! The gateway: `POST /graphql` as the real one behaves, which differs from its schema.

mod operations;

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

use super::connection::ConnectionBreaker;
use super::core::Core;
use super::errors::ErrorRow;
use super::events::{EventsTally, procedures};
use super::fault::{Calls, Effect, Fault};
use super::graphql::Operation;
use super::tally::{Counts, Tally};

pub(super) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/graphql", post(graphql))
        .route("/v1/graphql", post(graphql))
        .route("/simulated/tally", get(tally))
        .route("/simulated/counts", get(counts))
        .route("/simulated/events", get(events))
        .with_state(Arc::clone(&core))
        .merge(procedures(core))
        .layer(middleware::from_fn(version))
}

/// Not part of OpenCRVS: the figures so far, for users of the sandbox.
async fn tally(State(core): State<Arc<Core>>) -> Json<Tally> {
    Json(core.with_records(|records| Tally::of(records)))
}

/// Not part of OpenCRVS: the calls so far, and the faults that they met.
async fn counts(State(core): State<Arc<Core>>) -> Json<Counts> {
    Json(core.counts())
}

/// Not part of OpenCRVS: the damage that a core of the events generation would have done.
async fn events(State(core): State<Arc<Core>>) -> Json<EventsTally> {
    Json(core.with_records(|records| EventsTally::of(records)))
}

async fn version(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert("x-version", header::HeaderValue::from_static("1.8.1"));
    response
}

async fn graphql(
    State(core): State<Arc<Core>>,
    ConnectInfo(connection): ConnectInfo<ConnectionBreaker>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let document = body.get("query").and_then(Value::as_str).unwrap_or_default();
    let operation = match Operation::of(document) {
        Ok(operation) => operation,
        Err(error) => return error.graphql(None, ""),
    };
    let variables = body.get("variables").cloned().unwrap_or_default();
    let call = Call { core, operation, headers, document: document.to_owned(), variables };
    // The services behind the gateway go on when the caller disconnects.
    let work = tokio::spawn(async move {
        let (fault, answer) = call.work().await;
        (fault, answer, call)
    });
    match work.await {
        Ok((Some(fault), answer, call)) => call.apply_fault(fault, answer, &connection).await,
        Ok((None, Some(answer), _)) => answer,
        Ok((None, None, _)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

struct Call {
    core: Arc<Core>,
    operation: Operation,
    headers: HeaderMap,
    document: String,
    variables: Value,
}

impl Call {
    /// Does the work of the services. Returns the fault of the call, and the answer that would be
    /// given without a fault on the way.
    async fn work(&self) -> (Option<Fault>, Option<Response>) {
        let record = self.text("id").unwrap_or_default();
        let calls = match self.operation {
            Operation::Confirm => Some((Calls::Confirm, record)),
            Operation::Fetch => Some((Calls::Fetch, record)),
            Operation::Search => Some((Calls::Search, "")),
            Operation::Reject => None,
        };
        if let Some(paused) = calls.and_then(|(calls, _)| self.core.faults.pause(calls)) {
            drop(paused.await);
        }
        let fault = calls.and_then(|(calls, record)| self.core.faults.next_fault(calls, record));
        let pause = self.core.faults.gateway_latency();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let answer = match fault.map(Fault::effect) {
            None | Some(Effect::AtOnce) => Some(self.answer(fault)),
            Some(Effect::Late(ms)) => {
                self.confirm_later(Duration::from_millis(ms), fault);
                None
            }
            Some(Effect::Never) => None,
        };
        (fault, answer)
    }

    fn answer(&self, fault: Option<Fault>) -> Response {
        match self.run(fault) {
            Ok(data) => Json(json!({"data": {self.operation.field(): data}})).into_response(),
            Err(error) => self.error(error),
        }
    }

    /// Checks the token now, and writes the record after the delay, whatever the record's state is
    /// by then.
    fn confirm_later(&self, after: Duration, fault: Option<Fault>) {
        let (Operation::Confirm, Ok((id, details))) = (self.operation, self.to_confirm(fault)) else {
            return;
        };
        let core = Arc::clone(&self.core);
        drop(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            core.with_records(|records| records.confirm(&id, details, Timestamp::now()));
        }));
    }

    fn error(&self, error: ErrorRow) -> Response {
        error.graphql(Some(self.operation), self.text("id").unwrap_or_default())
    }

    async fn apply_fault(
        &self,
        fault: Fault,
        done: Option<Response>,
        connection: &ConnectionBreaker,
    ) -> Response {
        match fault {
            Fault::Error { error, .. } => self.error(*error),
            Fault::Transport { failure, .. } => {
                let answer = done.unwrap_or_else(|| self.error(ErrorRow::CONFIRM_FAILED));
                failure.apply(answer, connection).await
            }
        }
    }
}
