//! Publishing that is true: `Ok` means that the message is on the disks of the broker.
//!
//! Invariant: a publish once begun runs to its end in a task of its own. A caller that goes away leaves neither a
//! half-written message nor a channel with a confirm outstanding.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::connection::Phase;
use super::error::{PublishError, Unconfirmed};
use super::message::{Letter, Outgoing, Target};
use super::observer::Observer;
use super::pool::Pool;

/// Publishes on the link that it came from.
#[derive(Clone)]
pub struct Publisher {
    pool: Arc<Pool>,
    observer: Arc<dyn Observer>,
}

impl Publisher {
    pub(super) fn new(pool: Arc<Pool>, observer: Arc<dyn Observer>) -> Self {
        Self { pool, observer }
    }

    /// Publishes a message, persistent and mandatory, and waits for the broker's confirm.
    ///
    /// # Errors
    /// [`PublishError`] says whether the message may be stored all the same.
    pub async fn publish(&self, to: &Target, message: Outgoing) -> Result<(), PublishError> {
        self.send(to.clone(), message.into()).await
    }

    /// Waits until the broker takes messages; says whether it did within the time.
    pub async fn available(&self, within: Duration) -> bool {
        let mut line = self.pool.line();
        let wait = line.wait_for(|phase| matches!(phase, Phase::Ready(_)));
        matches!(tokio::time::timeout(within, wait).await, Ok(Ok(_)))
    }

    pub(super) async fn send(&self, to: Target, mut letter: Letter) -> Result<(), PublishError> {
        let span = tracing::info_span!(
            "publish",
            otel.kind = "producer",
            messaging.system = "rabbitmq",
            messaging.destination.name = to.exchange,
            messaging.rabbitmq.destination.routing_key = to.routing_key,
            messaging.message.id = letter.id.as_deref().unwrap_or_default(),
        );
        letter.headers.extend(self.observer.inject(&span));
        let (pool, observer) = (Arc::clone(&self.pool), Arc::clone(&self.observer));
        let publish = async move {
            let begun = Instant::now();
            let outcome = pool.publish(&to, &letter).await;
            let label = outcome.as_ref().map_or_else(PublishError::outcome, |()| "confirmed");
            observer.published(&to.exchange, label, begun.elapsed());
            outcome
        };
        let task = tokio::spawn(publish.instrument(span));
        task.await.unwrap_or_else(|cause| Err(PublishError::Unknown(Unconfirmed::Task(cause))))
    }
}
