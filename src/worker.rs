//! The worker: all that touches the National ID side, in stages that can also run apart.
//!
//! [`RecordStage`] puts a registration into the ledger, [`SendStage`] puts its request to the ID system, [`ResolveStage`] takes the
//! reply in. What each must tell the next goes through [`broker`](crate::broker). [`Sweeper`] looks after what got lost on
//! the way.
//!
//! Invariant: intent in the ledger, then the effect, then its result in the ledger, then the next hop's publisher
//! confirm, and only then is the delivery settled; a duplicate of an open attempt drives its next hop again.

mod record;
mod request;
mod resolve;
mod send;
mod sweep;

pub use record::RecordStage;
pub use request::RequestSettings;
pub use resolve::ResolveStage;
pub use send::SendStage;
pub use sweep::{SweepRules, Sweeper};
