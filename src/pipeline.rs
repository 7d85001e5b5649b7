//! What flows from role to role: queues, messages, where they go next, and what a fault means for a
//! delivery.
//!
//! Invariant: what one role publishes is described here, where both ends of a queue find it; the
//! engine that carries it ([`broker`](crate::broker)) knows none of it.

pub(crate) mod elected;
mod message;
pub mod names;
mod next_hop;
mod observe;
mod parked;
pub mod queues;
pub mod settings;
pub(crate) mod stage;
pub mod targets;
pub mod topology;
mod users;

pub use message::{
    AnswerMessage, MESSAGE_VERSION, Message, OutcomeMessage, RegistrationMessage, RequestMessage,
};
pub use next_hop::{NextHop, Queues};
pub use parked::{own_id, parked_for};
pub use queues::TopologySettings;
pub use users::Users;
