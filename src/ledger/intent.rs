//! The write intent: the note that a write to OpenCRVS begins, and the record of how the write
//! ended.
//!
//! Invariant: an intent is committed before the write, and is cleared only by a process that knows
//! how the write ended.

use std::time::Duration;

use super::columns::millis;
use super::history::{NewEntry, What};
use super::record_lease::lease_state;
use super::rows;
use super::{Lease, Ledger, LedgerError, Stage};
use crate::domain::lease::{IntentCheck, may_finish, may_intend, settles_intent};
use crate::domain::{Cause, Event, State};

impl Ledger {
    /// Commits the intent to write the attempt and renews the lease for `ttl`. Returns `false` if
    /// the lease is lost, or the attempt is not the newest any more or not *answered*; nothing may
    /// be written then.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing may be written then.
    pub async fn intend(&self, lease: Lease, ttl: Duration) -> Result<bool, LedgerError> {
        let case = self.case(lease.attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        let case = rows::case_in(&mut tx, lease.attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let (state, now) = lease_state(&mut tx, record).await?;
        let check = IntentCheck { lease: state, newest: case.is_newest(), state: case.attempt.state };
        if !may_intend(&check, lease.fence, now) {
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
        let entry = NewEntry {
            record: case.record.id.as_str(),
            attempt: Some(lease.attempt),
            stage: Stage::Confirm,
            what: What::Event("write_intended"),
            cause: None,
        };
        self.add_entry(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Clears the intent, because the write certainly did not take place. Does nothing if there is
    /// no intent, or if another confirmer has leased the record since: the intent may be that
    /// confirmer's.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the record is then not written before the quarantine is over.
    pub async fn retract(&self, lease: Lease, cause: Cause) -> Result<(), LedgerError> {
        let Some(case) = self.case(lease.attempt).await? else { return Ok(()) };
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(()) };
        let (state, _) = lease_state(&mut tx, record).await?;
        if !state.is_last(lease.fence) {
            return Ok(tx.rollback().await?);
        }
        let cleared = sqlx::query(
            "UPDATE record SET intent_attempt = NULL, intent_at = NULL \
             WHERE record_id = $1 AND fence = $2 AND intent_attempt = $3",
        )
        .bind(record)
        .bind(lease.fence)
        .bind(lease.attempt.to_string())
        .execute(&mut *tx)
        .await?;
        if cleared.rows_affected() != 1 {
            return Ok(tx.rollback().await?);
        }
        let entry = NewEntry {
            record,
            attempt: Some(lease.attempt),
            stage: Stage::Confirm,
            what: What::Event("not_written"),
            cause: Some(cause),
        };
        self.add_entry(&mut tx, entry).await?;
        Ok(tx.commit().await?)
    }

    /// Ends or parks the attempt of a lease, and clears its intent if the result of the write is
    /// known ([`settles_intent`]).
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] if another confirmer has leased the record since and `event` may
    /// be out of date ([`may_finish`]); nothing is changed then. [`LedgerError::Conflict`] if the
    /// event is not legal in the attempt's state; the intent is cleared all the same.
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
        // A conflict is found before this transaction changes anything. If the result of the write
        // to OpenCRVS is known, the intent is cleared all the same.
        let moved = match self.move_attempt(&mut tx, attempt, event, Stage::Confirm, cause).await {
            Ok(state) => Ok(state),
            Err(LedgerError::Conflict(conflict)) => Err(LedgerError::Conflict(conflict)),
            Err(fault) => return Err(fault),
        };
        if settles_intent(event) {
            sqlx::query(
                "UPDATE record SET intent_attempt = NULL, intent_at = NULL \
                 WHERE record_id = $1 AND intent_attempt = $2",
            )
            .bind(record)
            .bind(attempt.to_string())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        moved
    }
}
