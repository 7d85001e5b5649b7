//! How a queue is consumed.
//!
//! Invariant: every wait of a consumer has a limit here.

use std::time::Duration;

use tokio::sync::watch;

use crate::broker::breaker::Breaker;
use crate::broker::link::LinkState;

#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Number of messages that are handled at once.
    pub prefetch: u16,
    /// How long deliveries in flight may take to finish after the consumer is told to stop.
    pub drain: Duration,
    /// Time limit of the handler: a database that never answers must not keep the message for ever.
    pub handling: Duration,
    /// How long a follow-up message is retried that the broker does not accept, before the delivery
    /// returns to its queue. Also how long deliveries in flight may take to finish after a breaker
    /// opens.
    pub patience: Duration,
    /// The longest pause before a lost consumer is opened again.
    pub reopen_max: Duration,
    /// Idle time after which the consumer checks that its queue still exists and that no message is
    /// overdue. The broker does not always tell a consumer that its queue was deleted and declared
    /// anew.
    pub idle: Duration,
    /// Time limit of opening a consumer. lapin does not always fail its futures when the connection
    /// is lost.
    pub opening: Duration,
    /// The breakers of the stage's dependencies. While one of them is open, nothing is consumed.
    pub breakers: Vec<Breaker>,
    /// The other links that the stage publishes to. Nothing is consumed until all of them are
    /// connected.
    pub onward: Vec<watch::Receiver<LinkState>>,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            prefetch: 32,
            drain: Duration::from_secs(25),
            handling: Duration::from_secs(180),
            patience: Duration::from_secs(60),
            reopen_max: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            opening: Duration::from_secs(10),
            breakers: Vec::new(),
            onward: Vec::new(),
        }
    }
}
