//! How the registrations stand, counted.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::{Ledger, LedgerError, rows};
use crate::domain::{RecordId, State};

/// Where one record's newest attempt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSummary {
    /// The record.
    pub record: RecordId,
    /// The newest attempt's state.
    pub state: State,
    /// Its cause, where there is one.
    pub cause: Option<String>,
}

impl Ledger {
    /// How many attempts are in each state that occurs.
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
                Ok((rows::required(row, "state", State::parse)?.as_str(), n.unsigned_abs()))
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
                    record: rows::required(row, "record_id", |text| RecordId::parse(text).ok())?,
                    state: rows::required(row, "state", State::parse)?,
                    cause: row.try_get("cause")?,
                })
            })
            .collect()
    }
}
