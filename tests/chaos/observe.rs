//! Figures that must be sampled during the run, because nothing stores them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{Connection as _, Row as _};
use tokio::task::JoinHandle;

use super::stage::Stage;

const LOOK: Duration = Duration::from_millis(400);

/// Samples the figures until [`Watcher::finish`].
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Redeliveries so far, by epoch. A new epoch begins when the broker's counter starts from zero
    /// again, as it does after a restart of a node.
    redelivered: BTreeMap<u64, u64>,
    epoch: u64,
    last: u64,
    /// Leases that expired: record and fence.
    expired: BTreeSet<(String, i64)>,
}

impl Watcher {
    pub fn start(stage: &Arc<Stage>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(watch(Arc::clone(stage), Arc::clone(&seen)));
        Self { seen, task }
    }

    /// Returns the number of redeliveries, and of leases that were taken over after their confirmer
    /// let them expire.
    pub async fn finish(self, stage: &Stage) -> (u64, u64) {
        self.task.abort();
        drop(self.task.await);
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let fences = fences(&stage.ledger_url).await.unwrap_or_default();
        let taken =
            seen.expired.iter().filter(|(record, fence)| fences.get(record).is_some_and(|now| now > fence));
        let taken = u64::try_from(taken.count()).unwrap_or(u64::MAX);
        (seen.redelivered.values().sum(), taken)
    }
}

async fn watch(stage: Arc<Stage>, seen: Arc<Mutex<Seen>>) {
    for look in 0_u64.. {
        tokio::time::sleep(LOOK).await;
        if let Ok(expired) = expired(&stage.ledger_url).await {
            seen.lock().unwrap_or_else(PoisonError::into_inner).expired.extend(expired);
        }
        if look.is_multiple_of(5)
            && let Some(total) = redelivered(&stage).await
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if total < seen.last {
                seen.epoch += 1;
            }
            seen.last = total;
            let epoch = seen.epoch;
            seen.redelivered.insert(epoch, total);
        }
    }
}

async fn redelivered(stage: &Stage) -> Option<u64> {
    let text = stage.manage(reqwest::Method::GET, "/overview?columns=message_stats.redeliver", "").await?;
    let overview: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(overview["message_stats"]["redeliver"].as_u64().unwrap_or_default())
}

async fn expired(url: &str) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let connecting = tokio::time::timeout(Duration::from_secs(2), sqlx::PgConnection::connect(url)).await;
    let mut connection = connecting.map_err(|_| sqlx::Error::PoolTimedOut)??;
    let rows = sqlx::query(
        "SELECT record_id, fence FROM record WHERE lease_until > 0 AND lease_until <= (SELECT now_ms FROM clock)",
    )
    .fetch_all(&mut connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn fences(url: &str) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let mut connection = sqlx::PgConnection::connect(url).await?;
    let rows = sqlx::query("SELECT record_id, fence FROM record").fetch_all(&mut connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
