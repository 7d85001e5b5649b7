//! The routes: the registrations of both generations, and everything else.
//!
//! Invariant: a request that is not a registration is proxied, if the country has a configuration
//! service; no request is both accepted and proxied.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::accept::{Accepted, accept};
use super::server::Shared;
use super::{Refusal, body, system_ready};
use crate::domain::Dialect;
use crate::telemetry;

/// The span of a request. It is a macro because `tracing` wants the name as a literal.
macro_rules! span {
    ($name:literal) => {
        tracing::info_span!(
            $name,
            otel.kind = "server",
            http.response.status_code = tracing::field::Empty,
            record.id = tracing::field::Empty,
            attempt.id = tracing::field::Empty,
        )
    };
}

/// A registration of the FHIR generation.
///
/// OpenCRVS core copies the headers of its own caller into the request (`Content-Type` twice,
/// `Host` of another service), so neither is checked. The body is parsed as JSON in any case.
pub(super) async fn event_registration(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Infallible> {
    if request.method() != Method::POST {
        return Ok(shared.proxy(request, Refusal::UnknownMethod { allowed: "POST" }).await);
    }
    let span = span!("POST /event-registration");
    Ok(match shared.registration(span.clone(), Dialect::Fhir, request).await {
        Ok(accepted) => recorded(&span, shared.answer(&span, accepted).await),
        Err(refusal) => recorded(&span, refusal.into_response()),
    })
}

/// An action on a record of the events generation. The front handles only REGISTER, and only if it
/// accepts this generation; the other actions belong to the country.
///
/// Without a country's service, every other action gets 200 without a body, because OpenCRVS core
/// up to 1.9.12 fails on any member of a body that it does not expect.
pub(super) async fn trigger(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Infallible> {
    if request.method() != Method::POST {
        return Ok(shared.proxy(request, Refusal::UnknownMethod { allowed: "POST" }).await);
    }
    let ours = path.is_ok_and(|Path((_event, action))| action.eq_ignore_ascii_case("REGISTER"));
    if let Some(passthrough) = &shared.front.passthrough
        && !(ours && shared.front.events)
    {
        return Ok(passthrough.proxy(request).await);
    }
    if !ours {
        shared.front.metrics.front_request("other", "passed");
        body::discard(request.into_body(), shared.front.limits.body_timeout);
        return Ok(StatusCode::OK.into_response());
    }
    let span = span!("POST /trigger/events/{event}/actions/REGISTER");
    // OpenCRVS core sends this request only once, so the registration is accepted even if the
    // caller hangs up in the meantime.
    let accepting = tokio::spawn({
        let (shared, span) = (Arc::clone(&shared), span.clone());
        async move { shared.registration(span, Dialect::Events, request).await }
    });
    Ok(match accepting.await.unwrap_or(Err(Refusal::Internal)) {
        Ok(accepted) => recorded(&span, shared.answer(&span, accepted).await),
        Err(refusal) => recorded(&span, refusal.rejecting()),
    })
}

/// OpenCRVS has started, and the country may register its system clients.
pub(super) async fn system_ready(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match &shared.front.client_registration {
        Some(registration) if request.method() == Method::GET => {
            system_ready::answer(&shared.front, registration, request).await
        }
        Some(_) | None => shared.proxy(request, Refusal::UnknownPath).await,
    }
}

pub(super) async fn ping(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return shared.proxy(request, Refusal::UnknownMethod { allowed: "GET,HEAD" }).await;
    }
    ([(header::CONTENT_TYPE, "application/json")], r#"{"success":true}"#).into_response()
}

pub(super) async fn other_path(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.proxy(request, Refusal::UnknownPath).await
}

impl Shared {
    async fn registration(
        &self,
        span: Span,
        dialect: Dialect,
        request: Request,
    ) -> Result<Accepted, Refusal> {
        // This fails only if traces are not exported.
        drop(span.set_parent(telemetry::extract(&trace_headers(request.headers()))));
        let begun = Instant::now();
        let result = match dialect {
            Dialect::Events if !self.front.events => Err(Refusal::EventsOff),
            Dialect::Events | Dialect::Fhir => {
                let accepting = accept(self, dialect, request);
                accepting.instrument(span.clone()).await
            }
        };
        let (kind, outcome) = match &result {
            Ok(accepted) => {
                self.refusals.accepted();
                (accepted.kind.label(), "accepted")
            }
            Err(refusal) => {
                self.refusals.refused(refusal);
                span.in_scope(
                    || tracing::warn!(fault = refusal.label(), error = %refusal, "registration refused"),
                );
                ("unknown", refusal.label())
            }
        };
        self.front.metrics.front_request(kind, outcome);
        self.front.metrics.front_seconds(begun.elapsed().as_secs_f64());
        result
    }

    /// The sync answer, if the caller waits for one and it comes in time; otherwise 202.
    ///
    /// The registration is safe by now, so this future may be dropped when the caller hangs up.
    async fn answer(&self, span: &Span, accepted: Accepted) -> Response {
        let answer = match (&self.front.sync_answers, accepted.caller) {
            (Some(answers), Some((caller, until))) => {
                answers.answer(&self.front.sealer, caller, until).instrument(span.clone()).await
            }
            (Some(_) | None, _) => None,
        };
        answer.unwrap_or_else(|| StatusCode::ACCEPTED.into_response())
    }

    /// Proxies a request that is not ours. Without a service to proxy it to, the request is refused
    /// and counted, because it shows that the caller is configured wrongly.
    async fn proxy(&self, request: Request, refusal: Refusal) -> Response {
        if let Some(passthrough) = &self.front.passthrough {
            return passthrough.proxy(request).await;
        }
        let (method, path) = (request.method(), request.uri().path());
        tracing::debug!(http.request.method = %method, url.path = path, "no such route");
        self.front.metrics.front_request("unknown", refusal.label());
        refusal.into_response()
    }
}

fn recorded(span: &Span, response: Response) -> Response {
    span.record("http.response.status_code", response.status().as_u16());
    response
}

/// The caller's trace: a W3C header, which the tracing agent of OpenCRVS core sends if it is
/// switched on.
pub(super) fn trace_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    ["traceparent"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect()
}
