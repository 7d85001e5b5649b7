//! Reads columns into types, and binds values in a form that both databases accept.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Ledger, LedgerError};
use crate::domain::{AttemptId, RecordId};

/// Reads a text that must be present and readable.
pub(super) fn required<T>(
    row: &AnyRow,
    column: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, LedgerError> {
    let text: String = row.try_get(column)?;
    read(&text).ok_or(LedgerError::Unreadable(column))
}

/// Reads a text that may be NULL, but must be readable if it is present.
pub(super) fn optional<T>(
    row: &AnyRow,
    column: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, LedgerError> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| read(&text).ok_or(LedgerError::Unreadable(column))).transpose()
}

pub(super) fn attempt_id(row: &AnyRow) -> Result<AttemptId, LedgerError> {
    required(row, "attempt_id", |text| AttemptId::parse(text).ok())
}

pub(super) fn attempt_ids(rows: &[AnyRow]) -> Result<Vec<AttemptId>, LedgerError> {
    rows.iter().map(attempt_id).collect()
}

pub(super) fn record_id(row: &AnyRow) -> Result<RecordId, LedgerError> {
    required(row, "record_id", |text| RecordId::parse(text).ok())
}

/// A time of the ledger: milliseconds since 1970.
pub(super) fn timestamp(ms: i64) -> Result<Timestamp, LedgerError> {
    Timestamp::from_millisecond(ms).map_err(|_| LedgerError::Unreadable("time"))
}

pub(super) fn optional_timestamp(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<Timestamp>, LedgerError> {
    row.try_get::<Option<i64>, _>(column)?.map(timestamp).transpose()
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

impl Ledger {
    /// Runs a query that takes an attempt id as `$1` and a limit as `$2`, and finds attempts after
    /// that id in the order of their ids.
    pub(super) async fn page(
        &self,
        query: &'static str,
        after: Option<AttemptId>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        attempt_ids(&sqlx::query(query).bind(after).bind(limit(most)).fetch_all(&self.pool).await?)
    }
}
