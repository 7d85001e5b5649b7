//! Kills nginx itself, and finds out which callers that affected.
//!
//! A caller of the FHIR generation treats a broken connection as a rejection, like every other
//! failure. In the events generation, a trigger that reached no front leaves its action requested
//! ([`arrivals`](super::arrivals)).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nidbridge::sandbox::opencrvs::{Attempt, CallResult, Record};
use tokio::time::sleep;

use super::faults::Target;
use super::harness::eventually;
use super::rig::{Rig, SOON};

/// A caller may see a broken connection a little later than it broke.
const AFTERMATH: SignedDuration = SignedDuration::from_millis(250);

/// The times at which nginx was down: from its kill until it accepted connections again.
#[derive(Debug, Default)]
pub struct Outages(Mutex<Vec<(Timestamp, Timestamp)>>);

impl Outages {
    fn add(&self, from: Timestamp, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((from, until));
    }

    /// Whether a submission met one of the outages.
    pub fn broke_off(&self, attempt: &Attempt) -> bool {
        let outages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outages.iter().any(|outage| met(attempt, *outage))
    }
}

fn met(attempt: &Attempt, (from, until): (Timestamp, Timestamp)) -> bool {
    let broken = matches!(attempt.result, Some(CallResult::NoAnswer(_)));
    broken && attempt.answered.is_some_and(|at| from <= at && at <= until + AFTERMATH)
}

/// Kills nginx and starts it again; returns how many submissions that broke.
pub async fn kill_nginx(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let mut nginx = rig.nginx.lock().await;
    let from = Timestamp::now();
    nginx.kill();
    sleep(lasts).await;
    nginx.restart();
    eventually(SOON, "nginx is back", async || nginx.answers().then_some(())).await;
    let until = Timestamp::now();
    rig.outages.add(from, until);
    sleep(Duration::try_from(AFTERMATH).unwrap_or_default()).await;
    let hit = |record: &Record| record.attempts.iter().filter(|one| met(one, (from, until))).count();
    let hits = rig.opencrvs.inspect(|records| records.all().map(|(_, record)| hit(record)).sum::<usize>());
    u64::try_from(hits).unwrap_or(u64::MAX)
}
