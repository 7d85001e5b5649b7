//! The report that is printed at the end.

use std::collections::BTreeMap;

use serde::Serialize;

use super::accounts::Accounts;

/// From so many registrations on, every kind of fault must have had an effect.
const LARGE: u64 = 1_000;

/// The accounts and what the run was like.
#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    #[serde(flatten)]
    pub accounts: Accounts,
    /// How often each kind of fault had an effect.
    pub faults: BTreeMap<String, u64>,
    /// Writes to OpenCRVS whose end the bridge could not know.
    pub ambiguous_writes: u64,
    /// Messages that the broker gave out again.
    pub redeliveries: u64,
    /// Leases that a confirmer took over because another one let them run out.
    pub leases_taken_over: u64,
    /// Processes that ended by themselves, apart from starts without a ledger.
    pub crashes: u64,
    /// Whether everything had ended within the patience.
    pub settled: bool,
    pub seconds: f64,
}

impl Report {
    /// Whether the run passed. Only a long one must have seen every kind of fault.
    pub fn is_good(&self) -> bool {
        let bitten = self.accounts.totals.registrations < LARGE || self.toothless().is_empty();
        self.settled && self.crashes == 0 && self.accounts.hold_up() && bitten
    }

    /// The kinds of fault that never had an effect.
    pub fn toothless(&self) -> Vec<&str> {
        self.faults.iter().filter(|(_, bites)| **bites == 0).map(|(name, _)| name.as_str()).collect()
    }
}
