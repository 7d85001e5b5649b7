//! Figures that must be sampled during the run, because nothing stores them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{Connection as _, Row as _};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::rig::Rig;

const INTERVAL: Duration = Duration::from_millis(400);
const EXPIRED: &str =
    "SELECT record_id, fence FROM record WHERE lease_until > 0 AND lease_until <= (SELECT now_ms FROM clock)";

/// Samples the figures until [`Watcher::finish`].
pub struct Watcher {
    samples: Arc<Mutex<Samples>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Samples {
    /// Redeliveries before the broker's counter last started from zero again, as it does after a
    /// restart of a node.
    earlier_redeliveries: u64,
    /// The broker's counter of redeliveries.
    redeliveries: u64,
    /// Leases that expired: record and fence.
    expired: BTreeSet<(String, i64)>,
}

impl Samples {
    fn add_redeliveries(&mut self, counter: u64) {
        if counter < self.redeliveries {
            self.earlier_redeliveries += self.redeliveries;
        }
        self.redeliveries = counter;
    }
}

impl Watcher {
    pub fn start(rig: &Arc<Rig>) -> Self {
        let samples = Arc::new(Mutex::new(Samples::default()));
        let task = tokio::spawn(watch(Arc::clone(rig), Arc::clone(&samples)));
        Self { samples, task }
    }

    /// Returns the number of redeliveries, and of leases that were taken over after their confirmer
    /// let them expire.
    pub async fn finish(self, rig: &Rig) -> (u64, u64) {
        self.task.abort();
        drop(self.task.await);
        let samples = std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner));
        let fences = fences(&rig.ledger_url, "SELECT record_id, fence FROM record").await.unwrap_or_default();
        let fences: BTreeMap<String, i64> = fences.into_iter().collect();
        let is_taken = |(record, fence): &&(String, i64)| fences.get(record).is_some_and(|now| now > fence);
        let taken = samples.expired.iter().filter(is_taken).count();
        (samples.earlier_redeliveries + samples.redeliveries, u64::try_from(taken).unwrap_or(u64::MAX))
    }
}

async fn watch(rig: Arc<Rig>, samples: Arc<Mutex<Samples>>) {
    for round in 0_u64.. {
        sleep(INTERVAL).await;
        if let Ok(expired) = fences(&rig.ledger_url, EXPIRED).await {
            samples.lock().unwrap_or_else(PoisonError::into_inner).expired.extend(expired);
        }
        if round.is_multiple_of(5)
            && let Some(counter) = redeliveries(&rig).await
        {
            samples.lock().unwrap_or_else(PoisonError::into_inner).add_redeliveries(counter);
        }
    }
}

async fn redeliveries(rig: &Rig) -> Option<u64> {
    let text = rig.manage(reqwest::Method::GET, "/overview?columns=message_stats.redeliver", "").await?;
    let overview: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(overview["message_stats"]["redeliver"].as_u64().unwrap_or_default())
}

/// Records with their fences.
async fn fences(url: &str, query: &'static str) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let connecting = timeout(Duration::from_secs(2), sqlx::PgConnection::connect(url)).await;
    let mut connection = connecting.map_err(|_| sqlx::Error::PoolTimedOut)??;
    let rows = sqlx::query(query).fetch_all(&mut connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
