//! The worker: everything on the National ID side, in stages that can also run in processes of
//! their own.
//!
//! [`RecordStage`] writes a registration to the ledger, [`SendStage`] sends its request to the ID
//! system, and [`ResolveStage`] handles the replies. Each stage passes its result to the next one
//! over the broker. [`Sweeper`] looks after attempts that got stuck.
//!
//! Invariant: intent in the ledger, then the effect, then its result in the ledger, then the next
//! hop's publisher confirm, and only then is the delivery settled. A duplicate of an open attempt
//! publishes the next hop again.

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
