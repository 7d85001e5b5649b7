//! Everything that is not ours goes to the country's own configuration service, and its answer back.
//!
//! OpenCRVS knows one URL for all that a country adds to it, `COUNTRY_CONFIG_URL`; with this it may be ours.
//!
//! Invariant: nothing is held but what is on its way: bodies are streamed in both directions, whatever their length. What
//! breaks on one side is broken off on the other, never ended as if it were whole. A target goes on byte by byte.

mod fault;
mod flow;
mod headers;
mod passage;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::uri::{Authority, InvalidUri, InvalidUriParts, PathAndQuery, Scheme};
use axum::http::{Method, Uri, Version};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tracing::{Instrument as _, Span};
use url::{Position, Url};

use fault::ProxyFault;
use flow::{Download, Silence, Traffic, Upload};
use passage::{Outcome, Passage};

use super::trace_headers;
use crate::telemetry::{self, Metrics};

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

/// Why nothing can be passed on.
#[derive(Debug, thiserror::Error)]
pub enum PassthroughError {
    /// TLS.
    #[error("the certificates of this machine cannot be used")]
    Tls(#[source] io::Error),
    /// The host.
    #[error("the host cannot be written in a request")]
    Host(#[source] InvalidUri),
    /// All of it.
    #[error("the URL cannot be written in a request")]
    Url(#[source] InvalidUriParts),
}

/// The way to the country's configuration service.
pub struct Passthrough {
    http: Client<HttpsConnector<HttpConnector>, Upload>,
    /// Scheme and host.
    origin: Uri,
    /// Without a slash at its end.
    base: String,
    patience: Duration,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Passthrough {
    /// Ready to pass requests on; nothing is connected yet.
    ///
    /// # Errors
    /// [`PassthroughError`] says what stands in the way.
    pub fn new(settings: &PassthroughSettings, metrics: Arc<Metrics>) -> Result<Self, PassthroughError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.connect_timeout));
        // Ends a connection whose other side takes nothing more, which no timer of ours can see.
        tcp.set_tcp_user_timeout(Some(settings.patience));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(PassthroughError::Tls)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.limit)
            .build(connector);
        Ok(Self {
            http,
            origin: origin(&settings.upstream)?,
            base: settings.upstream.path().trim_end_matches('/').to_owned(),
            patience: settings.patience,
            places: Arc::new(Semaphore::new(settings.limit.clamp(1, Semaphore::MAX_PERMITS))),
            metrics,
        })
    }

    /// The answer of the country's configuration service, or ours when it gives none.
    pub(super) async fn pass(&self, request: Request) -> Response {
        let span = tracing::info_span!(
            "pass on",
            otel.kind = "server",
            http.request.method = %request.method(),
            http.response.status_code = tracing::field::Empty,
        );
        telemetry::set_parent(&span, &trace_headers(request.headers()));
        let (parts, body) = request.into_parts();
        // Read to its end even if it is not wanted, or its caller may never see the answer.
        let traffic = Traffic::begin(body, self.patience);
        let request = Request::from_parts(parts, ());
        let response = match Passage::begin(&self.places, &self.metrics) {
            None => {
                self.metrics.passed(Outcome::Busy.label());
                traffic.gives_up_the_rest();
                ProxyFault::Busy.into_response()
            }
            Some(passage) => self.call(request, traffic, passage).instrument(span.clone()).await,
        };
        span.record("http.response.status_code", response.status().as_u16());
        response
    }

    async fn call(&self, request: Request<()>, traffic: Arc<Traffic>, passage: Passage) -> Response {
        let mut silence = Silence::of(Arc::clone(&traffic));
        let fault = match self.onward(request, &traffic) {
            Err(fault) => fault,
            Ok(request) => match silence.or(self.http.request(request)).await {
                Some(Ok(answer)) => return back(answer, silence, passage),
                Some(Err(_)) if traffic.caller_is_lost() => ProxyFault::Left,
                Some(Err(cause)) => self.fault(cause),
                None if traffic.caller_is_awaited() => ProxyFault::Stalled(self.patience),
                None => ProxyFault::Silent(self.shown(), self.patience),
            },
        };
        traffic.gives_up_the_rest();
        passage.ends(fault.outcome());
        let (label, cause) = (fault.outcome().label(), &fault as &dyn std::error::Error);
        tracing::warn!(fault = label, error = cause, "not passed on");
        fault.into_response()
    }

    /// The request as the service gets it.
    fn onward(&self, request: Request<()>, traffic: &Arc<Traffic>) -> Result<Request<Upload>, ProxyFault> {
        if headers::have_been_here(request.headers()) {
            return Err(ProxyFault::Loop);
        }
        let target = self.target(request.uri(), request.method())?;
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let (parts, ()) = request.into_parts();
        let mut onward = Request::new(Upload::of(traffic));
        *onward.version_mut() = Version::HTTP_11;
        *onward.method_mut() = parts.method;
        *onward.uri_mut() = target;
        *onward.headers_mut() = headers::onward(parts.headers, peer);
        // While traces are kept, ours is the next span of the caller's.
        headers::set(onward.headers_mut(), telemetry::inject(&Span::current()));
        Ok(onward)
    }

    fn target(&self, uri: &Uri, method: &Method) -> Result<Uri, ProxyFault> {
        let target = uri.path_and_query().filter(|target| target.as_str().starts_with('/'));
        let target = target.filter(|_| *method != Method::CONNECT).ok_or(ProxyFault::Target)?;
        let target = if self.base.is_empty() {
            target.clone()
        } else {
            format!("{}{target}", self.base).parse().map_err(|_| ProxyFault::Target)?
        };
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).map_err(|_| ProxyFault::Target)
    }

    fn fault(&self, cause: Error) -> ProxyFault {
        if cause.is_connect() {
            ProxyFault::Away(self.shown(), cause)
        } else {
            ProxyFault::BrokeOff(self.shown(), cause)
        }
    }

    /// Where the service is, for whoever has to find it.
    fn shown(&self) -> String {
        format!("{}{}", self.origin.to_string().trim_end_matches('/'), self.base)
    }
}

fn origin(url: &Url) -> Result<Uri, PassthroughError> {
    let mut parts = axum::http::uri::Parts::default();
    parts.scheme = Some(if url.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP });
    let authority = url[Position::BeforeHost..Position::AfterPort].parse::<Authority>();
    parts.authority = Some(authority.map_err(PassthroughError::Host)?);
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map_err(PassthroughError::Url)
}

/// The answer as the caller gets it; its reason phrase goes along.
fn back(answer: hyper::Response<Incoming>, silence: Silence, passage: Passage) -> Response {
    let (mut parts, body) = answer.into_parts();
    parts.headers = headers::back(parts.headers);
    // An answer of HTTP/1.0 would end the caller's connection.
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Body::new(Download::of(body, silence, passage)))
}
