//! Parking places on the broker: of how many messages in each an operator was told.
//!
//! Invariant: the count and the alerts that bring it there are written in one transaction, by
//! compare-and-set: growth that two processes have seen calls once.

use sqlx::Row as _;
use uuid::Uuid;

use super::{Ledger, LedgerError};
use crate::domain::{Cause, State};

/// What has come into a parking place, by one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Why.
    pub cause: Cause,
    /// The newest message, if its id is one of ours.
    pub message: Option<String>,
}

impl Ledger {
    /// How many messages of a parking place an operator was told of.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn parked_reported(&self, queue: &str) -> Result<u64, LedgerError> {
        let row = sqlx::query("SELECT told FROM parking WHERE queue = $1")
            .bind(queue.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        let told: i64 = row.map(|row| row.try_get("told")).transpose()?.unwrap_or_default();
        Ok(u64::try_from(told).unwrap_or_default())
    }

    /// A parking place has `now` messages, of which an operator was told of `before`; `parked` are
    /// what he is called for. Says whether it was still `before`; if not, nothing is changed.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn report_parked(
        &self,
        queue: &str,
        (before, now): (u64, u64),
        parked: &[Parked],
    ) -> Result<bool, LedgerError> {
        let count = |messages: u64| i64::try_from(messages).unwrap_or(i64::MAX);
        let mut tx = self.pool.begin().await?;
        sqlx::query("INSERT INTO parking (queue, told) VALUES ($1, 0) ON CONFLICT DO NOTHING")
            .bind(queue.to_owned())
            .execute(&mut *tx)
            .await?;
        let moved = sqlx::query("UPDATE parking SET told = $3 WHERE queue = $1 AND told = $2")
            .bind(queue.to_owned())
            .bind(count(before))
            .bind(count(now))
            .execute(&mut *tx)
            .await?;
        if moved.rows_affected() != 1 {
            return Ok(false);
        }
        for one in parked {
            sqlx::query(
                "INSERT INTO alert (alert_id, queue, message_id, messages, cause, state, at, next_at) \
                 SELECT $1, $2, $3, $4, $5, $6, now_ms, now_ms FROM clock",
            )
            .bind(Uuid::new_v4().to_string())
            .bind(queue.to_owned())
            .bind(one.message.clone())
            .bind(count(now))
            .bind(one.cause.as_str())
            .bind(State::Parked.as_str())
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
