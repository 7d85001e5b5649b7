//! What flows from role to role: the messages, where they go next, and what a fault means for a delivery.
//!
//! Invariant: what one role publishes is described here, where both ends of a queue find it; the engine that carries it
//! ([`broker`](crate::broker)) knows none of it.

pub(crate) mod elected;
mod message;
mod next_hop;
mod observe;
pub(crate) mod stage;

pub use message::{AnswerMessage, MESSAGE_VERSION, OutcomeMessage, RegistrationMessage, RequestMessage};
pub use next_hop::{NextHop, Queues};
