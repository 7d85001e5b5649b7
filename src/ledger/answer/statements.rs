//! The SQL statements with which a reply is applied, within the transaction on its record.

use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::{SealedId, VendorReply};
use crate::domain::resolve::{Owner, ReplyKind};
use crate::domain::{AnswerKind, AttemptId, Reason, RecordAnswer, RecordId};
use crate::ledger::LedgerError;
use crate::ledger::columns::{attempt_id, optional_timestamp, record_id};
use crate::ledger::rows::{self, Case};

/// What the history says of the first `retry` reply to an attempt.
pub(super) const ASKED_TO_RETRY: &str = "asked_to_retry";
/// What the history says when an operator is alerted to `retry` replies.
pub(super) const ASKED_TOO_OFTEN: &str = "asked_too_often";

pub(in crate::ledger) async fn write_answer(
    tx: &mut Transaction<'static, Any>,
    case: &Case,
    kind: AnswerKind,
    reason: Option<&Reason>,
) -> Result<(), LedgerError> {
    let text = reason.map(serde_json::to_string).transpose();
    sqlx::query("UPDATE attempt SET answer = $2, reason = $3 WHERE attempt_id = $1")
        .bind(case.attempt.id.to_string())
        .bind(kind.as_str())
        .bind(text.map_err(|_| LedgerError::Unreadable("reason"))?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The reply in the form that the rules of the domain need. The record that already has an issued
/// ID is found by the fingerprint of the ID.
pub(in crate::ledger) async fn reply_kind(
    tx: &mut Transaction<'static, Any>,
    addressed: &Case,
    reply: &VendorReply,
) -> Result<ReplyKind, LedgerError> {
    Ok(match reply {
        VendorReply::Issued(id) => ReplyKind::Issued(match owner(tx, addressed, id).await? {
            None => Owner::Nobody,
            Some(owner) if owner == addressed.record.id => Owner::ThisRecord,
            Some(_) => Owner::AnotherRecord,
        }),
        VendorReply::Recorded => ReplyKind::Recorded,
        VendorReply::Rejected(_) => ReplyKind::Rejected,
        VendorReply::Retry => ReplyKind::Retry,
        VendorReply::Pending => ReplyKind::Pending,
    })
}

/// The record that has this ID, in whichever spelling. If an earlier release let the ID pass to
/// several records, another record than the addressed one.
pub(in crate::ledger) async fn owner(
    tx: &mut Transaction<'static, Any>,
    addressed: &Case,
    id: &SealedId,
) -> Result<Option<RecordId>, LedgerError> {
    let [given, cleaned] = &id.earlier_fingerprints;
    let row = sqlx::query(
        "SELECT record_id FROM record WHERE id_fingerprint IN ($1, $2, $3) \
         ORDER BY CASE WHEN record_id = $4 THEN 1 ELSE 0 END LIMIT 1",
    )
    .bind(id.fingerprint.as_str())
    .bind(given.as_str())
    .bind(cleaned.as_str())
    .bind(addressed.record.id.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(record_id).transpose()
}

pub(in crate::ledger) async fn write_record_answer(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
    answer: RecordAnswer,
    reply: &VendorReply,
) -> Result<(), LedgerError> {
    sqlx::query("UPDATE record SET known = $2 WHERE record_id = $1")
        .bind(record.as_str())
        .bind(answer.kind().as_str())
        .execute(&mut **tx)
        .await?;
    let VendorReply::Issued(id) = reply else { return Ok(()) };
    sqlx::query("UPDATE record SET sealed_id = $2, id_fingerprint = $3 WHERE record_id = $1")
        .bind(record.as_str())
        .bind(id.sealed.as_str())
        .bind(id.fingerprint.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The two attempts that a reply concerns, which may be the same.
pub(super) struct AddressedCases {
    pub(super) addressed: Case,
    /// The record's newest attempt.
    pub(super) newest: Case,
}

pub(super) async fn addressed_cases(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
    submission: u32,
) -> Result<Option<AddressedCases>, LedgerError> {
    let row = sqlx::query(
        "SELECT attempt_id FROM attempt WHERE record_id = $1 AND submission = $2 AND submission > 0",
    )
    .bind(record.as_str())
    .bind(i64::from(submission))
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id = attempt_id(&row)?;
    let Some(addressed) = rows::case_in(tx, id).await? else { return Ok(None) };
    let newest = rows::case_in(tx, addressed.record.newest).await?;
    Ok(newest.map(|newest| AddressedCases { addressed, newest }))
}

/// Whether the record was once asked about under this submission, which no attempt has any more
/// because an operator had the ID system asked again.
pub(super) async fn outdated(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
    submission: u32,
) -> Result<bool, LedgerError> {
    let row = sqlx::query("SELECT submissions FROM record WHERE record_id = $1")
        .bind(record.as_str())
        .fetch_one(&mut **tx)
        .await?;
    let submissions: i64 = row.try_get("submissions")?;
    Ok(submission > 0 && i64::from(submission) <= submissions)
}

/// Counts a `retry` reply. Returns the count, and the time of the first one if the history has it.
pub(super) async fn add_retry(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<(u64, Option<Timestamp>), LedgerError> {
    sqlx::query("UPDATE attempt SET retries = retries + 1 WHERE attempt_id = $1")
        .bind(attempt.to_string())
        .execute(&mut **tx)
        .await?;
    let row = sqlx::query(
        "SELECT a.retries, (SELECT MAX(h.at) FROM history h WHERE h.record_id = a.record_id \
             AND h.attempt_id = a.attempt_id AND h.what = $2) AS first_at \
         FROM attempt a WHERE a.attempt_id = $1",
    )
    .bind(attempt.to_string())
    .bind(ASKED_TO_RETRY)
    .fetch_one(&mut **tx)
    .await?;
    let count: i64 = row.try_get("retries")?;
    let first = optional_timestamp(&row, "first_at")?;
    // After an operator had the ID system asked again, the count begins anew.
    Ok((count.unsigned_abs(), first.filter(|_| count > 1)))
}

/// Whether an operator was alerted to the attempt's `retry` replies before.
pub(super) async fn is_alerted(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<bool, LedgerError> {
    let row = sqlx::query(
        "SELECT 1 AS one FROM history h JOIN attempt a ON a.record_id = h.record_id \
         AND a.attempt_id = h.attempt_id WHERE a.attempt_id = $1 AND h.what = $2",
    )
    .bind(attempt.to_string())
    .bind(ASKED_TOO_OFTEN)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.is_some())
}
