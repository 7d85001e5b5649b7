//! The report that is printed at the end, and everything that is known about each record that did
//! not end as expected.

use std::collections::BTreeMap;

use nidbridge::domain::RecordId;
use nidbridge::sandbox::opencrvs::Record;
use serde::Serialize;

use super::accounts::Accounts;
use super::events;
use super::rig::Rig;

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
        let effective = self.accounts.totals.registrations < LARGE || self.without_effect().is_empty();
        self.settled && self.crashes == 0 && self.accounts.hold_up() && effective
    }

    /// The kinds of fault that never had an effect.
    pub fn without_effect(&self) -> Vec<&str> {
        self.faults.iter().filter(|(_, effects)| **effects == 0).map(|(name, _)| name.as_str()).collect()
    }
}

/// Prints the history of each record that did not end as expected, in OpenCRVS and in the ledger.
pub async fn print_failures(rig: &Rig, accounts: &Accounts) {
    for (id, why) in &accounts.totals.bad {
        eprintln!("chaos: {id}: {why}");
        let Some(record) = rig.opencrvs.record(id) else { continue };
        print_record(&record);
        let Ok(id) = RecordId::parse(id) else { continue };
        for entry in rig.ledger.history(&id).await.unwrap_or_default() {
            let cause = entry.cause.as_ref().map_or("", |cause| cause.as_str());
            let (at, stage) = (entry.at, entry.stage.as_str());
            eprintln!("    ledger {at} {stage} {} {cause} by {}", entry.what, entry.who);
        }
    }
}

fn print_record(record: &Record) {
    for attempt in &record.attempts {
        eprintln!("    submitted {} answered {:?} lost {}", attempt.stamp, attempt.result, attempt.lost);
    }
    for step in &record.history {
        eprintln!("    OpenCRVS {} {:?}", step.at, step.status);
    }
    for confirmed in &record.confirms {
        let (over, number) = (confirmed.status_before, &confirmed.number);
        eprintln!("    confirmed over {over:?} with {number} {:?}", confirmed.identifiers);
    }
    if let Some(file) = &record.event {
        eprintln!("    events {}", events::describe(file));
        for request in &file.requests {
            let (action, release, state) = (&request.action, request.release, file.state_of(&request.action));
            let failed = request.trigger_failed;
            eprintln!("    action {action} of {release:?}: {state:?}, trigger failed {failed}");
        }
    }
}
