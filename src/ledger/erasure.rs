//! Erases the sealed values of attempts and records some time after the attempts have ended.
//!
//! Invariant: everything that is not sealed is kept. That includes the fingerprint of an issued ID,
//! so that one ID on two records is always noticed.

use std::time::Duration;

use super::columns::{limit, millis, record_id};
use super::history::{NewEntry, What};
use super::{Ledger, LedgerError, Stage};
use crate::domain::RecordId;

impl Ledger {
    /// Records that still have a sealed value of an attempt that ended longer than `keep` ago.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn erasable(&self, keep: Duration, most: usize) -> Result<Vec<RecordId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.record_id FROM attempt a WHERE a.ended_at <= (SELECT now_ms FROM clock) - $1 \
             AND (a.sealed_view IS NOT NULL OR a.sealed_token IS NOT NULL) \
             UNION \
             SELECT r.record_id FROM record r JOIN attempt a ON a.attempt_id = r.newest_attempt \
             WHERE r.sealed_id IS NOT NULL AND a.ended_at <= (SELECT now_ms FROM clock) - $1 LIMIT $2",
        )
        .bind(millis(keep))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        found.iter().map(record_id).collect()
    }

    /// Erases the sealed values of a record's attempts that ended longer than `keep` ago. Returns
    /// whether there were any.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is erased then.
    pub async fn erase(&self, record: &RecordId, keep: Duration) -> Result<bool, LedgerError> {
        let Some(mut tx) = self.on_record(record.as_str()).await? else { return Ok(false) };
        let of_attempts = sqlx::query(
            "UPDATE attempt SET sealed_view = NULL, sealed_token = NULL WHERE record_id = $1 \
             AND ended_at <= (SELECT now_ms FROM clock) - $2 \
             AND (sealed_view IS NOT NULL OR sealed_token IS NOT NULL)",
        )
        .bind(record.as_str())
        .bind(millis(keep))
        .execute(&mut *tx)
        .await?;
        // An open attempt still needs the ID.
        let of_record = sqlx::query(
            "UPDATE record SET sealed_id = NULL WHERE record_id = $1 AND sealed_id IS NOT NULL \
             AND EXISTS (SELECT 1 FROM attempt a WHERE a.attempt_id = record.newest_attempt \
             AND a.ended_at <= (SELECT now_ms FROM clock) - $2)",
        )
        .bind(record.as_str())
        .bind(millis(keep))
        .execute(&mut *tx)
        .await?;
        let erased = of_attempts.rows_affected() + of_record.rows_affected() > 0;
        if erased {
            let entry = NewEntry {
                record: record.as_str(),
                attempt: None,
                stage: Stage::Sweep,
                what: What::Event("erased"),
                cause: None,
            };
            self.add_entry(&mut tx, entry).await?;
        }
        tx.commit().await?;
        Ok(erased)
    }
}
