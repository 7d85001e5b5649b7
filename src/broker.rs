//! An AMQP engine for RabbitMQ: it publishes, consumes and declares, and reconnects when the broker
//! comes back after an outage.
//!
//! A [`Link`] keeps a pair of connections to one vhost open: one publishes through [`Publisher`],
//! the other feeds [`consume`], the only consumer loop. A [`Topology`] describes exchanges and
//! queues in one value, which can be declared, compared with a broker and printed. A [`WorkQueue`]
//! has delay queues and a parking queue beside it. The engine knows nothing about the messages that
//! it carries and imports nothing else from this crate. It reports what it counts to an
//! [`Observer`].
//!
//! Invariant: the engine gives up a message only after another durable place has confirmed it. A
//! publish succeeds only with the broker's publisher confirm, and a delivery is acknowledged only
//! after everything that follows from it is confirmed.

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
mod gate;
pub mod headers;
#[cfg(feature = "inlets")]
pub mod inlet;
mod limits;
mod link;
mod message;
mod observer;
mod own_id;
mod pool;
mod probe;
mod publisher;
mod purge;
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
pub use gate::{Admission, Gate, Verdict};
pub use limits::{SizePolicy, UserLimits, VhostLimits};
pub use link::{Application, Link, LinkSettings, LinkState};
pub use message::{Outgoing, Target};
pub use observer::{Observer, Unobserved};
pub use probe::Reached;
pub use publisher::Publisher;
pub use queue::{Delay, WorkQueue, parking_queue, settle_exchange, work_queue_of};
pub use replay::{Pick, Replay, ReplayFault, ReplayTo, Replayed};
pub use settle::{Cause, Settlement};
pub use short::TooLong;
pub use topology::{Difference, ExchangeKind, QueueLimits, Topology};
