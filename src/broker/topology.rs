//! The exchanges, queues and bindings of one vhost as one value, which can be declared, compared
//! with a broker and printed.
//!
//! Every queue is a quorum queue. At its length limit, a queue refuses new messages instead of
//! dropping old ones, except a queue of refused messages, of copies or of a lock. The delivery
//! limit guards against messages that crash their consumer; retries are counted in one of our own
//! headers.
//!
//! Invariant: no message is dropped, except from a queue of refused messages, of copies or of a
//! lock. Dead letters go at-least-once to another queue of the same topology.

mod apply;
mod arguments;

use std::fmt;
use std::time::Duration;

use super::queue::WorkQueue;
use arguments::{copy_queue, delay_queue, lock_queue, parking_queue, refused_queue, work_queue};

/// The limits of every queue of a topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Messages that a queue takes before it refuses more.
    pub max_length: u64,
    /// Deliveries without an acknowledgement after which the broker parks the message.
    pub delivery_limit: u32,
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
}

impl ExchangeKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) kind: ExchangeKind,
    /// The exchange that gets the messages that no binding takes. Without it, publishing such a
    /// message fails.
    pub(super) alternate: Option<String>,
}

/// The value of a queue argument, for AMQP and for JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    Text(String),
    Number(i64),
    Flag(bool),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) arguments: Vec<(&'static str, Argument)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) exchange: String,
    pub(super) queue: String,
    pub(super) key: String,
}

/// Everything that is declared in one vhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    pub(super) vhost: String,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) queues: Vec<Queue>,
    pub(super) bindings: Vec<Binding>,
    /// Tells an operator how to apply the topology, in error texts.
    pub(super) how_to_apply: &'static str,
}

/// An exchange or a queue on the broker that differs from the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    /// What differs and what to do.
    pub fix: String,
    /// Whether it is not there, rather than different or not accessible.
    pub is_missing: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.fix)
    }
}

impl Topology {
    /// A vhost in which nothing is declared.
    pub fn empty(vhost: impl Into<String>) -> Self {
        Self {
            vhost: vhost.into(),
            exchanges: Vec::new(),
            queues: Vec::new(),
            bindings: Vec::new(),
            how_to_apply: "apply the topology",
        }
    }

    /// Sets the words with which error texts tell an operator how to apply this topology, such as
    /// ``run `x topology apply` ``.
    #[must_use]
    pub fn applied_by(self, how_to_apply: &'static str) -> Self {
        Self { how_to_apply, ..self }
    }

    /// A vhost that has only work queues. Messages are published to them by name.
    pub fn of(vhost: impl Into<String>, queues: &[WorkQueue], limits: &QueueLimits) -> Self {
        let mut topology = Self::empty(vhost);
        for queue in queues {
            topology.add_work_queue(queue, limits);
        }
        topology
    }

    pub fn add_exchange(&mut self, name: &str, kind: ExchangeKind, alternate: Option<&str>) {
        self.exchanges.push(Exchange {
            name: name.to_owned(),
            kind,
            alternate: alternate.map(str::to_owned),
        });
    }

    /// Adds a work queue with its delay queues, its parking queue and the exchange that leads to
    /// them.
    pub fn add_work_queue(&mut self, queue: &WorkQueue, limits: &QueueLimits) {
        let (settle, parked) = (queue.settle_exchange(), queue.parked());
        self.add_exchange(&settle, ExchangeKind::Direct, None);
        self.add_parking_queue(&parked, limits);
        self.bind(&settle, &parked, &parked);
        if let Some(refused) = queue.refused() {
            self.queues.push(refused_queue(refused, limits));
            self.bind(&settle, refused, refused);
        }
        self.queues.push(work_queue(queue, limits));
        for (step, name) in queue.delays() {
            self.queues.push(delay_queue(&name, step, queue.name(), limits));
            self.bind(&settle, &name, &name);
        }
    }

    /// Adds a queue that no stage consumes.
    pub fn add_parking_queue(&mut self, name: &str, limits: &QueueLimits) {
        self.queues.push(parking_queue(name, limits));
    }

    /// Adds a queue of copies that no stage consumes. A copy is dropped after `keep`, or earlier if
    /// there are too many.
    pub fn add_copy_queue(&mut self, name: &str, keep: Duration, limits: &QueueLimits) {
        self.queues.push(copy_queue(name, keep, limits));
    }

    /// Adds the queue of a lock ([`Gate`](super::Gate)).
    pub fn add_lock_queue(&mut self, name: &str, limits: &QueueLimits) {
        self.queues.push(lock_queue(name, limits));
    }

    pub fn bind(&mut self, exchange: &str, queue: &str, key: &str) {
        self.bindings.push(Binding {
            exchange: exchange.to_owned(),
            queue: queue.to_owned(),
            key: key.to_owned(),
        });
    }

    /// The same topology in another vhost.
    #[must_use]
    pub fn in_vhost(mut self, vhost: impl Into<String>) -> Self {
        self.vhost = vhost.into();
        self
    }

    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    pub fn exchange_names(&self) -> impl Iterator<Item = &str> {
        self.exchanges.iter().map(|exchange| exchange.name.as_str())
    }

    pub fn queue_names(&self) -> impl Iterator<Item = &str> {
        self.queues.iter().map(|queue| queue.name.as_str())
    }

    /// The names of the exchange and the queue of each binding.
    pub fn bound(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings.iter().map(|binding| (binding.exchange.as_str(), binding.queue.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::arguments::PARKED_DELIVERY_LIMIT;
    use super::*;

    fn argument<'a>(queue: &'a Queue, name: &str) -> Option<&'a Argument> {
        queue.arguments.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    #[test]
    fn every_dead_letter_goes_to_a_queue_of_the_same_topology_and_none_is_dropped() {
        let limits = QueueLimits { max_length: 1_000, delivery_limit: 50 };
        let steps = [Duration::from_secs(5), Duration::from_secs(600)];
        let queues = [WorkQueue::new("one", &steps, &[]), WorkQueue::new("other", &[], &steps)];
        let topology = Topology::of("vhost", &queues, &limits);
        assert_eq!(topology.queues.len(), 8);
        for queue in &topology.queues {
            assert_eq!(argument(queue, "x-queue-type"), Some(&Argument::Text("quorum".into())));
            assert_eq!(argument(queue, "x-overflow"), Some(&Argument::Text("reject-publish".into())));
            match argument(queue, "x-dead-letter-routing-key") {
                Some(Argument::Text(then)) => {
                    assert!(topology.queue_names().any(|name| name == then), "{then}");
                    let strategy = argument(queue, "x-dead-letter-strategy");
                    assert_eq!(strategy, Some(&Argument::Text("at-least-once".into())));
                }
                _ => assert_eq!(
                    argument(queue, "x-delivery-limit"),
                    Some(&Argument::Number(PARKED_DELIVERY_LIMIT))
                ),
            }
        }
    }
}
