//! The worker does everything on the National ID side, in stages that can also run in separate
//! processes.
//!
//! [`RecordStage`] writes a registration to the ledger, [`SendStage`] looks it up in OpenCRVS
//! ([`SendCheck`]) and sends its request to the ID system, and [`ResolveStage`] handles the
//! replies. Each stage passes its result to the next one over the broker. [`Sweeper`] looks after
//! attempts that got stuck.
//!
//! Invariant: a stage first writes to the ledger what it is about to do, then does it, then writes
//! the result to the ledger, then waits for the publisher confirm of the next hop, and only then
//! settles the delivery. For a duplicate of an open attempt, it publishes the next hop again.

mod check;
mod record;
mod request;
mod resolve;
mod send;
mod sweep;

pub use check::{SendCheck, SendCheckParts};
pub use record::RecordStage;
pub use request::RequestSettings;
pub use resolve::ResolveStage;
pub use send::SendStage;
pub use sweep::{SweepRules, Sweeper};
