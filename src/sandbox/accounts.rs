//! The accounts that the demo and the chaos test share: how many submissions there were, how each
//! record ended, what was given out twice, and whether each record has what belongs to its person.
//!
//! Invariant: the accounts come from what the simulated OpenCRVS and ID system saw, and from the
//! people of the population. The ledger is asked only whether an operator was told about a record.

mod contents;
mod ending;
mod totals;

pub use contents::content_faults;
pub use ending::{Ending, Told};
pub use totals::Totals;

use super::population::Kind;
use crate::domain::{EventKind, RecordId, RequestId};

/// The id under which the ID system knows a record.
pub fn request_id(id: &str, kind: Kind) -> Option<String> {
    let id = RecordId::parse(id).ok()?;
    Some(RequestId::of(&id, &EventKind::from_name(kind.name())).to_string())
}
