//! Serves the HTTP connections of the front until it is told to stop.
//!
//! Invariant: a front that is told to stop finishes its running requests, within
//! [`Limits::drain`](super::Limits).

use std::sync::Arc;

use axum::routing::any;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::callers::Callers;
use super::guard::guard;
use super::memory::BodyMemory;
use super::refusals::Refusals;
use super::{Front, routes};
use crate::domain::RecordId;
use crate::listener;

/// What all requests share.
pub(super) struct Shared {
    pub(super) front: Front,
    pub(super) memory: BodyMemory,
    pub(super) refusals: Refusals,
    /// The registrations that are being accepted, by record.
    pub(super) records: Callers<RecordId>,
}

/// Maximum number of registrations of one record that are accepted at the same time. OpenCRVS sends
/// one after the other; who has a token of one record shall not take up the memory for bodies.
pub(super) const MOST_OF_ONE: usize = 4;

/// Serves until `stop`. Requests that are not finished within [`Limits::drain`](super::Limits)
/// after that are cut off.
pub async fn serve(listener: TcpListener, front: Front, stop: CancellationToken) {
    let memory = BodyMemory::new(&front.limits);
    let (drain, settings) = (front.limits.drain, front.limits.listener);
    let (waiting, metrics) =
        (front.sync_answers.as_ref().map(|answers| Arc::clone(&answers.waiting)), Arc::clone(&front.metrics));
    let refusals = Refusals::new(front.all_refused.clone());
    let shared = Arc::new(Shared { refusals, front, memory, records: Callers::new(MOST_OF_ONE) });
    // The handlers check the methods, because the router would add an `Allow` of its own to a
    // proxied response.
    let router = Router::new()
        .route("/event-registration", any(routes::event_registration))
        .route("/trigger/events/{event}/actions/{action}", any(routes::trigger))
        .route("/trigger/system/ready", any(routes::system_ready))
        .route("/triggers/system/ready", any(routes::system_ready))
        .route("/ping", any(routes::ping))
        .fallback(routes::other_path)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
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
