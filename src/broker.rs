//! An AMQP engine for RabbitMQ: publishing, consuming and declaring that survive a broker that goes
//! away.
//!
//! A [`Link`] keeps a pair of connections to one vhost open: one publishes through [`Publisher`],
//! the other feeds [`consume`], the only consumer loop. A [`Topology`] describes exchanges and
//! queues once, for declaring, comparing and printing. A [`WorkQueue`] has delay queues and a
//! parking queue beside it. The engine knows nothing of what it carries and imports nothing of the
//! crate: what it counts goes to an [`Observer`].
//!
//! Invariant: a message leaves our hands only when another durable place has confirmed it.
//! Publishing succeeds only with the broker's confirm, and a delivery is acknowledged only after
//! whatever follows from it was confirmed.

mod backoff;
mod breaker;
mod browse;
mod connection;
mod consumer;
mod definitions;
mod delivery;
mod error;
mod fanout;
mod frames;
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
pub use replay::{Pick, Replay, ReplayFault, ReplayTo, Replayed};
pub use settle::{Cause, Settlement};
pub use short::TooLong;
pub use topology::{Difference, ExchangeKind, QueueLimits, Topology};
