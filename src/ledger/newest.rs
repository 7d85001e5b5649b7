//! The newest attempt of a record.
//!
//! Invariant: only this module writes which attempt is the newest.

use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::columns::{attempt_id, timestamp};
use super::receive::Winner;
use super::{Ledger, LedgerError};
use crate::domain::AttemptId;
use crate::domain::order::{is_believable, order_stamp};

/// The newest attempt of a record, and the time that orders it.
pub(super) struct Newest {
    pub(super) winner: Winner,
    pub(super) order: Timestamp,
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
