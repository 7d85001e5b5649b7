//! What an operator's commands read of the ledger: which attempts stand where, why, and for how
//! long still.
//!
//! Invariant: only reading, and nothing that is sealed.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use super::rows::{Case, attempt_id, limit, required, timestamp};
use super::{Ledger, LedgerError};
use crate::domain::{AttemptId, Cause, RecordId, State, TrackingId};

/// Which attempts are meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Those that stand so.
    pub states: Vec<State>,
    /// Those of this cause alone.
    pub cause: Option<Cause>,
    /// Those of this office alone, by its code.
    pub office: Option<String>,
    /// Those whose token is dead by then.
    pub expiring_by: Option<Timestamp>,
}

/// One attempt of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAttempt {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its record.
    pub record: RecordId,
    /// The family's code.
    pub tracking_id: TrackingId,
    /// `birth`, `death`, …
    pub kind: String,
    /// The office's code.
    pub office: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub cause: Option<String>,
    /// When the front took it.
    pub accepted_at: Timestamp,
    /// When its token dies.
    pub token_expires_at: Timestamp,
}

/// Attempts that stand in the same state for the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptGroup {
    /// Where they stand.
    pub state: State,
    /// Why.
    pub cause: Option<String>,
    /// How many.
    pub count: u64,
    /// When the oldest of them was accepted.
    pub oldest: Timestamp,
    /// When the first of their tokens dies.
    pub first_expiry: Timestamp,
}

/// States are compared within `,a,b,`, which both databases do alike.
const SELECTED: &str = "FROM attempt a JOIN record r ON r.record_id = a.record_id \
     WHERE $1 LIKE '%,' || a.state || ',%' AND ($2 = '' OR a.cause = $2) AND ($3 = '' OR r.office = $3) \
     AND a.token_expires_at <= $4";

impl Ledger {
    /// The attempts of a selection, those whose token dies first coming first.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn list_attempts(
        &self,
        selection: &Selection,
        most: usize,
    ) -> Result<Vec<ListedAttempt>, LedgerError> {
        let sql = format!(
            "SELECT a.attempt_id, a.record_id, r.tracking_id, r.kind, r.office, a.state, a.cause, \
             a.accepted_at, a.token_expires_at {SELECTED} ORDER BY a.token_expires_at, a.attempt_id LIMIT $5"
        );
        let query = selection.bound(sqlx::query(AssertSqlSafe(sql)));
        let found = query.bind(limit(most)).fetch_all(&self.pool).await?;
        found.iter().map(listed).collect()
    }

    /// The same, counted by state and cause; the group whose first token dies first comes first.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn group_attempts(&self, selection: &Selection) -> Result<Vec<AttemptGroup>, LedgerError> {
        let sql = format!(
            "SELECT a.state, a.cause, COUNT(*) AS n, MIN(a.accepted_at) AS oldest, \
             MIN(a.token_expires_at) AS first_expiry {SELECTED} \
             GROUP BY a.state, a.cause ORDER BY MIN(a.token_expires_at)"
        );
        let found = selection.bound(sqlx::query(AssertSqlSafe(sql))).fetch_all(&self.pool).await?;
        found.iter().map(group).collect()
    }

    /// The records that an operator may mean by a record id, a tracking id or an attempt id.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn find_records(&self, name: &str) -> Result<Vec<RecordId>, LedgerError> {
        let found = sqlx::query(
            "SELECT record_id FROM record WHERE record_id = $1 OR tracking_id = $1 \
             OR record_id IN (SELECT record_id FROM attempt WHERE attempt_id = $2) ORDER BY created_at",
        )
        .bind(name.to_owned())
        .bind(name.to_ascii_lowercase())
        .fetch_all(&self.pool)
        .await?;
        found.iter().map(|row| required(row, "record_id", |text| RecordId::parse(text).ok())).collect()
    }

    /// The attempts of a record, in the order in which they were submitted.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn attempts_of(&self, record: &RecordId) -> Result<Vec<Case>, LedgerError> {
        let found =
            sqlx::query("SELECT attempt_id FROM attempt WHERE record_id = $1 ORDER BY stamp, attempt_id")
                .bind(record.as_str())
                .fetch_all(&self.pool)
                .await?;
        let mut cases = Vec::new();
        for row in &found {
            cases.extend(self.case(attempt_id(row)?).await?);
        }
        Ok(cases)
    }

    /// The newest attempts that wait for anything, be it a stage or an operator (parked, held), in
    /// the order of their ids, those after `after`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn unsettled_after(
        &self,
        after: Option<AttemptId>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        self.page(
            "SELECT a.attempt_id FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.state IN ('received', 'requested', 'answered', 'parked', 'held') AND a.attempt_id > $1 \
             ORDER BY a.attempt_id LIMIT $2",
            after,
            most,
        )
        .await
    }
}

impl Selection {
    fn bound<'q>(&self, query: Query<'q, Any, AnyArguments>) -> Query<'q, Any, AnyArguments> {
        let states: Vec<&str> = self.states.iter().map(|state| state.as_str()).collect();
        query
            .bind(format!(",{},", states.join(",")))
            .bind(self.cause.map(Cause::as_str).unwrap_or_default())
            .bind(self.office.clone().unwrap_or_default())
            .bind(self.expiring_by.map_or(i64::MAX, Timestamp::as_millisecond))
    }
}

fn listed(row: &AnyRow) -> Result<ListedAttempt, LedgerError> {
    Ok(ListedAttempt {
        attempt: attempt_id(row)?,
        record: required(row, "record_id", |text| RecordId::parse(text).ok())?,
        tracking_id: required(row, "tracking_id", |text| TrackingId::parse(text).ok())?,
        kind: row.try_get("kind")?,
        office: row.try_get("office")?,
        state: required(row, "state", State::parse)?,
        cause: row.try_get("cause")?,
        accepted_at: timestamp(row.try_get("accepted_at")?)?,
        token_expires_at: timestamp(row.try_get("token_expires_at")?)?,
    })
}

fn group(row: &AnyRow) -> Result<AttemptGroup, LedgerError> {
    let count: i64 = row.try_get("n")?;
    Ok(AttemptGroup {
        state: required(row, "state", State::parse)?,
        cause: row.try_get("cause")?,
        count: count.unsigned_abs(),
        oldest: timestamp(row.try_get("oldest")?)?,
        first_expiry: timestamp(row.try_get("first_expiry")?)?,
    })
}
