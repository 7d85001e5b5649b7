//! The end of an attempt whose token died before OpenCRVS could be told.
//!
//! Invariant: it is ended only while its token is dead, in the transaction that looks; an ID that
//! was issued for it is told of at the same moment, since nothing else will.

use sqlx::{Any, Transaction};

use super::confirm::lease_state;
use super::history::Note;
use super::rows::{self, Case};
use super::{Lease, Ledger, LedgerError, Stage};
use crate::domain::RecordAnswer;
use crate::domain::lease::may_finish;
use crate::domain::{AttemptId, Cause, Event};

/// What came of an attempt whose token is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It has ended.
    Ended {
        /// The ID system has issued an ID for the record, which is not registered now.
        orphan: bool,
    },
    /// A confirmer is at it, it has another token, or it has moved on by itself.
    LeftAlone,
}

impl Ledger {
    /// Ends the attempt of a lease, if its token is dead by the ledger's clock; the confirmer has
    /// seen to it that no write of it may still arrive.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn expire_leased(&self, lease: Lease) -> Result<Expiry, LedgerError> {
        let Some(case) = self.case(lease.attempt).await? else { return Ok(Expiry::LeftAlone) };
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(Expiry::LeftAlone) };
        let case = rows::case_in(&mut tx, lease.attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let (state, now) = lease_state(&mut tx, record).await?;
        let may = may_finish(&state, lease.fence, Event::Expire) && case.attempt.state.is_open();
        if !may || case.attempt.token_expires_at > now {
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

    /// Ends an attempt that is open, within a transaction that has found its token dead.
    pub(super) async fn end_expired(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        stage: Stage,
    ) -> Result<Expiry, LedgerError> {
        let attempt: AttemptId = case.attempt.id;
        self.shift(tx, attempt, Event::Expire, stage, Some(Cause::TokenRefused)).await?;
        let orphan = case.is_newest() && case.record.answer == Some(RecordAnswer::Issued);
        if orphan {
            let note = Note {
                record: case.record.id.as_str(),
                attempt: Some(attempt),
                stage,
                what: "id_without_registration",
                cause: Some(Cause::OrphanId),
            };
            self.note(tx, note).await?;
        }
        Ok(Expiry::Ended { orphan })
    }
}
