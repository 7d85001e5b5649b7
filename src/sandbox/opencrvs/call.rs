//! A call to a service of OpenCRVS, and the fault that the call meets.
//!
//! Invariant: the service behind the gateway goes on when its caller disconnects, and it never
//! learns whether its answer arrived.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::calls::Calls;
use super::connection::ConnectionBreaker;
use super::core::Core;
use super::errors::ErrorRow;
use super::fault::{Effect, Failure, Fault};

/// What a call is: its kind, the record that it is about, and the connection of its caller.
pub(super) struct Call<'a> {
    pub(super) core: Arc<Core>,
    /// `None`: no fault applies to the call.
    pub(super) calls: Option<Calls>,
    pub(super) record: String,
    pub(super) connection: &'a ConnectionBreaker,
}

impl Call<'_> {
    /// Does the work of a call under the fault that it meets. `check` runs when the call arrives.
    /// Its result takes effect at once, late or never, as the fault says. `error` writes an
    /// error of OpenCRVS in the words of the service.
    pub(super) async fn perform<W: FnOnce() -> Response + Send + 'static>(
        self,
        check: impl FnOnce(Option<Fault>) -> W + Send + 'static,
        error: impl FnOnce(&ErrorRow) -> Response,
    ) -> Response {
        let Call { core, calls, record, connection } = self;
        let work = tokio::spawn(async move {
            if let Some(paused) = calls.and_then(|calls| core.faults.pause(calls)) {
                drop(paused.await);
            }
            let fault = calls.and_then(|calls| core.faults.next_fault(calls, &record));
            if !calls.is_some_and(Calls::is_of_auth) {
                tokio::time::sleep(core.faults.gateway_latency()).await;
            }
            let answer = match fault.map(|fault| fault.effect) {
                None | Some(Effect::AtOnce) => Some(check(fault)()),
                Some(Effect::Late(ms)) => {
                    let work = check(fault);
                    drop(tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(ms)).await;
                        drop(work());
                    }));
                    None
                }
                Some(Effect::Never) => None,
            };
            (fault, answer)
        });
        match work.await {
            Ok((Some(fault), answer)) => fault.apply(answer, error, connection).await,
            Ok((None, Some(answer))) => answer,
            Ok((None, None)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

impl Fault {
    /// Applies the fault to the answer of a call, if the call has one.
    pub(super) async fn apply(
        self,
        answer: Option<Response>,
        error: impl FnOnce(&ErrorRow) -> Response,
        connection: &ConnectionBreaker,
    ) -> Response {
        if let Failure::Error(row) = self.failure {
            return error(row);
        }
        let answer = answer.unwrap_or_else(|| error(&ErrorRow::CONFIRM_FAILED));
        self.failure.apply(answer, connection).await
    }
}
