//! Moves an attempt from one state to the next.
//!
//! Invariant: an attempt moves only along [`next`], by compare-and-set, and with a history entry in
//! the same transaction.

use sqlx::{Any, Row as _, Transaction};

use super::alerts::explain_alert;
use super::columns::required;
use super::history::{NewEntry, What};
use super::rows::Case;
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, Cause, Event, Mismatch, State, next};

impl Ledger {
    /// Parks an attempt.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the attempt has ended.
    pub async fn park(&self, case: &Case, stage: Stage, cause: Cause) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.move_attempt(&mut tx, case.attempt.id, Event::Park, stage, Some(cause)).await?;
        Ok(tx.commit().await?)
    }

    /// Parks an attempt because OpenCRVS has it, but not as it was submitted. The alert names the
    /// mismatch.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the attempt has ended.
    pub async fn park_mismatch(&self, case: &Case, stage: Stage, what: Mismatch) -> Result<(), LedgerError> {
        let (attempt, cause) = (case.attempt.id, Cause::NotInOpencrvs);
        let mut tx = self.on_record(case.record.id.as_str()).await?.ok_or(LedgerError::Missing("record"))?;
        self.move_attempt(&mut tx, attempt, Event::Park, stage, Some(cause)).await?;
        explain_alert(&mut tx, attempt, cause, what.as_str()).await?;
        Ok(tx.commit().await?)
    }

    /// Ends an attempt whose record OpenCRVS moved on by itself.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the attempt has ended.
    pub async fn withdraw(&self, case: &Case, stage: Stage) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.move_attempt(&mut tx, case.attempt.id, Event::Withdraw, stage, Some(Cause::MovedOn)).await?;
        Ok(tx.commit().await?)
    }

    /// Applies an event to an attempt within a transaction, and returns the new state.
    pub(super) async fn move_attempt(
        &self,
        tx: &mut Transaction<'static, Any>,
        attempt: AttemptId,
        event: Event,
        stage: Stage,
        cause: Option<Cause>,
    ) -> Result<State, LedgerError> {
        let (record, to) = apply_event(tx, attempt, event, cause).await?;
        let entry = NewEntry { record: &record, attempt: Some(attempt), stage, what: What::Moved(to), cause };
        self.add_entry(tx, entry).await?;
        Ok(to)
    }
}

/// Writes the state that an event leads to. Returns the record and the new state, which the caller
/// adds to the history.
pub(super) async fn apply_event(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
    event: Event,
    cause: Option<Cause>,
) -> Result<(String, State), LedgerError> {
    let row = sqlx::query("SELECT record_id, state FROM attempt WHERE attempt_id = $1")
        .bind(attempt.to_string())
        .fetch_optional(&mut **tx)
        .await?
        .ok_or(LedgerError::Missing("attempt"))?;
    let from = required(&row, "state", State::parse)?;
    let to = next(from, event)?;
    let moved = sqlx::query(
        "UPDATE attempt SET state = $3, cause = $4, failure_cause = NULL, failures = 0, \
         failing_since = NULL, failed_at = NULL, next_try_at = NULL, \
         ended_at = CASE WHEN $5 = 1 THEN NULL ELSE (SELECT now_ms FROM clock) END \
         WHERE attempt_id = $1 AND state = $2",
    )
    .bind(attempt.to_string())
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(cause.map(Cause::as_str))
    .bind(i64::from(to.is_open() || to == State::Parked))
    .execute(&mut **tx)
    .await?;
    if moved.rows_affected() != 1 {
        return Err(LedgerError::Raced);
    }
    Ok((row.try_get("record_id")?, to))
}
