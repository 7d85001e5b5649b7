//! Looks up which of the events that wait in OpenCRVS the ledger has already.
//!
//! Invariant: this module only reads.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

use super::columns::record_id;
use super::{Ledger, LedgerError};
use crate::domain::{AttemptId, RecordId};

impl Ledger {
    /// The records among these that have an open attempt.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn open_among(&self, records: &[RecordId]) -> Result<HashSet<RecordId>, LedgerError> {
        if records.is_empty() {
            return Ok(HashSet::new());
        }
        let places: Vec<String> = (1..=records.len()).map(|number| format!("${number}")).collect();
        let sql = format!(
            "SELECT DISTINCT record_id FROM attempt WHERE state IN ('received', 'requested', 'answered') \
             AND record_id IN ({})",
            places.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for record in records {
            query = query.bind(record.as_str().to_owned());
        }
        query.fetch_all(&self.pool).await?.iter().map(record_id).collect()
    }

    /// Whether the ledger has this attempt, in any state.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn has_attempt(&self, attempt: AttemptId) -> Result<bool, LedgerError> {
        let found = sqlx::query("SELECT 1 AS one FROM attempt WHERE attempt_id = $1")
            .bind(attempt.to_string())
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.is_some())
    }
}
