//! Rows of the ledger, read into types that cannot be wrong.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::{Ledger, LedgerError};
use crate::domain::resolve::AttemptStatus;
use crate::domain::{
    AnswerKind, AttemptId, Cause, Dialect, EventKind, Reason, RecordAnswer, RecordId, RegistrationNumber,
    RequestId, State, TrackingId,
};

/// A write to OpenCRVS that was begun and whose end is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// For which attempt.
    pub attempt: AttemptId,
    /// When, by the ledger's clock.
    pub at: Timestamp,
}

/// A record. Holds no personal data in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The record in OpenCRVS.
    pub id: RecordId,
    /// Who must be answered.
    pub dialect: Dialect,
    /// What happened.
    pub kind: EventKind,
    /// The family's code.
    pub tracking_id: TrackingId,
    /// The office's code.
    pub office: Option<String>,
    /// The number; `None` only where another record has it.
    pub number: Option<RegistrationNumber>,
    /// What the ID system knows the record by.
    pub request: RequestId,
    /// The newest attempt.
    pub newest: AttemptId,
    /// What the ID system has said for good.
    pub answer: Option<RecordAnswer>,
    /// The issued ID, sealed.
    pub sealed_id: Option<String>,
    /// A write that was begun.
    pub intent: Option<Intent>,
}

/// An attempt. Holds no personal data in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its id.
    pub id: AttemptId,
    /// When the registrar submitted it.
    pub stamp: Timestamp,
    /// Its number towards the ID system, from 1; 0 when it is never sent.
    pub submission: u32,
    /// When the front took it.
    pub accepted_at: Timestamp,
    /// How long after that the front holds the caller for the answer.
    pub wait: Duration,
    /// When its token dies.
    pub token_expires_at: Timestamp,
    /// The view, sealed; `None` once erased.
    pub sealed_view: Option<String>,
    /// The token, sealed; `None` once erased.
    pub sealed_token: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why it stands there, where there is a cause.
    pub cause: Option<String>,
    /// The kind of its answer.
    pub answer: Option<AnswerKind>,
    /// Why it was rejected.
    pub reason: Option<Reason>,
    /// The trace that its request went out in (`traceparent`).
    pub trace: Option<String>,
    /// When it was put on record.
    pub recorded_at: Timestamp,
    /// When its next hop was published last.
    pub published_at: Option<Timestamp>,
    /// When the ID system's queue took its request last, or the ID system said that it is still at
    /// it.
    pub sent_at: Option<Timestamp>,
}

/// An attempt with its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The record.
    pub record: RecordRow,
    /// The attempt.
    pub attempt: AttemptRow,
}

impl RecordRow {
    /// What the ID system has said for good, if it can still be told: an ID that was erased must be
    /// asked for again.
    pub fn usable_answer(&self) -> Option<RecordAnswer> {
        self.answer.filter(|known| *known != RecordAnswer::Issued || self.sealed_id.is_some())
    }
}

impl AttemptRow {
    /// How long after its acceptance OpenCRVS may be written to, where that is `confirm_after` for
    /// one that nobody waits for.
    pub fn earliest_write(&self, confirm_after: Duration) -> Duration {
        self.wait.saturating_add(confirm_after)
    }

    /// Time since the acceptance; zero where this clock runs behind the front's.
    pub fn age(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.accepted_at)).unwrap_or_default()
    }

    /// When it was last heard of.
    pub fn last_activity(&self) -> Timestamp {
        self.published_at.unwrap_or(self.recorded_at)
    }
}

impl Case {
    /// Whether no newer attempt of the record was recorded.
    pub fn is_newest(&self) -> bool {
        self.record.newest == self.attempt.id
    }

    /// The attempt as the rules see it.
    pub(super) fn status(&self) -> AttemptStatus {
        AttemptStatus { state: self.attempt.state, answer: self.attempt.answer }
    }
}

const CASE: &str = "SELECT r.record_id, r.dialect, r.kind, r.tracking_id, r.office, r.number, r.request_id, \
     r.newest_attempt, r.known, r.sealed_id, r.intent_attempt, r.intent_at, \
     a.attempt_id, a.stamp, a.submission, a.accepted_at, a.wait_ms, a.token_expires_at, a.sealed_view, a.sealed_token, \
     a.state, a.cause, a.answer, a.reason, a.trace, COALESCE(a.recorded_at, a.accepted_at) AS recorded_at, \
     a.published_at, a.sent_at \
     FROM attempt a JOIN record r ON r.record_id = a.record_id WHERE a.attempt_id = $1";

impl Ledger {
    /// An attempt with its record, as they stand now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn case(&self, attempt: AttemptId) -> Result<Option<Case>, LedgerError> {
        let row = sqlx::query(CASE).bind(attempt.to_string()).fetch_optional(&self.pool).await?;
        row.as_ref().map(case).transpose()
    }
}

/// The same within a transaction.
pub(super) async fn case_in(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<Option<Case>, LedgerError> {
    let row = sqlx::query(CASE).bind(attempt.to_string()).fetch_optional(&mut **tx).await?;
    row.as_ref().map(case).transpose()
}

fn case(row: &AnyRow) -> Result<Case, LedgerError> {
    Ok(Case { record: record(row)?, attempt: attempt(row)? })
}

fn record(row: &AnyRow) -> Result<RecordRow, LedgerError> {
    let intent_at: Option<i64> = row.try_get("intent_at")?;
    let intent_by = optional(row, "intent_attempt", |text| AttemptId::parse(text).ok())?;
    Ok(RecordRow {
        id: required(row, "record_id", |text| RecordId::parse(text).ok())?,
        dialect: required(row, "dialect", Dialect::parse)?,
        kind: required(row, "kind", |text| Some(EventKind::from_name(text)))?,
        tracking_id: required(row, "tracking_id", |text| TrackingId::parse(text).ok())?,
        office: row.try_get("office")?,
        number: optional(row, "number", |text| RegistrationNumber::parse(text).ok())?,
        request: required(row, "request_id", |text| RequestId::parse(text).ok())?,
        newest: required(row, "newest_attempt", |text| AttemptId::parse(text).ok())?,
        answer: optional(row, "known", RecordAnswer::parse)?,
        sealed_id: row.try_get("sealed_id")?,
        intent: match (intent_by, intent_at) {
            (Some(attempt), Some(at)) => Some(Intent { attempt, at: timestamp(at)? }),
            _ => None,
        },
    })
}

fn attempt(row: &AnyRow) -> Result<AttemptRow, LedgerError> {
    let submission: i64 = row.try_get("submission")?;
    Ok(AttemptRow {
        id: required(row, "attempt_id", |text| AttemptId::parse(text).ok())?,
        stamp: timestamp(row.try_get("stamp")?)?,
        submission: u32::try_from(submission).map_err(|_| LedgerError::Unreadable("submission"))?,
        accepted_at: timestamp(row.try_get("accepted_at")?)?,
        wait: Duration::from_millis(
            u64::try_from(row.try_get::<i64, _>("wait_ms")?)
                .map_err(|_| LedgerError::Unreadable("wait_ms"))?,
        ),
        token_expires_at: timestamp(row.try_get("token_expires_at")?)?,
        sealed_view: row.try_get("sealed_view")?,
        sealed_token: row.try_get("sealed_token")?,
        state: required(row, "state", State::parse)?,
        cause: row.try_get("cause")?,
        answer: optional(row, "answer", AnswerKind::parse)?,
        reason: optional(row, "reason", |text| serde_json::from_str(text).ok())?,
        trace: row.try_get("trace")?,
        recorded_at: timestamp(row.try_get("recorded_at")?)?,
        published_at: row.try_get::<Option<i64>, _>("published_at")?.map(timestamp).transpose()?,
        sent_at: row.try_get::<Option<i64>, _>("sent_at")?.map(timestamp).transpose()?,
    })
}

/// Names a cause's text as it stands in the ledger.
pub(super) fn cause_text(cause: Option<Cause>) -> Option<&'static str> {
    cause.map(Cause::as_str)
}

pub(super) fn timestamp(ms: i64) -> Result<Timestamp, LedgerError> {
    Timestamp::from_millisecond(ms).map_err(|_| LedgerError::Unreadable("time"))
}

/// The attempt that a row names.
pub(super) fn attempt_id(row: &AnyRow) -> Result<AttemptId, LedgerError> {
    required(row, "attempt_id", |text| AttemptId::parse(text).ok())
}

/// The attempts that rows name.
pub(super) fn attempts(found: &[AnyRow]) -> Result<Vec<AttemptId>, LedgerError> {
    found.iter().map(attempt_id).collect()
}

/// A number of rows as SQL takes it.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

impl Ledger {
    /// The attempts that a query finds after `$1` in the order of their ids, `$2` of them at most.
    pub(super) async fn page(
        &self,
        query: &'static str,
        after: Option<AttemptId>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        attempts(&sqlx::query(query).bind(after).bind(limit(most)).fetch_all(&self.pool).await?)
    }
}

pub(super) fn required<T>(
    row: &AnyRow,
    column: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, LedgerError> {
    let text: String = row.try_get(column)?;
    read(&text).ok_or(LedgerError::Unreadable(column))
}

pub(super) fn optional<T>(
    row: &AnyRow,
    column: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, LedgerError> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| read(&text).ok_or(LedgerError::Unreadable(column))).transpose()
}
