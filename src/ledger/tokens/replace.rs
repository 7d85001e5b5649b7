//! Replaces the token of an attempt.
//!
//! Invariant: a token is replaced only if it is still the one that was read (compare-and-set on its
//! sealed text), so that an older token never replaces a newer one.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Any, Transaction};

use super::entry;
use crate::domain::{Cause, Event, State};
use crate::ledger::columns::millis;
use crate::ledger::history::NewEntry;
use crate::ledger::resume::was_asked;
use crate::ledger::rows::{self, Case};
use crate::ledger::{Ledger, LedgerError, Recorded, Stage};

/// The result of replacing a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// The attempt has the new token.
    Done,
    /// The attempt has the new token, and is not parked any more.
    Resumed,
    /// Nothing was changed: the attempt has ended, or has another token by now.
    Moved,
}

impl Ledger {
    /// Postpones the renewal of the token by `pause`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn postpone_renewal(&self, case: &Case, pause: Duration) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE attempt SET token_try_at = (SELECT now_ms FROM clock) + $3 \
             WHERE attempt_id = $1 AND sealed_token = $2",
        )
        .bind(case.attempt.id.to_string())
        .bind(case.attempt.sealed_token.clone())
        .bind(millis(pause))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Replaces the token that the case was read with by a renewed token, if the renewed token
    /// expires later. Returns whether it was stored.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the old token stays then.
    pub async fn renew_token(
        &self,
        case: &Case,
        sealed: &str,
        expires_at: Timestamp,
    ) -> Result<bool, LedgerError> {
        if case.attempt.token_expires_at.is_none_or(|end| expires_at <= end) {
            return Ok(false);
        }
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(false) };
        if !exchange(&mut tx, case, sealed, expires_at).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        self.add_entry(&mut tx, entry(case, "token_renewed", None)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Replaces the token that the case was read with by a token from an operator. An attempt that
    /// is parked because of its token is resumed; an intent and its quarantine stay. A held attempt
    /// stays held until an operator decides about it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn replace_token(
        &self,
        case: &Case,
        sealed: &str,
        expires_at: Timestamp,
    ) -> Result<Replaced, LedgerError> {
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(Replaced::Moved) };
        if !exchange(&mut tx, case, sealed, expires_at).await? {
            tx.rollback().await?;
            return Ok(Replaced::Moved);
        }
        let replaced = NewEntry { stage: Stage::Operate, ..entry(case, "token_replaced", None) };
        self.add_entry(&mut tx, replaced).await?;
        let now = rows::case_in(&mut tx, case.attempt.id).await?.ok_or(LedgerError::Missing("attempt"))?;
        let resumes = now.attempt.state == State::Parked && is_parked_for_token(&now) && now.is_newest();
        if resumes {
            let asked = was_asked(&mut tx, case.attempt.id).await?;
            let event = Event::Resume { asked, answered: now.attempt.answer.is_some() };
            self.move_attempt(&mut tx, case.attempt.id, event, Stage::Operate, None).await?;
        }
        tx.commit().await?;
        Ok(if resumes { Replaced::Resumed } else { Replaced::Done })
    }
}

async fn exchange(
    tx: &mut Transaction<'static, Any>,
    case: &Case,
    sealed: &str,
    expires_at: Timestamp,
) -> Result<bool, LedgerError> {
    let exchanged = sqlx::query(
        "UPDATE attempt SET sealed_token = $3, token_expires_at = $4, token_since = (SELECT now_ms FROM clock), \
         token_try_at = NULL, token_key = NULL, token_orphaned = 0 \
         WHERE attempt_id = $1 AND sealed_token = $2 AND (ended_at IS NULL OR state = $5)",
    )
    .bind(case.attempt.id.to_string())
    .bind(case.attempt.sealed_token.clone())
    .bind(sealed.to_owned())
    .bind(expires_at.as_millisecond())
    .bind(State::Held.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(exchanged.rows_affected() == 1)
}

fn is_parked_for_token(case: &Case) -> bool {
    let causes = [Cause::TokenRefused, Cause::TokenOrphaned, Cause::RegistrarInactive];
    let cause = case.attempt.cause.as_ref().and_then(Recorded::known);
    cause.is_some_and(|cause| causes.contains(&cause))
}
