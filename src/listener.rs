//! Serves HTTP connections on one port, for callers that may be slow, silent or hostile.
//!
//! Every connection has a time in which the head of a request has to arrive, and the port has a
//! maximum number of connections. If the port is full, the connection that has been without a
//! request for longest is closed in favour of the new one, so silent connections keep nobody out.
//!
//! Invariant: a connection with a running request is never closed for another one, and at the end
//! of the process it may finish. An error of `accept` is logged and counted; it ends nothing.

mod crowd;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;
use crowd::{Crowd, Place};

/// Pause after `accept` failed, for example because the process has no file left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for the end of a connection without a request.
const CLOSING: Duration = Duration::from_secs(1);
/// Bytes that a connection buffers, and so the largest head.
const BUFFER: usize = 64 * 1024;

/// What the callers of a port may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The name of the port in logs and metrics.
    pub name: &'static str,
    /// Maximum number of connections, at least one.
    pub connections: usize,
    /// Time for the head of a request, counted from the opening of the connection or from the
    /// previous response.
    pub head_timeout: Duration,
    /// Time after which the connection of a caller that does not read its response is closed.
    pub write_timeout: Duration,
}

/// Serves until `stop`, and then until the running requests are finished.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ListenerSettings,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut crowd = Crowd::new(settings.connections);
    let mut running = JoinSet::new();
    while let Some(stream) = accept(&listener, &settings, &metrics, &stop).await {
        let Some(Some(place)) = stop.run_until_cancelled(crowd.enter()).await else { break };
        if place.crowds_out() {
            metrics.connection_closed(settings.name, "crowded_out");
        }
        running.spawn(connection(
            stream,
            router.clone(),
            place,
            settings,
            Arc::clone(&metrics),
            stop.clone(),
        ));
        while running.try_join_next().is_some() {}
        metrics.connections(settings.name, running.len());
    }
    drop(listener);
    while running.join_next().await.is_some() {
        metrics.connections(settings.name, running.len());
    }
}

/// The next connection, or `None` once the process is to stop.
async fn accept(
    listener: &TcpListener,
    settings: &ListenerSettings,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Option<TcpStream> {
    loop {
        let error = match stop.run_until_cancelled(listener.accept()).await? {
            Ok((stream, _caller)) => return Some(stream),
            Err(error) => error,
        };
        metrics.connection_closed(settings.name, "accept_failed");
        // The caller went away before it was accepted: its own affair.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            continue;
        }
        tracing::warn!(
            listener = settings.name,
            %error,
            "a connection could not be accepted; if there are too many open files, raise the limit (ulimit -n)"
        );
        stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await?;
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    place: Place,
    settings: ListenerSettings,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    configure(&stream, settings.write_timeout);
    let caller = stream.peer_addr().ok().map(ConnectInfo);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        // A proxied request names its caller in `X-Forwarded-For`.
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let (running, response) = (place.request(), router.call(request));
        // The request runs until the last byte of its response was taken.
        async move { Ok::<_, Infallible>(response.await?.map(|body| running.until_end_of(body))) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(settings.head_timeout).max_buf_size(BUFFER);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut grace = tokio::select! {
        ended = &mut serving => return report(ended, &settings, &metrics),
        () = place.left() => Duration::ZERO,
        () = stop.cancelled() => CLOSING,
    };
    serving.as_mut().graceful_shutdown();
    // A running request is finished. A head that is still on its way is not waited for.
    loop {
        match timeout(grace, &mut serving).await {
            Ok(ended) => return report(ended, &settings, &metrics),
            Err(_) if place.is_busy() => grace = CLOSING,
            Err(_) => return,
        }
    }
}

fn report(ended: hyper::Result<()>, settings: &ListenerSettings, metrics: &Metrics) {
    let Err(error) = ended else { return };
    if error.is_timeout() {
        metrics.connection_closed(settings.name, "head_timeout");
    }
    tracing::debug!(listener = settings.name, %error, "a connection ended by a fault");
}

/// Sends responses without delay, and lets the kernel close the connection of a caller that does
/// not read its response, which no timer of ours can see.
fn configure(caller: &TcpStream, write_timeout: Duration) {
    let millis = u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX);
    let configured =
        caller.set_nodelay(true).and_then(|()| set_tcp_user_timeout(caller, millis).map_err(io::Error::from));
    if let Err(error) = configured {
        tracing::debug!(%error, "the connection is closed already");
    }
}

#[cfg(test)]
mod tests;
