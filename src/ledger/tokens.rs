//! The tokens of the open attempts: which are due, what auth's key says of each, and how one takes
//! another's place.
//!
//! Invariant: a token is replaced only as the very one that was looked at (compare-and-set on its
//! sealed text), so that a newer one never gives way to an older; what auth's key says of a token
//! is told once for each token.

use std::time::Duration;

use sqlx::{Any, Row as _, Transaction};

use super::confirm::millis;
use super::history::Note;
use super::resume::asked;
use super::rows::{self, Case, attempts, limit, required};
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, Cause, Event, RecordId, State};

/// Which tokens are due for renewal.
#[derive(Debug, Clone, Copy)]
pub struct RenewalRule {
    /// The share of its life, in percent, after which a token is due.
    pub at_percent: u8,
    /// Time after the acceptance of an attempt after which its token is not renewed any more.
    pub until: Duration,
}

/// Whether a token is signed with the key that auth uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenCheck {
    Valid,
    /// It is signed with another key.
    Orphaned,
}

/// What a check of a token changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenChange {
    /// The token verified before and does not any more: an operator has to be alerted.
    NewlyOrphaned,
    /// Nothing new, or the attempt has another token by now.
    None,
}

/// What came of putting another token in a token's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It has the new token.
    Done,
    /// It has the new token, and goes on from where it was parked.
    Resumed,
    /// It has ended, or has another token by now.
    Moved,
}

impl Ledger {
    /// Attempts whose token should be renewed, the one that dies first before the others.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn renewable(&self, rule: RenewalRule, most: usize) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a WHERE a.ended_at IS NULL AND a.sealed_token IS NOT NULL \
             AND a.token_orphaned = 0 AND a.token_expires_at > (SELECT now_ms FROM clock) \
             AND COALESCE(a.token_since, a.accepted_at) \
                 + (a.token_expires_at - COALESCE(a.token_since, a.accepted_at)) * $1 / 100 \
                 <= (SELECT now_ms FROM clock) \
             AND COALESCE(a.token_try_at, 0) <= (SELECT now_ms FROM clock) \
             AND a.accepted_at + $2 > (SELECT now_ms FROM clock) \
             ORDER BY a.token_expires_at LIMIT $3",
        )
        .bind(i64::from(rule.at_percent))
        .bind(millis(rule.until))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        attempts(&found)
    }

    /// Attempts whose token was not judged by this key yet.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn unchecked_tokens(&self, key: &str, most: usize) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a WHERE a.ended_at IS NULL AND a.sealed_token IS NOT NULL \
             AND COALESCE(a.token_key, '') <> $1 ORDER BY a.token_expires_at LIMIT $2",
        )
        .bind(key.to_owned())
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        attempts(&found)
    }

    /// Attempts that a fresh token would help: its own is of another key or about to die, or it is
    /// parked for it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn needing_token(
        &self,
        after: Option<AttemptId>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        self.page(
            "SELECT a.attempt_id FROM attempt a WHERE a.ended_at IS NULL AND a.attempt_id > $1 \
             AND (a.token_orphaned = 1 OR a.warned_for = a.token_expires_at \
                 OR (a.state = 'parked' AND a.cause IN ('token_refused', 'registrar_inactive'))) \
             ORDER BY a.attempt_id LIMIT $2",
            after,
            most,
        )
        .await
    }

    /// The newest attempt of a record.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn newest_attempt(&self, record: &RecordId) -> Result<Option<Case>, LedgerError> {
        let row = sqlx::query(
            "SELECT newest_attempt FROM record WHERE record_id = $1 AND newest_attempt IS NOT NULL",
        )
        .bind(record.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        self.case(required(&row, "newest_attempt", |text| AttemptId::parse(text).ok())?).await
    }

    /// Writes down what auth's key says of the token that the case was read with.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn token_checked(
        &self,
        case: &Case,
        key: &str,
        judgement: TokenCheck,
    ) -> Result<TokenChange, LedgerError> {
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(TokenChange::None) };
        let row = sqlx::query("SELECT token_orphaned FROM attempt WHERE attempt_id = $1")
            .bind(case.attempt.id.to_string())
            .fetch_one(&mut *tx)
            .await?;
        let before = row.try_get::<i64, _>("token_orphaned")? == 1;
        let orphaned = judgement == TokenCheck::Orphaned;
        let marked = sqlx::query(
            "UPDATE attempt SET token_key = $3, token_orphaned = $4 \
             WHERE attempt_id = $1 AND sealed_token = $2 AND ended_at IS NULL",
        )
        .bind(case.attempt.id.to_string())
        .bind(case.attempt.sealed_token.clone())
        .bind(key.to_owned())
        .bind(i64::from(orphaned))
        .execute(&mut *tx)
        .await?;
        let news = marked.rows_affected() == 1 && before != orphaned;
        if news {
            let (what, cause) =
                if orphaned { ("token_orphaned", Some(Cause::TokenOrphaned)) } else { ("token_good", None) };
            self.note(&mut tx, of_tokens(case, what, cause)).await?;
        }
        tx.commit().await?;
        Ok(if news && orphaned { TokenChange::NewlyOrphaned } else { TokenChange::None })
    }

    /// Does not have this token renewed for a while.
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

    /// Puts a renewed token in the place of the one that the case was read with; one that does not
    /// live longer is not taken. Says whether it is there now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the old token stays then.
    pub async fn renew_token(
        &self,
        case: &Case,
        sealed: &str,
        expires_at: jiff::Timestamp,
    ) -> Result<bool, LedgerError> {
        if expires_at <= case.attempt.token_expires_at {
            return Ok(false);
        }
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(false) };
        if !exchange(&mut tx, case, sealed, expires_at).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        self.note(&mut tx, of_tokens(case, "token_renewed", None)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Puts an operator's token in the place of the one that the case was read with. An attempt
    /// that is parked for its token goes on; what is known of a write that was begun stays as it
    /// is.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn replace_token(
        &self,
        case: &Case,
        sealed: &str,
        expires_at: jiff::Timestamp,
    ) -> Result<Replaced, LedgerError> {
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(Replaced::Moved) };
        if !exchange(&mut tx, case, sealed, expires_at).await? {
            tx.rollback().await?;
            return Ok(Replaced::Moved);
        }
        let note = Note { stage: Stage::Operate, ..of_tokens(case, "token_replaced", None) };
        self.note(&mut tx, note).await?;
        let now = rows::case_in(&mut tx, case.attempt.id).await?.ok_or(LedgerError::Missing("attempt"))?;
        let resumes = now.attempt.state == State::Parked && is_for_its_token(&now) && now.is_newest();
        if resumes {
            let asked = asked(&mut tx, case.attempt.id).await?;
            let event = Event::Resume { asked, answered: now.attempt.answer.is_some() };
            self.shift(&mut tx, case.attempt.id, event, Stage::Operate, None).await?;
        }
        tx.commit().await?;
        Ok(if resumes { Replaced::Resumed } else { Replaced::Done })
    }
}

async fn exchange(
    tx: &mut Transaction<'static, Any>,
    case: &Case,
    sealed: &str,
    expires_at: jiff::Timestamp,
) -> Result<bool, LedgerError> {
    let exchanged = sqlx::query(
        "UPDATE attempt SET sealed_token = $3, token_expires_at = $4, token_since = (SELECT now_ms FROM clock), \
         token_try_at = NULL, token_key = NULL, token_orphaned = 0 \
         WHERE attempt_id = $1 AND sealed_token = $2 AND ended_at IS NULL",
    )
    .bind(case.attempt.id.to_string())
    .bind(case.attempt.sealed_token.clone())
    .bind(sealed.to_owned())
    .bind(expires_at.as_millisecond())
    .execute(&mut **tx)
    .await?;
    Ok(exchanged.rows_affected() == 1)
}

fn is_for_its_token(case: &Case) -> bool {
    let causes = [Cause::TokenRefused, Cause::TokenOrphaned, Cause::RegistrarInactive];
    causes.iter().any(|cause| case.attempt.cause.as_deref() == Some(cause.as_str()))
}

fn of_tokens<'a>(case: &'a Case, what: &'a str, cause: Option<Cause>) -> Note<'a> {
    Note {
        record: case.record.id.as_str(),
        attempt: Some(case.attempt.id),
        stage: Stage::Tokens,
        what,
        cause,
    }
}
