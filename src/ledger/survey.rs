//! Lists attempts for an operator's commands, with their states, their causes and the expiry of
//! their tokens.
//!
//! Invariant: this module only reads, and opens no sealed value.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use super::columns::{attempt_id, limit, millis, optional_timestamp, record_id, required, timestamp};
use super::failures::{Failing, failing};
use super::rows::Case;
use super::{Ledger, LedgerError, Recorded};
use crate::domain::order::LONGEST_WAIT;
use crate::domain::{AttemptId, Cause, Dialect, EventKind, RecordId, State, TrackingId};

/// Which attempts to list.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub states: Vec<State>,
    /// The cause of the state or of the last failed try. `None` selects any cause.
    pub cause: Option<Cause>,
    /// The code of a registration office. `None` selects any office.
    pub office: Option<String>,
    /// Selects only attempts whose token expires at or before this time, and no attempt without a
    /// token.
    pub expiring_by: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAttempt {
    pub attempt: AttemptId,
    pub record: RecordId,
    pub tracking_id: TrackingId,
    pub kind: EventKind,
    /// The code of the registration office.
    pub office: Option<String>,
    pub state: State,
    pub cause: Option<Recorded<Cause>>,
    /// The failed tries since the attempt last moved, if there were several in a row.
    pub failing: Option<Failing>,
    pub accepted_at: Timestamp,
    /// `None` if the attempt has no token.
    pub token_expires_at: Option<Timestamp>,
}

/// Attempts in the same state with the same cause, or with the same cause of their last failed try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptGroup {
    pub state: State,
    pub cause: Option<Recorded<Cause>>,
    pub count: u64,
    /// When the oldest of them was accepted.
    pub oldest: Timestamp,
    /// When the first of their tokens expires. `None` if none of them has a token.
    pub first_expiry: Option<Timestamp>,
}

/// The states are bound as one text `,a,b,` because both databases compare that in the same way. An
/// attempt without a token counts as one whose token never expires, because the two databases sort
/// NULL differently.
const SELECTED: &str = "FROM attempt a JOIN record r ON r.record_id = a.record_id \
     WHERE $1 LIKE '%,' || a.state || ',%' AND ($2 = '' OR a.cause = $2 OR a.failure_cause = $2) AND ($3 = '' OR r.office = $3) \
     AND COALESCE(a.token_expires_at, 9223372036854775807) <= $4";

impl Ledger {
    /// The attempts of a selection, in the order in which their tokens expire.
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
             a.accepted_at, a.token_expires_at, a.failure_cause, a.failures, a.failing_since, a.next_try_at \
             {SELECTED} \
             ORDER BY COALESCE(a.token_expires_at, 9223372036854775807), a.attempt_id LIMIT $5"
        );
        let query = selection.bound(sqlx::query(AssertSqlSafe(sql)));
        let found = query.bind(limit(most)).fetch_all(&self.pool).await?;
        found.iter().map(listed_attempt).collect()
    }

    /// The number of attempts of a selection by state and cause, in the order in which the first
    /// token of each group expires.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn group_attempts(&self, selection: &Selection) -> Result<Vec<AttemptGroup>, LedgerError> {
        let sql = format!(
            "SELECT a.state, COALESCE(a.cause, a.failure_cause) AS cause, COUNT(*) AS n, MIN(a.accepted_at) AS oldest, \
             MIN(a.token_expires_at) AS first_expiry {SELECTED} \
             GROUP BY a.state, COALESCE(a.cause, a.failure_cause) \
             ORDER BY COALESCE(MIN(a.token_expires_at), 9223372036854775807)"
        );
        let found = selection.bound(sqlx::query(AssertSqlSafe(sql))).fetch_all(&self.pool).await?;
        found.iter().map(group).collect()
    }

    /// Finds records by record id, request id, registration number or tracking id (in any case), or
    /// by the id of one of their attempts.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn find_records(&self, name: &str) -> Result<Vec<RecordId>, LedgerError> {
        let found = sqlx::query(
            "SELECT record_id FROM record WHERE record_id = $1 OR tracking_id IN ($1, $3) \
             OR number = $1 OR request_id = $2 OR record_id IN (SELECT record_id FROM attempt WHERE attempt_id = $2) ORDER BY created_at",
        )
        .bind(name.to_owned())
        .bind(name.to_ascii_lowercase())
        .bind(name.to_ascii_uppercase())
        .fetch_all(&self.pool)
        .await?;
        found.iter().map(record_id).collect()
    }

    /// The attempts of a record in the order of their submission.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn attempts_of(&self, record: &RecordId) -> Result<Vec<Case>, LedgerError> {
        // The same rule as `order_stamp`: a stamp of a wrong clock does not order attempts.
        let found = sqlx::query(
            "SELECT attempt_id FROM attempt WHERE record_id = $1 \
             ORDER BY CASE WHEN stamp <= accepted_at + $2 AND stamp >= accepted_at - $3 THEN stamp ELSE accepted_at END, attempt_id",
        )
        .bind(record.as_str())
        .bind(millis(self.stamp_tolerance()))
        .bind(i64::try_from(LONGEST_WAIT.as_millis()).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let mut cases = Vec::new();
        for row in &found {
            cases.extend(self.case(attempt_id(row)?).await?);
        }
        Ok(cases)
    }

    /// The record of this generation, other than `beside`, whose outcome was published last of
    /// those that are confirmed.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn confirmed_beside(
        &self,
        beside: &RecordId,
        dialect: Dialect,
    ) -> Result<Option<RecordId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.record_id FROM attempt a JOIN record r ON r.record_id = a.record_id \
             WHERE a.state = 'confirmed' AND a.published_at IS NOT NULL AND a.record_id <> $1 \
             AND r.dialect = $2 ORDER BY a.published_at DESC LIMIT 1",
        )
        .bind(beside.as_str())
        .bind(dialect.as_str())
        .fetch_optional(&self.pool)
        .await?;
        found.as_ref().map(record_id).transpose()
    }

    /// A page of attempts that are open, parked or held and are the newest of their records, in the
    /// order of their ids, starting after `after`.
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

fn listed_attempt(row: &AnyRow) -> Result<ListedAttempt, LedgerError> {
    Ok(ListedAttempt {
        attempt: attempt_id(row)?,
        record: record_id(row)?,
        tracking_id: required(row, "tracking_id", |text| TrackingId::parse(text).ok())?,
        kind: required(row, "kind", |text| Some(EventKind::from_name(text)))?,
        office: row.try_get("office")?,
        state: required(row, "state", State::parse)?,
        cause: row.try_get::<Option<String>, _>("cause")?.map(Recorded::cause),
        failing: failing(row)?,
        accepted_at: timestamp(row.try_get("accepted_at")?)?,
        token_expires_at: optional_timestamp(row, "token_expires_at")?,
    })
}

fn group(row: &AnyRow) -> Result<AttemptGroup, LedgerError> {
    let count: i64 = row.try_get("n")?;
    Ok(AttemptGroup {
        state: required(row, "state", State::parse)?,
        cause: row.try_get::<Option<String>, _>("cause")?.map(Recorded::cause),
        count: count.unsigned_abs(),
        oldest: timestamp(row.try_get("oldest")?)?,
        first_expiry: optional_timestamp(row, "first_expiry")?,
    })
}
