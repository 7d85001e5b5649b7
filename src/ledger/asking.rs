//! Records what was sent to the ID system, and when.
//!
//! Invariant: an attempt is *requested* in the ledger before the ID system can see its request.

use std::time::Duration;

use sqlx::{Any, Transaction};

use super::columns::{millis, record_id};
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
    /// `checked`: OpenCRVS was read before, and has the registration.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the state of the attempt does not allow it.
    pub async fn requested(
        &self,
        case: &Case,
        trace: Option<&str>,
        checked: bool,
    ) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.move_attempt(&mut tx, case.attempt.id, Event::Request, Stage::Send, None).await?;
        sqlx::query(
            "UPDATE attempt SET asked_at = (SELECT now_ms FROM clock), trace = COALESCE($2, trace), \
             checked_at = CASE WHEN $3 = 1 THEN (SELECT now_ms FROM clock) ELSE checked_at END \
             WHERE attempt_id = $1",
        )
        .bind(case.attempt.id.to_string())
        .bind(trace.map(str::to_owned))
        .bind(i64::from(checked))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Records that the ID system is to be asked again, but not before `after` has passed.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn ask_again_after(&self, attempt: AttemptId, after: Duration) -> Result<(), LedgerError> {
        sqlx::query("UPDATE attempt SET next_try_at = now_ms + $2 FROM clock WHERE attempt_id = $1")
            .bind(attempt.to_string())
            .bind(millis(after))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that the attempt's next message was published.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn published(&self, attempt: AttemptId) -> Result<(), LedgerError> {
        sqlx::query(PUBLISHED).bind(attempt.to_string()).execute(&self.pool).await?;
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

const PUBLISHED: &str = "UPDATE attempt SET published_at = (SELECT now_ms FROM clock) WHERE attempt_id = $1";

/// As [`Ledger::published`], within a transaction.
pub(super) async fn publish_now(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<(), LedgerError> {
    sqlx::query(PUBLISHED).bind(attempt.to_string()).execute(&mut **tx).await?;
    Ok(())
}

/// Sets both times from one reading of the clock, because a `sent_at` before `published_at` means
/// that the ID system is to be asked again. This must also be one statement: when a transaction
/// changes a row for the second time, PostgreSQL checks the reference to the record. That check
/// would wait for the transaction of a reply, which in turn waits for this row.
const WITH_ID_SYSTEM: &str =
    "UPDATE attempt SET published_at = now_ms, sent_at = now_ms FROM clock WHERE attempt_id = $1";

pub(super) async fn with_id_system(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<(), LedgerError> {
    sqlx::query(WITH_ID_SYSTEM).bind(attempt.to_string()).execute(&mut **tx).await?;
    Ok(())
}
