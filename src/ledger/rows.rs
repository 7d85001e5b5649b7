//! Records and attempts as the ledger stores them.
//!
//! Invariant: these rows hold no personal data in clear text; it is sealed.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::columns::{attempt_id, optional, optional_timestamp, record_id, required, timestamp};
use super::failures::{Failing, failing};
use super::{Ledger, LedgerError, Recorded};
use crate::domain::resolve::AttemptStatus;
use crate::domain::{
    ActionId, AnswerKind, AttemptId, Cause, Dialect, EventKind, OperatorDecision, Reason, RecordAnswer,
    RecordId, RegistrationNumber, RequestId, State, TrackingId, expires_at,
};

/// A write to OpenCRVS that was begun and whose result is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    pub attempt: AttemptId,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    pub id: RecordId,
    pub dialect: Dialect,
    pub kind: EventKind,
    pub tracking_id: TrackingId,
    /// The code of the registration office.
    pub office: Option<String>,
    /// `None` if another record has the number that this record would get, or if the template makes
    /// no usable number.
    pub number: Option<RegistrationNumber>,
    pub request: RequestId,
    pub newest: AttemptId,
    /// The answer that belongs to the record, if the ID system has given one.
    pub answer: Option<RecordAnswer>,
    /// The issued ID, sealed. `None` if no ID was issued, or if it was erased.
    pub sealed_id: Option<String>,
    pub intent: Option<Intent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    pub id: AttemptId,
    /// The kind of event by this attempt. The record has another one if the ID system was asked
    /// before, about that kind.
    pub kind: EventKind,
    /// When the registrar submitted it.
    pub stamp: Timestamp,
    /// Counts from 1; it is 0 for an attempt that is never sent.
    pub submission: u32,
    pub accepted_at: Timestamp,
    /// How long after the acceptance the caller waits for a sync answer.
    pub wait: Duration,
    /// The action to answer (events generation). `None` in a row that an older release
    /// wrote: there only the token names the action.
    pub action: Option<ActionId>,
    /// `None` if the registration came with a service token.
    pub token_expires_at: Option<Timestamp>,
    /// `None` after the value was erased.
    pub sealed_view: Option<String>,
    /// `None` after the value was erased, and for a registration that came with a service token.
    pub sealed_token: Option<String>,
    /// Whether auth's key stopped verifying the token, by the last check of the token keeper.
    pub token_orphaned: bool,
    pub state: State,
    /// The cause of the state, if it has one.
    pub cause: Option<Recorded<Cause>>,
    pub answer: Option<AnswerKind>,
    /// Why the ID system rejected the attempt.
    pub reason: Option<Reason>,
    /// How often the ID system replied `retry`.
    pub retries: u64,
    /// When the next try is due: after a failed one, or after a `retry` reply.
    pub next_try_at: Option<Timestamp>,
    /// The failed tries since the attempt last moved, if there were several in a row.
    pub failing: Option<Failing>,
    /// How an operator last decided about the attempt.
    pub decision: Option<OperatorDecision>,
    /// The trace of the attempt's request (W3C `traceparent`).
    pub trace: Option<String>,
    pub recorded_at: Timestamp,
    /// When the attempt's next message was last published.
    pub published_at: Option<Timestamp>,
    /// When the ID system's queue last accepted the request, or when the ID system last replied
    /// that it is still working on it.
    pub sent_at: Option<Timestamp>,
    /// When OpenCRVS was read before the ID system was asked, and had the registration.
    pub checked_at: Option<Timestamp>,
    /// When OpenCRVS turned out not to have the submission (*absent*).
    pub absent_at: Option<Timestamp>,
}

/// An attempt with its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub record: RecordRow,
    pub attempt: AttemptRow,
}

impl RecordRow {
    /// The record's answer, if it can be given to an attempt. An answer whose ID was erased cannot
    /// be given; the ID system has to be asked again.
    pub fn usable_answer(&self) -> Option<RecordAnswer> {
        self.answer.filter(|answer| *answer != RecordAnswer::Issued || self.sealed_id.is_some())
    }
}

impl AttemptRow {
    /// Minimum age of the attempt, counted from its acceptance, at which the confirmer may write to
    /// OpenCRVS. `confirm_after` is the minimum for an attempt without a waiting caller.
    pub fn earliest_write(&self, confirm_after: Duration) -> Duration {
        self.wait.saturating_add(confirm_after)
    }

    /// Time since the acceptance; zero if this clock is behind the front's.
    pub fn age(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.accepted_at)).unwrap_or_default()
    }

    /// When the attempt's message was last published, or else when the attempt was recorded.
    pub fn last_activity(&self) -> Timestamp {
        self.published_at.unwrap_or(self.recorded_at)
    }
}

impl Case {
    /// Whether the record has no newer attempt.
    pub fn is_newest(&self) -> bool {
        self.record.newest == self.attempt.id
    }

    /// When the attempt expires; see [`expires_at`].
    pub fn expires_at(&self, has_client: bool) -> Option<Timestamp> {
        let Self { record, attempt } = self;
        expires_at(record.dialect, attempt.token_expires_at, has_client)
    }

    /// `expires_at` of the attempt's request to the ID system: `deadline` after the acceptance, or
    /// when the token expires, whichever is first.
    pub fn request_expires_at(&self, deadline: Duration) -> Timestamp {
        let Self { attempt, .. } = self;
        let end = attempt.accepted_at.saturating_add(deadline).unwrap_or(Timestamp::MAX);
        attempt.token_expires_at.map_or(end, |token| token.min(end))
    }

    /// The attempt in the form that the rules of the domain need.
    pub(super) fn status(&self) -> AttemptStatus {
        AttemptStatus { state: self.attempt.state, answer: self.attempt.answer }
    }
}

const CASE: &str = "SELECT r.record_id, r.dialect, r.kind, r.tracking_id, r.office, r.number, r.request_id, \
     r.newest_attempt, r.known, r.sealed_id, r.intent_attempt, r.intent_at, \
     a.attempt_id, COALESCE(a.kind, r.kind) AS attempt_kind, a.stamp, a.submission, a.accepted_at, a.wait_ms, a.action_id, a.token_expires_at, a.sealed_view, \
     a.token_orphaned, a.sealed_token, a.state, a.cause, a.answer, a.reason, a.decision, a.retries, a.trace, \
     a.failure_cause, a.failures, a.failing_since, a.next_try_at, \
     COALESCE(a.recorded_at, a.accepted_at) AS recorded_at, a.published_at, a.sent_at, a.checked_at, a.absent_at \
     FROM attempt a JOIN record r ON r.record_id = a.record_id WHERE a.attempt_id = $1";

impl Ledger {
    /// Reads an attempt with its record.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn case(&self, attempt: AttemptId) -> Result<Option<Case>, LedgerError> {
        let row = sqlx::query(CASE).bind(attempt.to_string()).fetch_optional(&self.pool).await?;
        row.as_ref().map(case).transpose()
    }

    /// Reads the newest attempt of a record, if the ledger has the record.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn newest_attempt(&self, record: &RecordId) -> Result<Option<Case>, LedgerError> {
        let row = sqlx::query(
            "SELECT newest_attempt AS attempt_id FROM record WHERE record_id = $1 AND newest_attempt IS NOT NULL",
        )
        .bind(record.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        self.case(attempt_id(&row)?).await
    }
}

/// Reads an attempt with its record within a transaction.
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
    let intent_at = optional_timestamp(row, "intent_at")?;
    let intent_by = optional(row, "intent_attempt", |text| AttemptId::parse(text).ok())?;
    Ok(RecordRow {
        id: record_id(row)?,
        dialect: required(row, "dialect", Dialect::parse)?,
        kind: required(row, "kind", |text| Some(EventKind::from_name(text)))?,
        tracking_id: required(row, "tracking_id", |text| TrackingId::parse(text).ok())?,
        office: row.try_get("office")?,
        number: optional(row, "number", |text| RegistrationNumber::parse(text).ok())?,
        request: required(row, "request_id", |text| RequestId::parse(text).ok())?,
        newest: required(row, "newest_attempt", |text| AttemptId::parse(text).ok())?,
        answer: optional(row, "known", RecordAnswer::parse)?,
        sealed_id: row.try_get("sealed_id")?,
        intent: intent_by.zip(intent_at).map(|(attempt, at)| Intent { attempt, at }),
    })
}

fn attempt(row: &AnyRow) -> Result<AttemptRow, LedgerError> {
    let submission: i64 = row.try_get("submission")?;
    let wait_ms: i64 = row.try_get("wait_ms")?;
    Ok(AttemptRow {
        id: attempt_id(row)?,
        kind: required(row, "attempt_kind", |text| Some(EventKind::from_name(text)))?,
        stamp: timestamp(row.try_get("stamp")?)?,
        submission: u32::try_from(submission).map_err(|_| LedgerError::Unreadable("submission"))?,
        accepted_at: timestamp(row.try_get("accepted_at")?)?,
        wait: u64::try_from(wait_ms)
            .map(Duration::from_millis)
            .map_err(|_| LedgerError::Unreadable("wait_ms"))?,
        action: optional(row, "action_id", |text| ActionId::parse(text).ok())?,
        token_expires_at: optional_timestamp(row, "token_expires_at")?,
        sealed_view: row.try_get("sealed_view")?,
        sealed_token: row.try_get("sealed_token")?,
        token_orphaned: row.try_get::<i64, _>("token_orphaned")? == 1,
        state: required(row, "state", State::parse)?,
        cause: row.try_get::<Option<String>, _>("cause")?.map(Recorded::cause),
        answer: optional(row, "answer", AnswerKind::parse)?,
        reason: optional(row, "reason", |text| serde_json::from_str(text).ok())?,
        retries: row.try_get::<i64, _>("retries")?.unsigned_abs(),
        next_try_at: optional_timestamp(row, "next_try_at")?,
        failing: failing(row)?,
        decision: optional(row, "decision", |text| serde_json::from_str(text).ok())?,
        trace: row.try_get("trace")?,
        recorded_at: timestamp(row.try_get("recorded_at")?)?,
        published_at: optional_timestamp(row, "published_at")?,
        sent_at: optional_timestamp(row, "sent_at")?,
        checked_at: optional_timestamp(row, "checked_at")?,
        absent_at: optional_timestamp(row, "absent_at")?,
    })
}
