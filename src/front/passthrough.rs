//! A reverse proxy: every request that is not a registration goes to the country's own
//! configuration service.
//!
//! OpenCRVS has a single URL for everything that a country adds to it, `COUNTRY_CONFIG_URL`. With
//! this proxy, that URL can be the URL of the front.
//!
//! Invariant: bodies are streamed in both directions and never buffered whole. A body that breaks
//! off on one side is aborted on the other, never ended as if it were complete. The request target
//! is forwarded byte for byte.

mod fault;
mod flow;
mod forwarded;
mod headers;
mod proxied;

use std::io;
use std::net::{IpAddr, SocketAddr};
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
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tracing::{Instrument as _, Span};
use url::{Position, Url};

use fault::ProxyFault;
use flow::{Download, IdleTimer, Traffic, Upload};
use forwarded::TrustedProxies;
use proxied::Proxied;

use super::callers::Callers;
use super::path;
use super::routes::trace_headers;
use crate::telemetry::{self, Metrics};

/// Idle time after which a pooled connection is closed. Node closes it after 5 s, and a request
/// sent just then would be lost.
const POOL_IDLE: Duration = Duration::from_millis(2_500);

#[derive(Debug, Clone)]
pub struct PassthroughSettings {
    /// URL of the country's configuration service.
    pub upstream: Url,
    pub connect_timeout: Duration,
    /// Idle timeout of a proxied request. The total duration is not limited.
    pub idle_timeout: Duration,
    /// Maximum number of requests that are proxied at the same time. One caller has at most three
    /// quarters of them.
    pub limit: usize,
    /// Reverse proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Why the proxy cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PassthroughError {
    #[error("the certificates of this machine cannot be loaded")]
    Tls(#[source] io::Error),
    #[error("its host is not valid in a request")]
    Host(#[source] InvalidUri),
    #[error("it is not valid in a request")]
    Url(#[source] InvalidUriParts),
}

/// The proxy to the country's configuration service.
pub struct Passthrough {
    http: Client<HttpsConnector<HttpConnector>, Upload>,
    /// Scheme and host.
    origin: Uri,
    /// Path of the upstream URL, without a slash at its end.
    base: String,
    idle_timeout: Duration,
    /// One permit for each request that is being proxied.
    permits: Arc<Semaphore>,
    callers: Callers<IpAddr>,
    proxies: TrustedProxies,
    metrics: Arc<Metrics>,
}

impl Passthrough {
    /// Sets up the proxy without connecting to the upstream service.
    ///
    /// # Errors
    /// [`PassthroughError`].
    pub fn new(settings: &PassthroughSettings, metrics: Arc<Metrics>) -> Result<Self, PassthroughError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.connect_timeout));
        // Closes a connection whose other side reads no more of the request, which no timer of ours
        // can see.
        tcp.set_tcp_user_timeout(Some(settings.idle_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(PassthroughError::Tls)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(settings.limit)
            .build(connector);
        Ok(Self {
            http,
            origin: origin(&settings.upstream)?,
            base: settings.upstream.path().trim_end_matches('/').to_owned(),
            idle_timeout: settings.idle_timeout,
            permits: Arc::new(Semaphore::new(settings.limit.clamp(1, Semaphore::MAX_PERMITS))),
            callers: Callers::new(settings.limit - settings.limit / 4),
            proxies: TrustedProxies::new(settings.trusted_proxies.clone()),
            metrics,
        })
    }

    /// The response of the country's configuration service, or our own if it gives none.
    pub(super) async fn proxy(&self, request: Request) -> Response {
        let span = tracing::info_span!(
            "proxy",
            otel.kind = "server",
            http.request.method = %request.method(),
            http.response.status_code = tracing::field::Empty,
        );
        telemetry::set_parent(&span, &trace_headers(request.headers()));
        let (parts, body) = request.into_parts();
        // The body is read to its end even if nobody wants it: otherwise the caller may never see
        // the response.
        let traffic = Traffic::begin(body, self.idle_timeout);
        let request = Request::from_parts(parts, ());
        let response = match self.begin(&request) {
            Err(fault) => {
                self.metrics.passed(fault.outcome().label());
                traffic.discard_rest();
                fault.into_response()
            }
            Ok(proxied) => self.call(request, traffic, proxied).instrument(span.clone()).await,
        };
        span.record("http.response.status_code", response.status().as_u16());
        response
    }

    fn begin(&self, request: &Request<()>) -> Result<Proxied, ProxyFault> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| ProxyFault::Busy)?;
        let place = match peer_of(request) {
            Some(peer) => {
                let caller = self.proxies.caller(request.headers(), peer);
                Some(self.callers.enter(&caller).ok_or(ProxyFault::TooMany)?)
            }
            None => None,
        };
        Ok(Proxied::begin(permit, place, &self.metrics))
    }

    async fn call(&self, request: Request<()>, traffic: Arc<Traffic>, proxied: Proxied) -> Response {
        let mut timer = IdleTimer::of(Arc::clone(&traffic));
        let fault = match self.upstream_request(request, &traffic) {
            Err(fault) => fault,
            Ok(request) => match timer.run(self.http.request(request)).await {
                Some(Ok(response)) => return downstream_response(response, timer, proxied),
                Some(Err(_)) if traffic.caller_aborted() => ProxyFault::Left,
                Some(Err(cause)) => self.fault(cause),
                None if traffic.awaits_caller() => ProxyFault::Stalled(self.idle_timeout),
                None => ProxyFault::Silent(self.upstream(), self.idle_timeout),
            },
        };
        traffic.discard_rest();
        proxied.end(fault.outcome());
        let (label, cause) = (fault.outcome().label(), &fault as &dyn std::error::Error);
        tracing::warn!(fault = label, error = cause, "request not proxied");
        fault.into_response()
    }

    fn upstream_request(
        &self,
        request: Request<()>,
        traffic: &Arc<Traffic>,
    ) -> Result<Request<Upload>, ProxyFault> {
        if headers::have_our_via(request.headers()) {
            return Err(ProxyFault::Loop);
        }
        let target = self.target(request.uri(), request.method())?;
        let peer = peer_of(&request);
        let trusted = peer.is_some_and(|peer| self.proxies.trust(peer));
        let (parts, ()) = request.into_parts();
        let mut upstream = Request::new(Upload::of(traffic));
        *upstream.version_mut() = Version::HTTP_11;
        *upstream.method_mut() = parts.method;
        *upstream.uri_mut() = target;
        *upstream.headers_mut() = headers::to_upstream(parts.headers, peer, trusted);
        // If traces are exported, these headers name our span, which is a child of the caller's
        // span.
        headers::set(upstream.headers_mut(), telemetry::inject(&Span::current()));
        Ok(upstream)
    }

    fn target(&self, uri: &Uri, method: &Method) -> Result<Uri, ProxyFault> {
        let target = uri.path_and_query().filter(|target| target.as_str().starts_with('/'));
        let target = target.filter(|_| *method != Method::CONNECT).ok_or(ProxyFault::Target)?;
        let target = if self.base.is_empty() {
            target.clone()
        } else if path::has_dot_segments(target.path()) {
            return Err(ProxyFault::Dots);
        } else {
            format!("{}{target}", self.base).parse().map_err(|_| ProxyFault::Target)?
        };
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).map_err(|_| ProxyFault::Target)
    }

    fn fault(&self, cause: Error) -> ProxyFault {
        if cause.is_connect() {
            ProxyFault::Away(self.upstream(), cause)
        } else {
            ProxyFault::BrokeOff(self.upstream(), cause)
        }
    }

    /// The upstream URL, for fault texts.
    fn upstream(&self) -> String {
        format!("{}{}", self.origin.to_string().trim_end_matches('/'), self.base)
    }
}

fn peer_of(request: &Request<()>) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
}

fn origin(url: &Url) -> Result<Uri, PassthroughError> {
    let mut parts = axum::http::uri::Parts::default();
    parts.scheme = Some(if url.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP });
    let authority = url[Position::BeforeHost..Position::AfterPort].parse::<Authority>();
    parts.authority = Some(authority.map_err(PassthroughError::Host)?);
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map_err(PassthroughError::Url)
}

/// The upstream response as the caller gets it, including its reason phrase.
fn downstream_response(response: hyper::Response<Incoming>, timer: IdleTimer, proxied: Proxied) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers = headers::to_caller(parts.headers);
    // A response of HTTP/1.0 would close the caller's connection.
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Body::new(Download::of(body, timer, proxied)))
}
