//! The parking queues on the broker: for each queue, the number of messages that operators have
//! been alerted to, and the newest of them.
//!
//! Invariant: the count, the newest message and the alerts are written in one transaction, by
//! compare-and-set, so that growth seen by two processes alerts only once.

use sqlx::Row as _;
use uuid::Uuid;

use super::history::{NewEntry, What};
use super::{Ledger, LedgerError, Stage};
use crate::domain::{Cause, RecordId, State};

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

    /// Takes the messages that an operator moved out of a parking queue off its report, which was
    /// `before`. So a message that is parked again counts as growth. Does nothing if the report has
    /// changed since.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn report_moved(
        &self,
        queue: &str,
        before: &ParkingReport,
        moved: usize,
    ) -> Result<(), LedgerError> {
        let moved = u64::try_from(moved).unwrap_or(u64::MAX);
        let now = ParkingReport { messages: before.messages.saturating_sub(moved), ..before.clone() };
        self.report_parked(queue, before, &now, &[]).await.map(drop)
    }

    /// Adds to the history of a record that an operator sent a message about it back to work.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn note_replayed(
        &self,
        record: &RecordId,
        queue: &str,
        reason: &str,
    ) -> Result<(), LedgerError> {
        let Some(mut tx) = self.on_record(record.as_str()).await? else { return Ok(()) };
        let entry = NewEntry {
            record: record.as_str(),
            attempt: None,
            stage: Stage::Operate,
            what: What::Event("replayed"),
            cause: None,
        };
        self.insert_entry(&mut tx, &entry, Some(&format!("{queue}: {reason}"))).await?;
        Ok(tx.commit().await?)
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
