//! The gateway: `POST /graphql` as the real one behaves, which differs from its schema.

mod operations;

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::call::Call;
use super::calls::Calls;
use super::connection::ConnectionBreaker;
use super::core::Core;
use super::errors::ErrorRow;
use super::events::{EventsTally, procedures};
use super::fault::Fault;
use super::graphql::{Document, Operation};
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
    let text = body.get("query").and_then(Value::as_str).unwrap_or_default();
    let document = match Document::read(text, body.get("variables").cloned().unwrap_or_default()) {
        Ok(document) => document,
        Err(error) => return error.graphql(None, ""),
    };
    let operation = document.operation;
    let record = document.argument("id").as_str().unwrap_or_default().to_owned();
    let query = Query { core, headers, id: record.clone(), document };
    let calls = match operation {
        Operation::Confirm => Some(Calls::Confirm),
        Operation::Fetch => Some(Calls::Fetch),
        Operation::Search => Some(Calls::Search),
        Operation::Reject => None,
    };
    let id = record.clone();
    let error = move |row: &ErrorRow| row.graphql(Some(operation), &id);
    let call = Call { core: Arc::clone(&query.core), calls, record, connection: &connection };
    call.perform(|fault| query.checked(fault), error).await
}

struct Query {
    core: Arc<Core>,
    headers: HeaderMap,
    document: Document,
    /// Empty: the document names no record.
    id: String,
}

impl Query {
    /// Checks the token of a confirm. The confirm may take effect later, whatever the state of the
    /// token and of the record is by then.
    fn checked(self, fault: Option<Fault>) -> impl FnOnce() -> Response {
        let operation = self.document.operation;
        let confirm = (operation == Operation::Confirm).then(|| self.to_confirm(fault));
        move || {
            let found = match confirm {
                Some(checked) => checked.and_then(|details| self.confirm(details)),
                None => self.run(),
            };
            match found {
                Ok(found) => Json(json!({"data": self.document.select(&found)})).into_response(),
                Err(error) => error.graphql(Some(operation), &self.id),
            }
        }
    }
}
