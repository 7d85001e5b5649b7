//! Everything AMQP: what passes between the stages, and how it survives a broker that goes away.
//!
//! A [`Link`] keeps a pair of connections to one vhost alive: one publishes through [`Publisher`], one feeds
//! [`consume`], the only consumer loop. [`Topology`] is the one description of exchanges and queues; [`WorkQueue`]
//! knows the delay queues and the parking place of a queue.
//!
//! Invariant: a message leaves our hands only when another durable place has confirmed it. Publishing succeeds on
//! the broker's plain confirm alone, and a delivery is acknowledged only after whatever follows from it was confirmed.

mod backoff;
mod breaker;
mod browse;
mod connection;
mod consumer;
mod definitions;
mod delivery;
mod error;
mod fanout;
pub mod headers;
#[cfg(feature = "inlets")]
pub mod inlet;
mod link;
mod message;
mod observer;
mod pool;
mod probe;
mod publisher;
mod queue;
mod replay;
mod settle;
mod short;
mod sieve;
mod topology;
mod transport;
mod unsettled;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerRules, BreakerState};
pub use browse::Depth;
pub use consumer::{ConsumerSettings, consume};
pub use definitions::{Access, Permission, TopicPermission, User, definitions};
pub use delivery::{Handler, Incoming};
pub use error::{BrokerError, NotSent, PublishError, Unconfirmed, chain};
pub use fanout::{Listener, Subscription, listen};
pub use link::{Application, Link, LinkSettings, LinkState};
pub use message::{Outgoing, Target};
pub use observer::{Observer, Unobserved};
pub use probe::Reached;
pub use publisher::Publisher;
pub use queue::{Delay, WorkQueue, parking_queue, work_queue_of};
pub use replay::{Back, Pick, Replay, ReplayFault, Replayed};
pub use settle::{Cause, Settlement};
pub use short::TooLong;
pub use topology::{Difference, ExchangeKind, QueueLimits, Topology};
