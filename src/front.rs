//! The HTTP front: takes a registration from OpenCRVS and answers 202 when the broker, or the spool, has it.
//!
//! Authenticate, read, parse into the view, seal, publish, answer. It needs the broker and auth's key, nothing else;
//! next: [`worker`](crate::worker).
//!
//! Invariant: 2xx only after the broker's confirm, or once the [`spool`] is durable. The document is dropped here; what goes on is the sealed view and
//! the sealed token. Core is answered nothing that holds personal data.

mod accept;
mod answer;
mod body;
mod handover;
pub mod passthrough;
mod refusal;
pub mod spool;
mod waiting;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::serve::ListenerExt as _;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use accept::Accepted;
pub use answer::Holding;
use passthrough::Passthrough;
pub use refusal::Refusal;
use spool::Spool;
pub use waiting::Waiters;

use crate::broker::Publisher;
use crate::domain::Dialect;
use crate::opencrvs::KeyStore;
use crate::seal::Sealer;
use crate::telemetry::{self, Metrics};

/// What the front works with.
pub struct Front {
    /// Verifies record tokens.
    pub keys: KeyStore,
    /// Seals view and token.
    pub sealer: Arc<Sealer>,
    /// Where registrations go.
    pub publisher: Publisher,
    /// Where they are kept while the broker takes none; without it, OpenCRVS is answered 503 then.
    pub spool: Option<Spool>,
    /// Whether registrations of the events generation are taken; not without a spool.
    pub events: bool,
    /// How callers are held for their answer, where any are.
    pub holding: Option<Holding>,
    /// Where all goes that is not ours; without it, to nobody.
    pub passthrough: Option<Passthrough>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The limits.
    pub limits: Limits,
}

/// The limits of the front.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest body, in bytes.
    pub max_body: usize,
    /// How many bytes of bodies are held at once.
    pub body_memory: usize,
    /// The longest pause within a body before its caller is given up.
    pub body_timeout: Duration,
    /// How long a request waits for a broker that is away.
    pub hold: Duration,
    /// How long a caller may take nothing of an answer.
    pub patience: Duration,
    /// How long requests that are under way may take when the front is to stop.
    pub drain: Duration,
}

/// The span of a request; its name has to be written where it is made.
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

struct Shared {
    front: Front,
    /// One permit per KiB of body that is held.
    memory: Arc<Semaphore>,
}

/// Serves until `stop`; requests that are under way are finished, but a caller that is silent is not waited for.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, front: Front, stop: CancellationToken) -> std::io::Result<()> {
    let memory = Arc::new(Semaphore::new(body::permits(front.limits.body_memory)));
    let (drain, patience) = (front.limits.drain, front.limits.patience);
    let waiters = front.holding.as_ref().map(|holding| Arc::clone(&holding.waiters));
    let shared = Arc::new(Shared { front, memory });
    // Methods are looked at by the handlers: the router would add an `Allow` of its own to what is passed on.
    let router = Router::new()
        .route("/event-registration", any(event_registration))
        .route("/trigger/events/{event}/actions/{action}", any(trigger))
        .route("/ping", any(ping))
        .fallback(unknown_path)
        .with_state(shared);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(move |caller| attend(caller, patience));
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        if let Some(waiters) = waiters {
            waiters.close();
        }
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = overdue => {
            tracing::warn!("callers that did not finish their requests were cut off");
            Ok(())
        }
    }
}

/// Answers go out at once, and a caller that takes nothing of one is given up: only the kernel sees that.
fn attend(caller: &mut TcpStream, patience: Duration) {
    let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    let attended = caller
        .set_nodelay(true)
        .and_then(|()| set_tcp_user_timeout(&*caller, patience).map_err(std::io::Error::from));
    if let Err(error) = attended {
        tracing::debug!(%error, "a connection that is gone already");
    }
}

async fn ping(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return shared.elsewhere(request, Refusal::UnknownMethod { allowed: "GET,HEAD" }).await;
    }
    ([(header::CONTENT_TYPE, "application/json")], r#"{"success":true}"#).into_response()
}

async fn unknown_path(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.elsewhere(request, Refusal::UnknownPath).await
}

impl Shared {
    async fn registration(
        &self,
        span: Span,
        dialect: Dialect,
        request: Request,
    ) -> Result<Accepted, Refusal> {
        // Without a tracer there is no parent to set, which is no fault.
        drop(span.set_parent(telemetry::extract(&trace_headers(request.headers()))));
        let begun = Instant::now();
        let result = match dialect {
            Dialect::Events if !self.front.events => Err(Refusal::EventsOff),
            Dialect::Events | Dialect::Fhir => {
                let accepting = accept::accept(&self.front, &self.memory, dialect, request);
                accepting.instrument(span.clone()).await
            }
        };
        let (kind, outcome) = match &result {
            Ok(accepted) => (accepted.kind.label(), "accepted"),
            Err(refusal) => {
                span.in_scope(|| tracing::warn!(fault = refusal.label(), error = %refusal, "refused"));
                ("unknown", refusal.label())
            }
        };
        self.front.metrics.front_request(kind, outcome);
        self.front.metrics.front_seconds(begun.elapsed().as_secs_f64());
        result
    }

    /// What the caller of a registration is told that is safe: its answer, where it is held for that; or 202. It is not part
    /// of the storing, which nobody has to stay for: who goes away meanwhile waits no more.
    async fn told(&self, span: &Span, accepted: Accepted) -> Response {
        let answer = match (&self.front.holding, accepted.held) {
            (Some(holding), Some((caller, until))) => {
                holding.tell(&self.front.sealer, caller, until).instrument(span.clone()).await
            }
            (Some(_) | None, _) => None,
        };
        answer.unwrap_or_else(|| StatusCode::ACCEPTED.into_response())
    }

    /// What is not ours. Without a place where it could go, it is counted: a caller that is set up wrongly is seen.
    async fn elsewhere(&self, request: Request, refusal: Refusal) -> Response {
        if let Some(passthrough) = &self.front.passthrough {
            return passthrough.pass(request).await;
        }
        let (method, path) = (request.method(), request.uri().path());
        tracing::debug!(http.request.method = %method, url.path = path, "not ours");
        self.front.metrics.front_request("unknown", refusal.label());
        refusal.into_response()
    }
}

/// Core spreads the headers of its own caller over the request (`Content-Type` twice, `Host` of another service), so
/// neither is looked at: the body is JSON or it is not.
async fn event_registration(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Infallible> {
    if request.method() != Method::POST {
        return Ok(shared.elsewhere(request, Refusal::UnknownMethod { allowed: "POST" }).await);
    }
    let span = span!("POST /event-registration");
    Ok(match shared.registration(span.clone(), Dialect::Fhir, request).await {
        Ok(accepted) => answered(&span, shared.told(&span, accepted).await),
        Err(refusal) => answered(&span, refusal.into_response()),
    })
}

/// What happens to a record in the events generation. Only its registration is ours, where the front takes any; the
/// rest is the country's. Without a service of its own core is told that all is well, by a 200 without a body: up to
/// 1.9.12 any member of a body that core does not expect is a fault.
async fn trigger(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Infallible> {
    if request.method() != Method::POST {
        return Ok(shared.elsewhere(request, Refusal::UnknownMethod { allowed: "POST" }).await);
    }
    let ours = path.is_ok_and(|Path((_event, action))| action.eq_ignore_ascii_case("REGISTER"));
    if let Some(passthrough) = &shared.front.passthrough
        && !(ours && shared.front.events)
    {
        return Ok(passthrough.pass(request).await);
    }
    if !ours {
        shared.front.metrics.front_request("other", "passed");
        body::discard(request.into_body(), shared.front.limits.body_timeout);
        return Ok(StatusCode::OK.into_response());
    }
    let span = span!("POST /trigger/events/{event}/actions/REGISTER");
    // Core asks once. A caller that goes away while it is waited for has asked all the same: it is
    // stored without anybody to tell.
    let storing = tokio::spawn({
        let (shared, span) = (Arc::clone(&shared), span.clone());
        async move { shared.registration(span, Dialect::Events, request).await }
    });
    Ok(match storing.await.unwrap_or(Err(Refusal::Internal)) {
        Ok(accepted) => answered(&span, shared.told(&span, accepted).await),
        Err(refusal) => answered(&span, refusal.rejecting()),
    })
}

fn answered(span: &Span, response: Response) -> Response {
    span.record("http.response.status_code", response.status().as_u16());
    response
}

/// The caller's trace: core's agent sends W3C headers where it is switched on.
fn trace_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    ["traceparent", "tracestate"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect()
}
