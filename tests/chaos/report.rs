//! The report that is printed at the end.

use std::collections::BTreeMap;

use serde::Serialize;

use super::accounts::Accounts;

/// Number of registrations from which every kind of fault must have had an effect.
const LARGE: u64 = 1_000;

/// The accounts, and figures about the run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    #[serde(flatten)]
    pub accounts: Accounts,
    /// How often each kind of fault had an effect.
    pub faults: BTreeMap<String, u64>,
    /// Writes to OpenCRVS whose result the bridge could not know.
    pub ambiguous_writes: u64,
    /// Messages that the broker delivered again.
    pub redeliveries: u64,
    /// Leases that another confirmer took over after they expired.
    pub leases_taken_over: u64,
    /// Processes that ended by themselves, except because a dependency could not be reached at
    /// their start.
    pub crashes: u64,
    /// Whether all records ended within the patience.
    pub settled: bool,
    pub seconds: f64,
}

impl Report {
    /// Whether the run passed. Only a large run must have seen an effect of every kind of fault.
    pub fn is_good(&self) -> bool {
        let bitten = self.accounts.totals.registrations < LARGE || self.toothless().is_empty();
        self.settled && self.crashes == 0 && self.accounts.hold_up() && bitten
    }

    /// The kinds of fault that never had an effect.
    pub fn toothless(&self) -> Vec<&str> {
        self.faults.iter().filter(|(_, bites)| **bites == 0).map(|(name, _)| name.as_str()).collect()
    }
}
