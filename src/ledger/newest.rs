//! The newest attempt of a record, and what it says of the record.
//!
//! Invariant: dialect, tracking id and office of a record are those of its newest attempt. So are
//! its kind of event, its request id and its number, until the ID system is asked about the record
//! or the record has an answer.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::columns::{attempt_id, optional, required, timestamp};
use super::receive::Winner;
use super::{Ledger, LedgerError};
use crate::domain::order::{is_believable, order_stamp};
use crate::domain::{AttemptId, Dialect, EventKind, RecordId, Registration, RequestId, TrackingId};

/// The newest attempt of a record, and the time that orders it.
pub(super) struct Newest {
    pub(super) winner: Winner,
    pub(super) order: Timestamp,
}

/// What an attempt says of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) dialect: Dialect,
    pub(super) kind: EventKind,
    pub(super) tracking_id: TrackingId,
    pub(super) office: Option<String>,
}

impl Said {
    pub(super) fn by(registration: &Registration) -> Self {
        Self {
            dialect: registration.key.dialect,
            kind: registration.kind.clone(),
            tracking_id: registration.tracking_id.clone(),
            office: registration.office.clone(),
        }
    }

    /// `None` in a row that an older release wrote.
    pub(super) fn in_row(row: &AnyRow) -> Result<Option<Self>, LedgerError> {
        let Some(dialect) = optional(row, "dialect", Dialect::parse)? else { return Ok(None) };
        Ok(Some(Self {
            dialect,
            kind: required(row, "kind", |text| Some(EventKind::from_name(text)))?,
            tracking_id: required(row, "tracking_id", |text| TrackingId::parse(text).ok())?,
            office: row.try_get("office")?,
        }))
    }
}

impl Ledger {
    /// The number of submissions of a record, and its newest attempt, unless that one is absent.
    ///
    /// An older release stored the stamp of the newest attempt even if it lay in the future, so the
    /// stored time is judged again.
    pub(super) async fn newest_in(
        &self,
        tx: &mut Transaction<'static, Any>,
        record: &str,
    ) -> Result<(i64, Option<Newest>), LedgerError> {
        let row = sqlx::query(
            "SELECT r.submissions, a.absent_at, r.newest_stamp, a.attempt_id, a.stamp, a.accepted_at FROM record r \
             LEFT JOIN attempt a ON a.attempt_id = r.newest_attempt WHERE r.record_id = $1",
        )
        .bind(record.to_owned())
        .fetch_one(&mut **tx)
        .await?;
        let submissions = row.try_get("submissions")?;
        let ordered = row.try_get::<Option<i64>, _>("newest_stamp")?;
        let is_absent = row.try_get::<Option<i64>, _>("absent_at")?.is_some();
        let Some(ordered) = ordered.filter(|_| !is_absent) else {
            return Ok((submissions, None));
        };
        let (stamp, accepted_at) =
            (timestamp(row.try_get("stamp")?)?, timestamp(row.try_get("accepted_at")?)?);
        let from_future = !is_believable(stamp, accepted_at, self.stamp_tolerance);
        let order = order_stamp(timestamp(ordered)?, accepted_at, self.stamp_tolerance);
        let winner = Winner { attempt: attempt_id(&row)?, stamp, from_future };
        Ok((submissions, Some(Newest { winner, order })))
    }
}

/// Makes an attempt the newest of its record, and adds `adds` to the number of submissions.
pub(super) async fn lead(
    tx: &mut Transaction<'static, Any>,
    record: &str,
    attempt: AttemptId,
    order: Timestamp,
    adds: i64,
) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE record SET newest_attempt = $2, newest_stamp = $3, submissions = submissions + $4 \
         WHERE record_id = $1",
    )
    .bind(record.to_owned())
    .bind(attempt.to_string())
    .bind(order.as_millisecond())
    .bind(adds)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets a record say what an attempt says. A record that said something else loses its number,
/// which may be made from that. Kind of event, request id and number stay once the ID system was
/// asked or the record has an answer; a number that the country gave stays with the tracking id.
pub(super) async fn follow(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
    said: &Said,
) -> Result<(), LedgerError> {
    let row = sqlx::query(
        "SELECT r.dialect, r.kind, r.tracking_id, r.office, \
         CASE WHEN EXISTS (SELECT 1 FROM attempt a WHERE a.record_id = r.record_id \
         AND (a.asked_at IS NOT NULL OR a.answer IS NOT NULL)) THEN 1 ELSE 0 END AS fixed, \
         CASE WHEN EXISTS (SELECT 1 FROM attempt a WHERE a.record_id = r.record_id \
         AND a.given_number = r.number AND a.absent_at IS NULL) THEN 1 ELSE 0 END AS given \
         FROM record r WHERE r.record_id = $1",
    )
    .bind(record.to_string())
    .fetch_one(&mut **tx)
    .await?;
    let before = Said::in_row(&row)?;
    if before.as_ref() == Some(said) {
        return Ok(());
    }
    let is = |column| row.try_get::<i32, _>(column).map(|is| is == 1);
    sqlx::query("UPDATE record SET dialect = $2, tracking_id = $3, office = $4 WHERE record_id = $1")
        .bind(record.to_string())
        .bind(said.dialect.as_str())
        .bind(said.tracking_id.to_string())
        .bind(said.office.clone())
        .execute(&mut **tx)
        .await?;
    if is("fixed")? {
        return Ok(());
    }
    sqlx::query("UPDATE record SET kind = $2, request_id = $3 WHERE record_id = $1")
        .bind(record.to_string())
        .bind(said.kind.as_str().to_owned())
        .bind(RequestId::of(record, &said.kind).to_string())
        .execute(&mut **tx)
        .await?;
    let names_the_same =
        before.is_some_and(|before| before.tracking_id == said.tracking_id && before.kind == said.kind);
    if !(is("given")? && names_the_same) {
        sqlx::query("UPDATE record SET number = NULL, number_key = NULL WHERE record_id = $1")
            .bind(record.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
