//! Everything that is not ours goes to the country's own configuration service, and its answer back.
//!
//! OpenCRVS knows one URL for all that a country adds to it, `COUNTRY_CONFIG_URL`; with this it may be ours.
//!
//! Invariant: nothing is held but what is on its way: bodies are streamed in both directions, whatever their length. What
//! breaks on one side is broken off on the other, never ended as if it were whole.

mod flow;
mod headers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use flow::Progress;

use super::refusal::boom;
use crate::telemetry::Metrics;

/// Node closes an idle connection after 5 s; a request on such a connection would be lost.
const IDLE: Duration = Duration::from_millis(2_500);

/// How requests are passed on.
#[derive(Debug, Clone)]
pub struct PassthroughSettings {
    /// The country's configuration service.
    pub upstream: Url,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long either side may be silent while the other one waits for it.
    pub patience: Duration,
    /// How many requests may be under way at once.
    pub limit: usize,
}

/// The way to the country's configuration service.
pub struct Passthrough {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    patience: Duration,
    permits: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// Why there is no answer of the country's configuration service.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(
        "the country's configuration service ({0}) cannot be reached: start it, or correct COUNTRY_CONFIG_URL"
    )]
    Away(String, #[source] reqwest::Error),
    #[error(
        "the country's configuration service ({0}) broke the connection off before it answered: see its log"
    )]
    BrokeOff(String, #[source] reqwest::Error),
    #[error(
        "the country's configuration service ({0}) was silent for {1:?}: see its log, or raise FRONT_PASS_PATIENCE"
    )]
    Silent(String, Duration),
    #[error(
        "more requests are under way to the country's configuration service than FRONT_PASS_LIMIT allows"
    )]
    Busy,
    #[error("the request has been here before: COUNTRY_CONFIG_URL must not lead back to the bridge")]
    Loop,
    #[error("this target cannot be passed on: it must begin with a slash")]
    Target,
}

impl Passthrough {
    /// Ready to pass requests on; nothing is connected yet.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new(settings: &PassthroughSettings, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.limit)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            base: settings.upstream.as_str().trim_end_matches('/').to_owned(),
            patience: settings.patience,
            permits: Arc::new(Semaphore::new(settings.limit.clamp(1, Semaphore::MAX_PERMITS))),
            metrics,
        })
    }

    /// The answer of the country's configuration service, or ours when it gives none.
    pub(super) async fn pass(&self, request: Request) -> Response {
        match self.call(request).await {
            Ok(answer) => {
                self.metrics.passed("answered");
                answer
            }
            Err(fault) => {
                self.metrics.passed(fault.label());
                tracing::warn!(fault = fault.label(), error = %fault, "not passed on");
                fault.into_response()
            }
        }
    }

    async fn call(&self, request: Request) -> Result<Response, Fault> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Fault::Busy)?;
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let (parts, body) = request.into_parts();
        if headers::have_been_here(&parts.headers) {
            return Err(Fault::Loop);
        }
        let progress = Progress::default();
        let mut call = self.http.request(parts.method.clone(), self.target(&parts)?);
        if !axum::body::HttpBody::is_end_stream(&body) {
            let upload = flow::upload(body, self.patience, progress.clone());
            call = call.body(reqwest::Body::wrap_stream(upload));
        }
        let call = call.headers(headers::onward(parts.headers, peer)).send();
        let answer = match flow::while_it_moves(call, &progress, self.patience).await {
            Some(answer) => answer.map_err(|cause| self.fault(cause))?,
            None => return Err(Fault::Silent(self.base.clone(), self.patience)),
        };
        Ok(self.back(answer, permit))
    }

    fn target(&self, parts: &Parts) -> Result<Url, Fault> {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        if !target.starts_with('/') {
            return Err(Fault::Target);
        }
        Url::parse(&format!("{}{target}", self.base)).map_err(|_| Fault::Target)
    }

    fn fault(&self, cause: reqwest::Error) -> Fault {
        // An error of reqwest shows the whole URL, and a query may hold what is nobody's business.
        let cause = cause.without_url();
        if cause.is_connect() {
            Fault::Away(self.base.clone(), cause)
        } else {
            Fault::BrokeOff(self.base.clone(), cause)
        }
    }

    fn back(&self, mut answer: reqwest::Response, permit: OwnedSemaphorePermit) -> Response {
        let (status, headers) = (answer.status(), headers::back(std::mem::take(answer.headers_mut())));
        let mut response = Response::new(Body::from_stream(flow::download(answer, self.patience, permit)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

impl Fault {
    fn label(&self) -> &'static str {
        match self {
            Self::Away(..) => "away",
            Self::BrokeOff(..) => "broke_off",
            Self::Silent(..) => "silent",
            Self::Busy => "busy",
            Self::Loop => "loop",
            Self::Target => "target",
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Away(..) | Self::BrokeOff(..) => StatusCode::BAD_GATEWAY,
            Self::Silent(..) => StatusCode::GATEWAY_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Target => StatusCode::BAD_REQUEST,
        };
        boom(status, &self.to_string())
    }
}
