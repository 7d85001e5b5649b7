//! What the roles share: the queues and messages between them, the next hop of an attempt, and what
//! a fault means for a delivery.
//!
//! Invariant: everything that one role publishes for another is defined here, once for both ends of
//! a queue. The engine that carries it ([`broker`](crate::broker)) knows nothing about it.

mod deployment;
pub(crate) mod elected;
mod kept;
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
pub(crate) mod unseal;
mod users;

pub use deployment::{AdmissionState, DeploymentCheck, Member};
pub use message::{
    AnswerMessage, MESSAGE_VERSION, Message, OutcomeMessage, RegistrationMessage, RequestMessage,
    TOKENLESS_VERSION,
};
pub use next_hop::{NextHop, Queues};
pub use parked::{parked_detail, parked_for};
pub use queues::TopologySettings;
pub use users::{Role, Users};
