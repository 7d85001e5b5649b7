//! Empties a queue on an operator's order.

use lapin::options::QueuePurgeOptions;
use lapin::types::ShortString;

use super::connection::within;
use super::error::BrokerError;
use super::link::Link;
use super::short::short;

impl Link {
    /// Removes every message that is in the queue and not delivered to anybody. Returns how many.
    ///
    /// # Errors
    /// [`BrokerError`] when the broker is away, has no such queue or does not allow it.
    pub async fn purge(&self, queue: &str) -> Result<u32, BrokerError> {
        within(async {
            let channel = self.consuming()?.connection.create_channel().await?;
            let queue = short(queue, "the queue's name")?;
            let removed = channel.queue_purge(queue, QueuePurgeOptions::default()).await?;
            channel.close(200, ShortString::default()).await?;
            Ok(removed)
        })
        .await
    }
}
