//! Ends attempts whose token expired before OpenCRVS could be told.
//!
//! Invariant: an attempt expires only in the transaction that finds its token expired, and never
//! while a write to OpenCRVS is under way or may still arrive. If an ID was issued for it, the same
//! transaction alerts an operator.

use std::time::Duration;

use sqlx::{Any, Transaction};

use super::columns::{attempt_ids, limit, millis};
use super::history::{NewEntry, What};
use super::record_lease::lease_state;
use super::rows::{self, Case};
use super::{Lease, Ledger, LedgerError, Stage};
use crate::domain::RecordAnswer;
use crate::domain::lease::{may_expire, may_finish};
use crate::domain::{AttemptId, Cause, Event};

/// The result of trying to expire an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The attempt expired. If `orphan` is set, the ID system has issued an ID for the record,
    /// although the record will not be registered.
    Ended { orphan: bool },
    /// Nothing was changed: a confirmer works on the attempt, the attempt has another token, or it
    /// is not open any more.
    LeftAlone,
}

impl Ledger {
    /// Open attempts whose token has expired, whose record is not leased, and whose last intent is
    /// past its `quarantine`. With `has_client`, the attempts of the events generation do not
    /// expire.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn expirable(
        &self,
        quarantine: Duration,
        has_client: bool,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a JOIN record r ON r.record_id = a.record_id \
             WHERE a.ended_at IS NULL AND a.state IN ('received', 'requested', 'answered') \
             AND a.token_expires_at <= (SELECT now_ms FROM clock) AND r.lease_until <= (SELECT now_ms FROM clock) \
             AND COALESCE(r.intent_at, 0) <= (SELECT now_ms FROM clock) - $1 \
             AND ($2 = 0 OR r.dialect <> 'events') ORDER BY a.token_expires_at LIMIT $3",
        )
        .bind(millis(quarantine))
        .bind(i64::from(has_client))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        attempt_ids(&found)
    }

    /// Expires an attempt that [`Ledger::expirable`] found, unless its situation has changed.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn expire(
        &self,
        attempt: AttemptId,
        quarantine: Duration,
        has_client: bool,
    ) -> Result<Expiry, LedgerError> {
        let Some(case) = self.case(attempt).await? else { return Ok(Expiry::LeftAlone) };
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(Expiry::LeftAlone) };
        // The transaction has locked the record: no other process can take a lease or commit an
        // intent now.
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let (state, now) = lease_state(&mut tx, case.record.id.as_str()).await?;
        let intended = case.record.intent.map(|intent| intent.at);
        let may = may_expire(&state, intended, now, quarantine) && case.attempt.state.is_open();
        if !may || case.expires_at(has_client).is_none_or(|end| end > now) {
            tx.rollback().await?;
            return Ok(Expiry::LeftAlone);
        }
        let ended = self.end_expired(&mut tx, &case, Stage::Sweep).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Expires the attempt of a lease, if its token has expired by the ledger's clock. The
    /// confirmer must have made sure that no write of the attempt can still arrive.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn expire_leased(&self, lease: Lease, has_client: bool) -> Result<Expiry, LedgerError> {
        let Some(case) = self.case(lease.attempt).await? else { return Ok(Expiry::LeftAlone) };
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(Expiry::LeftAlone) };
        let case = rows::case_in(&mut tx, lease.attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let (state, now) = lease_state(&mut tx, record).await?;
        let may = may_finish(&state, lease.fence, Event::Expire) && case.attempt.state.is_open();
        if !may || case.expires_at(has_client).is_none_or(|end| end > now) {
            tx.rollback().await?;
            return Ok(Expiry::LeftAlone);
        }
        let ended = self.end_expired(&mut tx, &case, Stage::Confirm).await?;
        sqlx::query(
            "UPDATE record SET intent_attempt = NULL, intent_at = NULL \
             WHERE record_id = $1 AND intent_attempt = $2",
        )
        .bind(record)
        .bind(lease.attempt.to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Expires an open attempt within a transaction that has found its token expired.
    pub(super) async fn end_expired(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        stage: Stage,
    ) -> Result<Expiry, LedgerError> {
        let attempt: AttemptId = case.attempt.id;
        self.move_attempt(tx, attempt, Event::Expire, stage, Some(Cause::TokenRefused)).await?;
        let orphan = case.is_newest() && case.record.answer == Some(RecordAnswer::Issued);
        if orphan {
            let entry = NewEntry {
                record: case.record.id.as_str(),
                attempt: Some(attempt),
                stage,
                what: What::Event("id_without_registration"),
                cause: Some(Cause::OrphanId),
            };
            self.add_entry(tx, entry).await?;
        }
        Ok(Expiry::Ended { orphan })
    }
}
