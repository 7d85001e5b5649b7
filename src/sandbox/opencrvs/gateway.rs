//! The gateway: `POST /graphql` as the real one behaves, which differs from its schema.

use std::sync::Arc;
use std::sync::atomic::Ordering;
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
use super::keys::{Claims, TokenHash};
use super::records::Confirmation;
use super::search::Search;
use super::tally::{Counts, Tally, count};

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
                self.later(Duration::from_millis(ms), fault);
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
    fn later(&self, after: Duration, fault: Option<Fault>) {
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

    fn run(&self, fault: Option<Fault>) -> Result<Value, ErrorRow> {
        match self.operation {
            Operation::Fetch => {
                self.caller()?;
                self.fetch(self.id()?)
            }
            Operation::Search => self.search(&self.caller()?),
            Operation::Confirm => {
                let (id, details) = self.to_confirm(fault)?;
                let task = self.core.with_records(|records| records.confirm(&id, details, Timestamp::now()));
                task.map(Value::from).ok_or(ErrorRow::CONFIRM_FAILED)
            }
            Operation::Reject => {
                self.allowed(&self.caller()?, "record.reject-registration", self.id()?)?;
                Err(ErrorRow::REJECT_FORBIDDEN)
            }
        }
    }

    /// The record and the details to confirm, if the caller is allowed to.
    fn to_confirm(&self, fault: Option<Fault>) -> Result<(String, Confirmation), ErrorRow> {
        let (claims, id) = (self.caller()?, self.id()?);
        self.allowed(&claims, "record.confirm-registration", id)?;
        Ok((id.to_owned(), Confirmation { fault, ..self.details()? }))
    }

    fn bearer(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn id(&self) -> Result<&str, ErrorRow> {
        self.text("id").ok_or(ErrorRow::BAD_ID)
    }

    fn caller(&self) -> Result<Claims, ErrorRow> {
        let token = self.bearer().ok_or(ErrorRow::UNAUTHORIZED)?;
        let claims = self.core.with_key(|key| key.verify(token, "gateway-user"));
        let claims = claims.ok_or(ErrorRow::UNAUTHORIZED)?;
        if self.core.faults.is_deactivated(&claims.sub) {
            return Err(ErrorRow::AUTHENTICATION_FAILED);
        }
        Ok(claims)
    }

    fn allowed(&self, claims: &Claims, scope: &str, id: &str) -> Result<(), ErrorRow> {
        if !claims.scope.iter().any(|held| held == scope) {
            let rejects = self.operation == Operation::Reject;
            return Err(if rejects { ErrorRow::NO_REJECT_SCOPE } else { ErrorRow::NO_CONFIRM_SCOPE });
        }
        if claims.record_id.as_deref() != Some(id) {
            return Err(ErrorRow::OTHER_RECORD);
        }
        Ok(())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_str()
    }

    fn details(&self) -> Result<Confirmation, ErrorRow> {
        let bad = ErrorRow::BAD_DETAILS;
        let details = self.variables.get("details").ok_or(bad)?;
        let number = details.get("registrationNumber").and_then(Value::as_str).ok_or(bad)?;
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
        let token = TokenHash::of(self.bearer().unwrap_or_default());
        Ok(Confirmation { number: number.to_owned(), identifiers, comment, token, fault: None })
    }

    fn search(&self, claims: &Claims) -> Result<Value, ErrorRow> {
        let behind = self.core.faults.index_lag();
        let search = Search {
            claims,
            document: &self.document,
            variables: &self.variables,
            indexed: Timestamp::now().saturating_sub(behind).unwrap_or_default(),
        };
        let (page, downloaded) = self.core.with_records(|records| search.run(records))?;
        self.core.downloaded.fetch_add(count(downloaded), Ordering::Relaxed);
        Ok(page)
    }

    /// As in core, neither the scope nor the record of the token is checked.
    fn fetch(&self, id: &str) -> Result<Value, ErrorRow> {
        self.core.with_records(|records| {
            let record = records.record(id).ok_or(ErrorRow::FETCH_FAILED)?;
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
