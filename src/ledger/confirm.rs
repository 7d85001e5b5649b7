//! The lease and the write intent: who may write a record to OpenCRVS, and what is known of a write that was begun.
//!
//! Invariant: at most one lease on a record, by the ledger's clock; an intent is committed before the write and is
//! cleared only by knowing how the write ended.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::history::Note;
use super::rows::{self, Case};
use super::{Ledger, LedgerError, Stage};
use crate::domain::lease::{IntentCheck, LeaseState, may_finish, may_intend};
use crate::domain::{AttemptId, Cause, Event, State};

/// The right to write one record, until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lease that is not given back keeps the record from every other confirmer until it ends"]
pub struct Lease {
    pub(super) attempt: AttemptId,
    pub(super) fence: i64,
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRefusal {
    /// Another confirmer has it.
    Taken,
    /// The ledger has no such attempt.
    Unknown,
}

impl Ledger {
    /// Takes the lease on the attempt's record for `ttl`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn lease_record(
        &self,
        attempt: AttemptId,
        ttl: Duration,
    ) -> Result<Result<(Lease, Case), LeaseRefusal>, LedgerError> {
        let Some(case) = self.case(attempt).await? else {
            return Ok(Err(LeaseRefusal::Unknown));
        };
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        let (state, now) = lease_state(&mut tx, record).await?;
        if !state.may_lease(now) {
            tx.rollback().await?;
            return Ok(Err(LeaseRefusal::Taken));
        }
        let fence = state.fence + 1;
        let taken = sqlx::query(
            "UPDATE record SET lease_owner = $2, lease_until = (SELECT now_ms FROM clock) + $3, fence = $4 \
             WHERE record_id = $1 AND fence = $5",
        )
        .bind(record)
        .bind(self.who.to_string())
        .bind(millis(ttl))
        .bind(fence)
        .bind(state.fence)
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() != 1 {
            return Err(LedgerError::Raced);
        }
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(Ok((Lease { attempt, fence }, case)))
    }

    /// Gives the lease back. A lease that another confirmer has taken over meanwhile is left to it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the lease then ends by itself.
    pub async fn release_record(&self, lease: Lease) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE record SET lease_owner = NULL, lease_until = 0 \
             WHERE newest_attempt IS NOT NULL AND fence = $2 \
             AND record_id = (SELECT record_id FROM attempt WHERE attempt_id = $1)",
        )
        .bind(lease.attempt.to_string())
        .bind(lease.fence)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Commits the intent to write the attempt and renews the lease for `ttl`. `false`: the lease is lost, the
    /// attempt is not the newest any more or does not wait for a write; nothing may be written then.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing may be written then.
    pub async fn intend(&self, lease: Lease, ttl: Duration) -> Result<bool, LedgerError> {
        let case = self.case(lease.attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        let case = rows::case_in(&mut tx, lease.attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let (state, now) = lease_state(&mut tx, record).await?;
        let standing = IntentCheck { lease: state, newest: case.is_newest(), state: case.attempt.state };
        if !may_intend(&standing, lease.fence, now) {
            tx.rollback().await?;
            return Ok(false);
        }
        let intended = sqlx::query(
            "UPDATE record SET intent_attempt = $1, intent_at = (SELECT now_ms FROM clock), \
             lease_until = (SELECT now_ms FROM clock) + $3 \
             WHERE newest_attempt = $1 AND fence = $2",
        )
        .bind(lease.attempt.to_string())
        .bind(lease.fence)
        .bind(millis(ttl))
        .execute(&mut *tx)
        .await?;
        if intended.rows_affected() != 1 {
            return Err(LedgerError::Raced);
        }
        let note = Note {
            record: case.record.id.as_str(),
            attempt: Some(lease.attempt),
            stage: Stage::Confirm,
            what: "write_intended",
            cause: None,
        };
        self.note(&mut tx, note).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Clears the intent: the write certainly did not take place. Leaves it to its owner when the lease was
    /// taken over.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the intent then waits out its quarantine.
    pub async fn retract(&self, lease: Lease, cause: Cause) -> Result<(), LedgerError> {
        let Some(case) = self.case(lease.attempt).await? else { return Ok(()) };
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(()) };
        let (state, _) = lease_state(&mut tx, record).await?;
        if !state.is_last(lease.fence) {
            return Ok(tx.rollback().await?);
        }
        sqlx::query(
            "UPDATE record SET intent_attempt = NULL, intent_at = NULL \
             WHERE record_id = $1 AND fence = $2 AND intent_attempt = $3",
        )
        .bind(record)
        .bind(lease.fence)
        .bind(lease.attempt.to_string())
        .execute(&mut *tx)
        .await?;
        let note = Note {
            record,
            attempt: Some(lease.attempt),
            stage: Stage::Confirm,
            what: "not_written",
            cause: Some(cause),
        };
        self.note(&mut tx, note).await?;
        Ok(tx.commit().await?)
    }

    /// Ends (or parks) the attempt of a lease and clears its intent: how the write ended is known.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] when another confirmer has begun a turn since and this one knows nothing for sure
    /// ([`may_finish`]); nothing is changed then. [`LedgerError::Conflict`] when the event is not legal for the
    /// attempt as it stands; the intent is cleared then as well.
    pub async fn finish(
        &self,
        lease: Lease,
        event: Event,
        cause: Option<Cause>,
    ) -> Result<State, LedgerError> {
        let attempt = lease.attempt;
        let case = self.case(attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        let (state, _) = lease_state(&mut tx, record).await?;
        if !may_finish(&state, lease.fence, event) {
            tx.rollback().await?;
            return Err(LedgerError::LeaseLost);
        }
        // A conflict is found before anything is written; the end of the write is known all the same.
        let shifted = match self.shift(&mut tx, attempt, event, Stage::Confirm, cause).await {
            Ok(state) => Ok(state),
            Err(LedgerError::Conflict(conflict)) => Err(LedgerError::Conflict(conflict)),
            Err(fault) => return Err(fault),
        };
        sqlx::query(
            "UPDATE record SET intent_attempt = NULL, intent_at = NULL \
             WHERE record_id = $1 AND intent_attempt = $2",
        )
        .bind(record)
        .bind(attempt.to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        shifted
    }

    /// Parks an attempt from any stage.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] when the attempt has ended.
    pub async fn park(&self, case: &Case, stage: Stage, cause: Cause) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.shift(&mut tx, case.attempt.id, Event::Park, stage, Some(cause)).await?;
        Ok(tx.commit().await?)
    }
}

/// The lease on a record and the time, by the ledger's clock.
pub(super) async fn lease_state(
    tx: &mut Transaction<'static, Any>,
    record: &str,
) -> Result<(LeaseState, Timestamp), LedgerError> {
    let row = sqlx::query(
        "SELECT fence, lease_until, (SELECT now_ms FROM clock) AS now_ms FROM record WHERE record_id = $1",
    )
    .bind(record)
    .fetch_one(&mut **tx)
    .await?;
    let state =
        LeaseState { fence: row.try_get("fence")?, until: rows::timestamp(row.try_get("lease_until")?)? };
    Ok((state, rows::timestamp(row.try_get("now_ms")?)?))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
