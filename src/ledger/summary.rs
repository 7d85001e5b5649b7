//! Counts attempts by state, and lists the newest attempt of each record.
//!
//! Invariant: this module only reads.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::columns::{record_id, required};
use super::{Ledger, LedgerError, Recorded};
use crate::domain::{Cause, RecordId, State};

/// The newest attempt of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSummary {
    pub record: RecordId,
    pub state: State,
    pub cause: Option<Recorded<Cause>>,
}

impl Ledger {
    /// The number of attempts by state, without the states that no attempt is in.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn counts(&self) -> Result<BTreeMap<&'static str, u64>, LedgerError> {
        let found = sqlx::query("SELECT state, COUNT(*) AS n FROM attempt GROUP BY state")
            .fetch_all(&self.pool)
            .await?;
        found
            .iter()
            .map(|row| {
                let n: i64 = row.try_get("n")?;
                Ok((required(row, "state", State::parse)?.as_str(), n.unsigned_abs()))
            })
            .collect()
    }

    /// The newest attempt of every record.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn summaries(&self) -> Result<Vec<AttemptSummary>, LedgerError> {
        let found = sqlx::query(
            "SELECT r.record_id, a.state, a.cause FROM record r JOIN attempt a ON a.attempt_id = r.newest_attempt",
        )
        .fetch_all(&self.pool)
        .await?;
        found
            .iter()
            .map(|row| {
                Ok(AttemptSummary {
                    record: record_id(row)?,
                    state: required(row, "state", State::parse)?,
                    cause: row.try_get::<Option<String>, _>("cause")?.map(Recorded::cause),
                })
            })
            .collect()
    }
}
