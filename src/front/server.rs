//! Serves the HTTP connections of the front until it is told to stop.
//!
//! Invariant: a front that is told to stop finishes its running requests, within
//! [`Limits::drain`](super::Limits).

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::memory::BodyMemory;
use super::refusals::Refusals;
use super::{Front, routes};
use crate::listener;

/// What all requests share.
pub(super) struct Shared {
    pub(super) front: Front,
    pub(super) memory: BodyMemory,
    pub(super) refusals: Refusals,
}

/// Serves until `stop`. Requests that are not finished within [`Limits::drain`](super::Limits)
/// after that are cut off.
pub async fn serve(listener: TcpListener, front: Front, stop: CancellationToken) {
    let memory = BodyMemory::new(&front.limits);
    let (drain, settings) = (front.limits.drain, front.limits.listener);
    let (waiting, metrics) =
        (front.sync_answers.as_ref().map(|answers| Arc::clone(&answers.waiting)), Arc::clone(&front.metrics));
    let shared = Arc::new(Shared { refusals: Refusals::new(front.all_refused.clone()), front, memory });
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
    let serving = listener::serve(listener, router, settings, metrics, stop.clone());
    let overdue = async {
        stop.cancelled().await;
        if let Some(waiting) = waiting {
            waiting.close();
        }
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        () = serving => {}
        () = overdue => tracing::warn!("callers that did not finish their requests in time were cut off"),
    }
}
