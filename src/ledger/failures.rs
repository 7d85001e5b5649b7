//! The failed tries of an attempt: their number, the cause of the last one, and when the next try
//! is due.
//!
//! Invariant: nothing is written for the first failed try, so a healthy pipeline writes nothing
//! here. The failed tries are cleared when the attempt moves.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::columns::{attempt_ids, limit, millis, optional_timestamp};
use super::rows::Case;
use super::sweep::Warning;
use super::{Ledger, LedgerError, Recorded};
use crate::domain::{AttemptId, Cause};

/// The failed tries of an attempt since it last moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The cause of the last failed try.
    pub cause: Recorded<Cause>,
    pub count: u64,
    pub since: Timestamp,
    pub next_try_at: Option<Timestamp>,
}

impl Ledger {
    /// Records a failed try of an open attempt. `tries` is the number of failed tries of the
    /// message so far; the next one is due after `pause`. Does nothing for the first.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn note_failure(
        &self,
        attempt: AttemptId,
        cause: Cause,
        tries: u32,
        pause: Duration,
    ) -> Result<(), LedgerError> {
        if tries < 2 {
            return Ok(());
        }
        sqlx::query(
            "UPDATE attempt SET failure_cause = $2, failing_since = COALESCE(failing_since, now_ms), failed_at = now_ms, \
             failures = CASE WHEN failures >= $3 THEN failures + 1 ELSE $3 END, next_try_at = now_ms + $4 \
             FROM clock WHERE attempt_id = $1 AND state IN ('received', 'requested', 'answered')",
        )
        .bind(attempt.to_string())
        .bind(cause.as_str())
        .bind(i64::from(tries))
        .bind(millis(pause))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Warns an operator once of each open attempt that has been failing for `failing_after`, if it
    /// failed again after another attempt was confirmed. During an outage no attempt is confirmed,
    /// and after one an attempt may be old and yet succeed at its next try; neither needs a
    /// warning. Returns the attempts with a new warning.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; warnings that were already written stay.
    pub async fn warn_failing(&self, failing_after: Duration, most: usize) -> Result<Vec<Case>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.ended_at IS NULL AND a.failing_since <= (SELECT now_ms FROM clock) - $1 \
             AND COALESCE(a.failing_reported, 0) <> a.failing_since \
             AND EXISTS (SELECT 1 FROM attempt other WHERE other.state = 'confirmed' \
                 AND other.ended_at > a.failing_since AND other.ended_at < a.failed_at) \
             ORDER BY a.failing_since LIMIT $2",
        )
        .bind(millis(failing_after))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        self.warn(&attempt_ids(&found)?, Warning::Failing).await
    }
}

/// Reads the failed tries from a row with the columns `failure_cause`, `failures`, `failing_since`
/// and `next_try_at`.
pub(super) fn failing(row: &AnyRow) -> Result<Option<Failing>, LedgerError> {
    let cause = row.try_get::<Option<String>, _>("failure_cause")?.map(Recorded::cause);
    let since = optional_timestamp(row, "failing_since")?;
    let count: i64 = row.try_get("failures")?;
    let next_try_at = optional_timestamp(row, "next_try_at")?;
    Ok(cause.zip(since).map(|(cause, since)| Failing {
        cause,
        count: count.unsigned_abs(),
        since,
        next_try_at,
    }))
}
