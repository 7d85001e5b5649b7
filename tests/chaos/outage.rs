//! nginx itself killed: who met it, and what that comes to.
//!
//! A caller of the FHIR generation takes that for a rejection, as it does every failure. A trigger
//! of the events generation that nobody heard leaves its record requested for ever: that is between
//! core and whatever is in front of us, so it is excused, but only where no front has taken the
//! registration.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nidbridge::sandbox::opencrvs::{Attempt, Record, Wire};
use tokio::time::sleep;

use super::accounts::Accounts;
use super::harness::eventually;
use super::stage::{SOON, Stage};

/// A caller sees a broken connection a little later than it was broken.
const AFTERMATH: SignedDuration = SignedDuration::from_millis(250);

/// When nginx was away: from its death until it took connections again.
#[derive(Debug, Default)]
pub struct Outages(Mutex<Vec<(Timestamp, Timestamp)>>);

impl Outages {
    fn note(&self, from: Timestamp, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((from, until));
    }

    /// Whether a record's newest submission met one of them.
    pub fn broke_off(&self, record: &Record) -> bool {
        let outages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        record.attempts.last().is_some_and(|last| outages.iter().any(|outage| met(last, *outage)))
    }
}

fn met(attempt: &Attempt, (from, until): (Timestamp, Timestamp)) -> bool {
    let broken = matches!(attempt.wire, Some(Wire::Broken(_)));
    broken && attempt.answered.is_some_and(|at| from <= at && at <= until + AFTERMATH)
}

/// Kills nginx and starts it again; says how many callers met that.
pub async fn nginx_killed(stage: &Stage, lasts: Duration) -> u64 {
    let mut nginx = stage.nginx.lock().await;
    let from = Timestamp::now();
    nginx.kill();
    sleep(lasts).await;
    nginx.restart();
    eventually(SOON, "nginx is back", async || nginx.answers().then_some(())).await;
    let until = Timestamp::now();
    stage.outages.note(from, until);
    sleep(Duration::try_from(AFTERMATH).unwrap_or_default()).await;
    let hit = |record: &Record| record.attempts.iter().filter(|one| met(one, (from, until))).count();
    let hits = stage.opencrvs.inspect(|records| records.all().map(|(_, record)| hit(record)).sum::<usize>());
    u64::try_from(hits).unwrap_or(u64::MAX)
}

/// Checks that no front accepted a record of which the accounts say that nobody received it.
pub fn doubt(stage: &Stage, accounts: &mut Accounts) {
    for id in accounts.unheard_of.clone() {
        let accepted = format!("\"record.id\":\"{id}\",\"attempt.id\"");
        if stage.said("front", &accepted) > 0 {
            accounts.wrong(&id, "a front has taken it, and the ledger does not know it");
        }
    }
}
