//! What an operator's commands read of the ledger: which attempts have not ended, and the newest one of a record.
//!
//! Invariant: only reading; an attempt is looked at only where it is the newest of its record.

use sqlx::Row as _;

use super::rows::{self, Case};
use super::{Ledger, LedgerError};
use crate::domain::{AttemptId, RecordId};

impl Ledger {
    /// The newest attempts that wait for anything, be it a stage or an operator (parked, held), in the order of their
    /// ids, those after `after`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn unsettled_after(
        &self,
        after: Option<AttemptId>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.state IN ('received', 'requested', 'answered', 'parked', 'held') AND a.attempt_id > $1 \
             ORDER BY a.attempt_id LIMIT $2",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let id = |row| rows::required(row, "attempt_id", |text| AttemptId::parse(text).ok());
        found.iter().map(id).collect()
    }

    /// The newest attempt of a record, if the ledger has the record.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn newest_of(&self, record: &RecordId) -> Result<Option<Case>, LedgerError> {
        let row = sqlx::query("SELECT newest_attempt FROM record WHERE record_id = $1")
            .bind(record.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let newest: Option<String> = row.map(|row| row.try_get("newest_attempt")).transpose()?.flatten();
        match newest.and_then(|id| AttemptId::parse(&id).ok()) {
            Some(attempt) => self.case(attempt).await,
            None => Ok(None),
        }
    }
}
