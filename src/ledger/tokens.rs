//! The tokens of attempts that have not ended: which are due for renewal, and which the key of
//! OpenCRVS's auth service no longer verifies.
//!
//! Invariant: an operator is alerted once for each token that auth's key stops verifying.

mod replace;

use std::time::Duration;

use sqlx::Row as _;

pub use replace::Replaced;

use super::columns::{attempt_ids, limit, millis};
use super::history::{NewEntry, What};
use super::rows::Case;
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, Cause, Dialect};

/// Which tokens are due for renewal.
#[derive(Debug, Clone, Copy)]
pub struct RenewalRule {
    /// The share of its lifetime, in percent, after which a token is due.
    pub at_percent: u8,
    /// Age of an attempt, counted from its acceptance, up to which its token is renewed.
    pub until: Duration,
}

/// Whether a token is signed with the key that auth uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenCheck {
    Valid,
    /// The token is signed with another key.
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

impl Ledger {
    /// Attempts whose token is due for renewal, in the order in which the tokens expire. `only`
    /// selects a generation of OpenCRVS.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn renewable(
        &self,
        rule: RenewalRule,
        only: Option<Dialect>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a JOIN record r ON r.record_id = a.record_id \
             WHERE a.ended_at IS NULL AND a.sealed_token IS NOT NULL \
             AND a.token_orphaned = 0 AND a.token_expires_at > (SELECT now_ms FROM clock) \
             AND COALESCE(a.token_since, a.accepted_at) \
                 + (a.token_expires_at - COALESCE(a.token_since, a.accepted_at)) * $1 / 100 \
                 <= (SELECT now_ms FROM clock) \
             AND COALESCE(a.token_try_at, 0) <= (SELECT now_ms FROM clock) \
             AND a.accepted_at + $2 > (SELECT now_ms FROM clock) AND ($3 = '' OR r.dialect = $3) \
             ORDER BY a.token_expires_at LIMIT $4",
        )
        .bind(i64::from(rule.at_percent))
        .bind(millis(rule.until))
        .bind(only.map_or("", Dialect::as_str))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        attempt_ids(&found)
    }

    /// Attempts whose token has not been checked with this key yet. `only` selects a generation of
    /// OpenCRVS.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn unchecked_tokens(
        &self,
        key: &str,
        only: Option<Dialect>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a JOIN record r ON r.record_id = a.record_id \
             WHERE a.ended_at IS NULL AND a.sealed_token IS NOT NULL \
             AND COALESCE(a.token_key, '') <> $1 AND ($2 = '' OR r.dialect = $2) \
             ORDER BY a.token_expires_at LIMIT $3",
        )
        .bind(key.to_owned())
        .bind(only.map_or("", Dialect::as_str))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        attempt_ids(&found)
    }

    /// Attempts that need another token: their own token is orphaned or expires soon, or they are
    /// parked because of it.
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
                 OR (a.state = 'parked' AND a.sealed_token IS NOT NULL \
                     AND a.cause IN ('token_refused', 'registrar_inactive'))) \
             ORDER BY a.attempt_id LIMIT $2",
            after,
            most,
        )
        .await
    }

    /// Records the result of checking the token that the case was read with against auth's key.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn token_checked(
        &self,
        case: &Case,
        key: &str,
        check: TokenCheck,
    ) -> Result<TokenChange, LedgerError> {
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(TokenChange::None) };
        let row = sqlx::query("SELECT token_orphaned FROM attempt WHERE attempt_id = $1")
            .bind(case.attempt.id.to_string())
            .fetch_one(&mut *tx)
            .await?;
        let before = row.try_get::<i64, _>("token_orphaned")? == 1;
        let orphaned = check == TokenCheck::Orphaned;
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
        let changed = marked.rows_affected() == 1 && before != orphaned;
        if changed {
            let (what, cause) =
                if orphaned { ("token_orphaned", Some(Cause::TokenOrphaned)) } else { ("token_good", None) };
            self.add_entry(&mut tx, entry(case, what, cause)).await?;
        }
        tx.commit().await?;
        Ok(if changed && orphaned { TokenChange::NewlyOrphaned } else { TokenChange::None })
    }
}

fn entry<'a>(case: &'a Case, what: &'static str, cause: Option<Cause>) -> NewEntry<'a> {
    NewEntry {
        record: case.record.id.as_str(),
        attempt: Some(case.attempt.id),
        stage: Stage::Tokens,
        what: What::Event(what),
        cause,
    }
}
