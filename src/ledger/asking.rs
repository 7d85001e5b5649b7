//! Records what was sent to the ID system, and when.
//!
//! Invariant: an attempt is *requested* in the ledger before its request can be seen by the ID
//! system.

use sqlx::{Any, Transaction};

use super::columns::record_id;
use super::rows::Case;
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, Event, RecordId, RequestId};

impl Ledger {
    /// The record of a request.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn record_of(&self, request: RequestId) -> Result<Option<RecordId>, LedgerError> {
        let row = sqlx::query("SELECT record_id FROM record WHERE request_id = $1")
            .bind(request.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(record_id).transpose()
    }

    /// Records that the attempt's request is about to go to the ID system, and in which trace.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the attempt is not to be sent.
    pub async fn requested(&self, case: &Case, trace: Option<&str>) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.move_attempt(&mut tx, case.attempt.id, Event::Request, Stage::Send, None).await?;
        sqlx::query(
            "UPDATE attempt SET asked_at = (SELECT now_ms FROM clock), trace = COALESCE($2, trace) \
             WHERE attempt_id = $1",
        )
        .bind(case.attempt.id.to_string())
        .bind(trace.map(str::to_owned))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Records that the attempt's next hop was published.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn published(&self, attempt: AttemptId) -> Result<(), LedgerError> {
        sqlx::query("UPDATE attempt SET published_at = (SELECT now_ms FROM clock) WHERE attempt_id = $1")
            .bind(attempt.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that the ID system's queue has the attempt's request.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn sent(&self, attempt: AttemptId) -> Result<(), LedgerError> {
        sqlx::query(WITH_ID_SYSTEM).bind(attempt.to_string()).execute(&self.pool).await?;
        Ok(())
    }
}

/// Both times come from one reading of the clock, since `sent_at` before `published_at` means that
/// the ID system is to be asked again. It is also one statement, since PostgreSQL checks the
/// reference to the record when a transaction changes a row for the second time: it would wait for
/// the transaction of a reply, which in turn waits for this row.
const WITH_ID_SYSTEM: &str =
    "UPDATE attempt SET published_at = now_ms, sent_at = now_ms FROM clock WHERE attempt_id = $1";

pub(super) async fn with_id_system(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<(), LedgerError> {
    sqlx::query(WITH_ID_SYSTEM).bind(attempt.to_string()).execute(&mut **tx).await?;
    Ok(())
}
