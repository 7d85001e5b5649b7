//! Publishing with confirms: `Ok` means that the broker has stored the message.
//!
//! Invariant: a publish that has begun runs to its end in its own task. If the caller is dropped,
//! no half-written message and no channel with an outstanding confirm is left behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::connection::ConnectionState;
use super::error::{PublishError, Unconfirmed};
use super::headers;
use super::message::{Outgoing, RawMessage, Target};
use super::observer::Observer;
use super::own_id::is_own;
use super::pool::Pool;

/// Publishes on one link. Clones share its channels.
#[derive(Clone)]
pub struct Publisher {
    pool: Arc<Pool>,
    observer: Arc<dyn Observer>,
}

impl Publisher {
    pub(super) fn new(pool: Arc<Pool>, observer: Arc<dyn Observer>) -> Self {
        Self { pool, observer }
    }

    /// Publishes a message as persistent and mandatory, and waits for the broker's confirm.
    ///
    /// # Errors
    /// [`PublishError`] says whether the message may be stored all the same.
    pub async fn publish(&self, to: &Target, message: Outgoing) -> Result<(), PublishError> {
        self.send(to.clone(), message.into()).await
    }

    /// Waits until the broker accepts messages. Returns false if it does not within this time.
    pub async fn available(&self, within: Duration) -> bool {
        let mut state = self.pool.state();
        let wait = state.wait_for(|state| matches!(state, ConnectionState::Ready(_)));
        matches!(tokio::time::timeout(within, wait).await, Ok(Ok(_)))
    }

    pub(super) async fn send(&self, to: Target, mut raw: RawMessage) -> Result<(), PublishError> {
        // A message that is replayed as it was published has the routing key of its publisher.
        let is_ours = to.exchange.is_empty() || !raw.headers.contains_key(headers::REPLAYED_AT);
        let span = tracing::info_span!(
            "publish",
            otel.kind = "producer",
            messaging.system = "rabbitmq",
            messaging.destination.name = to.exchange,
            messaging.rabbitmq.destination.routing_key = is_ours.then_some(&*to.routing_key),
            messaging.message.id = raw.id.as_deref().filter(|id| is_own(id)),
        );
        raw.headers.extend(self.observer.inject(&span));
        let (pool, observer) = (Arc::clone(&self.pool), Arc::clone(&self.observer));
        let publish = async move {
            let begun = Instant::now();
            let outcome = pool.publish(&to, &raw).await;
            let label = outcome.as_ref().map_or_else(PublishError::outcome, |()| "confirmed");
            observer.published(&to.exchange, label, begun.elapsed());
            outcome
        };
        let task = tokio::spawn(publish.instrument(span));
        task.await.unwrap_or_else(|cause| Err(PublishError::Unknown(Unconfirmed::Task(cause))))
    }
}
