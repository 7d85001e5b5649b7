//! The parking queues on the broker: for each queue, the number of messages that operators have
//! been alerted to, and the newest of them.
//!
//! Invariant: the count, the newest message and the alerts are written in one transaction, by
//! compare-and-set, so that growth seen by two processes alerts only once.

use sqlx::Row as _;
use uuid::Uuid;

use super::{Ledger, LedgerError};
use crate::domain::{Cause, State};

/// New messages of one cause in a parking queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    pub cause: Cause,
    /// The id of the newest message, if it is one of ours.
    pub message: Option<String>,
    /// What exactly is at fault in the newest message. No personal data.
    pub detail: Option<String>,
}

/// What operators have been alerted to in a parking queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParkingReport {
    pub messages: u64,
    /// Identifies the newest message. `None` if it is not known.
    pub newest: Option<String>,
}

impl Ledger {
    /// What operators have been alerted to in a parking queue.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn parked_reported(&self, queue: &str) -> Result<ParkingReport, LedgerError> {
        let row = sqlx::query("SELECT told, newest FROM parking WHERE queue = $1")
            .bind(queue.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(ParkingReport::default()) };
        let told: i64 = row.try_get("told")?;
        let messages = u64::try_from(told).unwrap_or_default();
        Ok(ParkingReport { messages, newest: row.try_get("newest")? })
    }

    /// Raises an alert for each of `parked`, and replaces the report of a parking queue, which was
    /// `before`, by `now`. Returns `false`, and changes nothing, if it is not `before` any more.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn report_parked(
        &self,
        queue: &str,
        before: &ParkingReport,
        now: &ParkingReport,
        parked: &[Parked],
    ) -> Result<bool, LedgerError> {
        let count = |messages: u64| i64::try_from(messages).unwrap_or(i64::MAX);
        let mut tx = self.pool.begin().await?;
        sqlx::query("INSERT INTO parking (queue, told) VALUES ($1, 0) ON CONFLICT DO NOTHING")
            .bind(queue.to_owned())
            .execute(&mut *tx)
            .await?;
        let moved = sqlx::query(
            "UPDATE parking SET told = $3, newest = $5 \
             WHERE queue = $1 AND told = $2 AND COALESCE(newest, '') = $4",
        )
        .bind(queue.to_owned())
        .bind(count(before.messages))
        .bind(count(now.messages))
        .bind(before.newest.clone().unwrap_or_default())
        .bind(now.newest.clone())
        .execute(&mut *tx)
        .await?;
        if moved.rows_affected() != 1 {
            return Ok(false);
        }
        for one in parked {
            sqlx::query(
                "INSERT INTO alert (alert_id, queue, message_id, messages, cause, state, detail, at, next_at) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, now_ms, now_ms FROM clock",
            )
            .bind(Uuid::new_v4().to_string())
            .bind(queue.to_owned())
            .bind(one.message.clone())
            .bind(count(now.messages))
            .bind(one.cause.as_str())
            .bind(State::Parked.as_str())
            .bind(one.detail.clone())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        if !parked.is_empty() {
            self.alerted.notify_one();
        }
        Ok(true)
    }
}
