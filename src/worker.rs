//! The worker: all that touches the National ID side, in stages that can also run apart.
//!
//! [`Record`] puts a registration into the ledger, [`Send`] puts its request to the ID system, [`Resolve`] takes the
//! reply in. What each must tell the next goes through [`broker`](crate::broker). [`Sweep`] looks after what got lost on
//! the way.
//!
//! Invariant: intent in the ledger, then the effect, then its result in the ledger, then the next hop's publisher
//! confirm, and only then is the delivery settled; a duplicate of an open attempt drives its next hop again.

mod record;
mod resolve;
mod send;
mod sweep;

pub use record::{Asking, Record};
pub use resolve::Resolve;
pub use send::Send;
pub use sweep::{Sweep, SweepRules};
