//! Asking: what was sent to the ID system, and when.
//!
//! Invariant: the ledger says *requested* before the request can be seen; the first ID system of a
//! record stays its ID system.

use sqlx::{Any, Transaction};

use super::rows::{self, Case};
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
        row.as_ref()
            .map(|row| rows::required(row, "record_id", |text| RecordId::parse(text).ok()))
            .transpose()
    }

    /// Notes that the attempt's request is about to go to an ID system, and in which trace; which
    /// system it is sticks to the record.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] when the attempt is not one to be sent.
    pub async fn requested(&self, case: &Case, trace: Option<&str>) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.shift(&mut tx, case.attempt.id, Event::Request, Stage::Send, None).await?;
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

    /// Notes that the next hop has the attempt.
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

    /// Notes that the ID system's queue has the attempt's request.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn sent(&self, attempt: AttemptId) -> Result<(), LedgerError> {
        sqlx::query(WITH_ID_SYSTEM).bind(attempt.to_string()).execute(&self.pool).await?;
        Ok(())
    }
}

/// Both times are one reading of the clock: `sent_at` before `published_at` would say that it is to
/// be asked again. It is one statement, too: PostgreSQL checks the reference to the record on the
/// second change that a transaction makes to a row, and would wait there for a reply that is being
/// taken in and waits for this row.
const WITH_ID_SYSTEM: &str =
    "UPDATE attempt SET published_at = now_ms, sent_at = now_ms FROM clock WHERE attempt_id = $1";

pub(super) async fn with_id_system(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<(), LedgerError> {
    sqlx::query(WITH_ID_SYSTEM).bind(attempt.to_string()).execute(&mut **tx).await?;
    Ok(())
}
