//! Serves the HTTP connections of the front until it is told to stop.
//!
//! Invariant: a front that is told to stop finishes its running requests, within
//! [`Limits::drain`](super::Limits).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use axum::serve::ListenerExt as _;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Front, body, routes};

/// What all requests share.
pub(super) struct Shared {
    pub(super) front: Front,
    /// One permit for each KiB of bodies in memory.
    pub(super) memory: Arc<Semaphore>,
}

/// Serves until `stop`. Requests that are not finished within [`Limits::drain`](super::Limits)
/// after that are cut off.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, front: Front, stop: CancellationToken) -> std::io::Result<()> {
    let memory = Arc::new(Semaphore::new(body::permits(front.limits.body_memory)));
    let (drain, write_timeout) = (front.limits.drain, front.limits.write_timeout);
    let waiting = front.sync_answers.as_ref().map(|answers| Arc::clone(&answers.waiting));
    let shared = Arc::new(Shared { front, memory });
    // The handlers check the methods, because the router would add an `Allow` of its own to a
    // proxied response.
    let router = Router::new()
        .route("/event-registration", any(routes::event_registration))
        .route("/trigger/events/{event}/actions/{action}", any(routes::trigger))
        .route("/trigger/system/ready", any(routes::system_ready))
        .route("/triggers/system/ready", any(routes::system_ready))
        .route("/ping", any(routes::ping))
        .fallback(routes::other_path)
        .with_state(shared);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(move |caller| configure(caller, write_timeout));
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        if let Some(waiting) = waiting {
            waiting.close();
        }
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = overdue => {
            tracing::warn!("callers that did not finish their requests in time were cut off");
            Ok(())
        }
    }
}

/// Sends responses without delay, and lets the kernel close the connection of a caller that does
/// not read its response, which no timer of ours can see.
fn configure(caller: &TcpStream, write_timeout: Duration) {
    let millis = u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX);
    let configured = caller
        .set_nodelay(true)
        .and_then(|()| set_tcp_user_timeout(caller, millis).map_err(std::io::Error::from));
    if let Err(error) = configured {
        tracing::debug!(%error, "the connection is closed already");
    }
}
