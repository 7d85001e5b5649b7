//! Queries of the sweeper and of `nidbridge recover`: open attempts that have stopped moving, and
//! the warnings about tokens that expire soon and attempts that are open for too long.
//!
//! Invariant: only the newest attempt of a record is ever published again; an operator is warned
//! once of each token that expires soon, and once of each attempt that is open for too long.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{Any, Row as _, Transaction};

use super::columns::{attempt_ids, limit, millis};
use super::history::{NewEntry, What};
use super::rows::Case;
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, Cause, Lane, State};

impl Ledger {
    /// Attempts of a lane that have had no activity for `silence`, longest silence first. Left out
    /// are requests that were sent and have expired: their token has expired, or `deadline` has
    /// passed since the acceptance.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn overdue(
        &self,
        lane: Lane,
        silence: Duration,
        deadline: Duration,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.state IN ('received', 'requested', 'answered') \
             AND CASE WHEN a.state = 'answered' THEN 'outcome' \
                 WHEN a.state = 'requested' AND a.sent_at >= COALESCE(a.published_at, 0) THEN 'reply' \
                 ELSE 'request' END = $1 \
             AND COALESCE(a.published_at, a.recorded_at) <= (SELECT now_ms FROM clock) - $2 \
             AND (a.state = 'answered' OR a.sent_at IS NULL \
                 OR (a.accepted_at > (SELECT now_ms FROM clock) - $4 \
                     AND COALESCE(a.token_expires_at, 9223372036854775807) > (SELECT now_ms FROM clock))) \
             ORDER BY COALESCE(a.published_at, a.recorded_at) LIMIT $3",
        )
        .bind(lane.as_str())
        .bind(millis(silence))
        .bind(limit(most))
        .bind(millis(deadline))
        .fetch_all(&self.pool)
        .await?;
        attempt_ids(&found)
    }

    /// The number of open attempts in a lane.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_in(&self, lane: Lane) -> Result<u64, LedgerError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.state IN ('received', 'requested', 'answered') \
             AND CASE WHEN a.state = 'answered' THEN 'outcome' \
                 WHEN a.state = 'requested' AND a.sent_at >= COALESCE(a.published_at, 0) THEN 'reply' \
                 ELSE 'request' END = $1",
        )
        .bind(lane.as_str())
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get::<i64, _>("n")?.unsigned_abs())
    }

    /// A page of open attempts in the order of their ids, starting after `after`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_after(
        &self,
        after: Option<AttemptId>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        self.page(
            "SELECT a.attempt_id FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.state IN ('received', 'requested', 'answered') AND a.attempt_id > $1 \
             ORDER BY a.attempt_id LIMIT $2",
            after,
            most,
        )
        .await
    }

    /// The number of open attempts by state.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_counts(&self) -> Result<BTreeMap<&'static str, u64>, LedgerError> {
        let mut counts = self.counts().await?;
        counts.retain(|name, _| State::parse(name).is_some_and(State::is_open));
        Ok(counts)
    }

    /// Adds to the history that the attempt's next message was published again.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn republished(&self, case: &Case) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.add_entry(&mut tx, entry(record, Some(case.attempt.id), "republished", None)).await?;
        Ok(tx.commit().await?)
    }

    /// Warns an operator of each attempt that has not ended and whose token expires within
    /// `notice`, unless there was a warning of that token before. With `has_client`, attempts of
    /// the events generation do not need their token. Returns the attempts with a new warning.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; warnings that were already written stay.
    pub async fn warn_expiring(
        &self,
        notice: Duration,
        has_client: bool,
        most: usize,
    ) -> Result<Vec<Case>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a JOIN record r ON r.record_id = a.record_id \
             WHERE a.ended_at IS NULL AND a.token_expires_at > (SELECT now_ms FROM clock) \
             AND a.token_expires_at <= (SELECT now_ms FROM clock) + $1 \
             AND ($2 = 0 OR r.dialect <> 'events') \
             AND COALESCE(a.warned_for, 0) <> a.token_expires_at ORDER BY a.token_expires_at LIMIT $3",
        )
        .bind(millis(notice))
        .bind(i64::from(has_client))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        self.warn(&attempt_ids(&found)?, Warning::TokenExpiring).await
    }

    /// Warns an operator, once, of each open attempt that was accepted longer than `deadline` ago.
    /// Returns the attempts with a new warning.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; warnings that were already written stay.
    pub async fn warn_overdue(&self, deadline: Duration, most: usize) -> Result<Vec<Case>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a \
             WHERE a.ended_at IS NULL AND a.state IN ('received', 'requested', 'answered') \
             AND a.accepted_at <= (SELECT now_ms FROM clock) - $1 \
             AND NOT EXISTS (SELECT 1 FROM history h WHERE h.record_id = a.record_id \
                 AND h.attempt_id = a.attempt_id AND h.what = 'overdue') \
             ORDER BY a.accepted_at LIMIT $2",
        )
        .bind(millis(deadline))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        self.warn(&attempt_ids(&found)?, Warning::Overdue).await
    }

    pub(super) async fn warn(
        &self,
        attempts: &[AttemptId],
        warning: Warning,
    ) -> Result<Vec<Case>, LedgerError> {
        let mut warned = Vec::new();
        for attempt in attempts.iter().copied() {
            let Some(case) = self.case(attempt).await? else { continue };
            let Some(mut tx) = self.on_record(case.record.id.as_str()).await? else { continue };
            if warning.mark(&mut tx, attempt).await? {
                let cause = warning.cause();
                let entry = entry(case.record.id.as_str(), Some(attempt), cause.as_str(), Some(cause));
                self.add_entry(&mut tx, entry).await?;
                tx.commit().await?;
                warned.push(case);
            }
        }
        Ok(warned)
    }
}

/// The kinds of warning to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warning {
    /// `attempt.warned_for` holds the expiry of the token to which the last warning referred.
    TokenExpiring,
    /// The history holds the warning.
    Overdue,
    /// `attempt.failing_reported` holds the `failing_since` to which the last warning referred.
    Failing,
}

impl Warning {
    fn cause(self) -> Cause {
        match self {
            Self::TokenExpiring => Cause::TokenExpiring,
            Self::Overdue => Cause::Overdue,
            Self::Failing => Cause::Failing,
        }
    }

    /// Stores the warning. Returns `false` if it was given before, or if the attempt has ended.
    async fn mark(self, tx: &mut Transaction<'static, Any>, attempt: AttemptId) -> Result<bool, LedgerError> {
        let mark = match self {
            Self::TokenExpiring => {
                "UPDATE attempt SET warned_for = token_expires_at WHERE attempt_id = $1 \
                 AND ended_at IS NULL AND COALESCE(warned_for, 0) <> token_expires_at"
            }
            Self::Overdue => {
                "UPDATE attempt SET warned_for = warned_for WHERE attempt_id = $1 AND ended_at IS NULL \
                 AND NOT EXISTS (SELECT 1 FROM history h WHERE h.record_id = attempt.record_id \
                     AND h.attempt_id = attempt.attempt_id AND h.what = 'overdue')"
            }
            Self::Failing => {
                "UPDATE attempt SET failing_reported = failing_since WHERE attempt_id = $1 \
                 AND ended_at IS NULL AND COALESCE(failing_reported, 0) <> failing_since"
            }
        };
        let marked = sqlx::query(mark).bind(attempt.to_string()).execute(&mut **tx).await?;
        Ok(marked.rows_affected() == 1)
    }
}

fn entry<'a>(
    record: &'a str,
    attempt: Option<AttemptId>,
    what: &'static str,
    cause: Option<Cause>,
) -> NewEntry<'a> {
    NewEntry { record, attempt, stage: Stage::Sweep, what: What::Event(what), cause }
}
