//! Parks an attempt that OpenCRVS does not have, and revives the attempt that it had superseded.
//!
//! Whoever has a token of a record can submit an invented registration with a later time, which
//! supersedes the genuine attempt until OpenCRVS is read.
//!
//! Invariant: the newest attempt of a record is not absent, unless all of them are. Only a
//! superseded attempt is revived, in the state that it had.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::alerts::explain_alert;
use super::columns::{attempt_id, optional_timestamp, required, timestamp};
use super::history::{NewEntry, What};
use super::newest::lead;
use super::rows::{self, Case};
use super::said::{Said, follow};
use super::transition::apply_event;
use super::{Ledger, LedgerError, Stage};
use crate::domain::order::{Ordered, newest, order_stamp};
use crate::domain::resolve::is_orphan;
use crate::domain::{AttemptId, Cause, Event, Mismatch, State, next};

/// An attempt that may become the newest of its record.
struct Candidate {
    id: AttemptId,
    state: State,
    ordered: Ordered,
    /// `None` in a row that an older release wrote.
    said: Option<Said>,
}

/// The result of parking an absent attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reverted {
    /// The attempt that is open again; the caller publishes its next message.
    pub revived: Option<AttemptId>,
    /// Whether an ID was issued that cannot reach OpenCRVS any more.
    pub orphan: bool,
}

impl Ledger {
    /// Parks an attempt whose submission OpenCRVS does not have. The newest of the other attempts
    /// becomes the newest of the record, and is revived if it was superseded.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the attempt has ended; nothing is changed then.
    pub async fn park_absent(
        &self,
        case: &Case,
        stage: Stage,
        cause: Cause,
    ) -> Result<Reverted, LedgerError> {
        let (record, absent) = (case.record.id.as_str(), case.attempt.id);
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.move_attempt(&mut tx, absent, Event::Park, stage, Some(cause)).await?;
        explain_alert(&mut tx, absent, cause, Mismatch::Submission.as_str()).await?;
        sqlx::query("UPDATE attempt SET absent_at = now_ms FROM clock WHERE attempt_id = $1")
            .bind(absent.to_string())
            .execute(&mut *tx)
            .await?;
        let attempts = self.candidates(&mut tx, record).await?;
        let ordered: Vec<Ordered> = attempts.iter().map(|attempt| attempt.ordered).collect();
        let Some(first) = newest(&ordered).and_then(|index| attempts.get(index)) else {
            self.release_number(&mut tx, case, stage).await?;
            tx.commit().await?;
            return Ok(Reverted::default());
        };
        lead(&mut tx, record, first.id, first.ordered.order, 0).await?;
        if let Some(said) = &first.said {
            follow(&mut tx, &case.record.id, said).await?;
        }
        if first.state == State::Superseded {
            self.revive(&mut tx, record, first.id, absent, stage).await?;
        }
        let now = rows::case_in(&mut tx, first.id).await?.ok_or(LedgerError::Missing("attempt"))?;
        let orphan = now.record.answer.is_some_and(|answer| is_orphan(answer, now.status()));
        if orphan {
            let (what, cause) = (What::Event("orphaned"), Some(Cause::OrphanId));
            self.add_entry(&mut tx, NewEntry { record, attempt: Some(first.id), stage, what, cause }).await?;
        }
        tx.commit().await?;
        let is_revived = first.state == State::Superseded && now.attempt.state.is_open();
        Ok(Reverted { revived: is_revived.then_some(first.id), orphan })
    }

    /// Makes an absent attempt the newest of its record again, because an operator says that
    /// OpenCRVS has it after all. Does nothing if the attempt is not absent.
    pub(super) async fn reinstate(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
    ) -> Result<(), LedgerError> {
        let Case { record, attempt } = case;
        if attempt.absent_at.is_none() {
            return Ok(());
        }
        sqlx::query("UPDATE attempt SET absent_at = NULL WHERE attempt_id = $1")
            .bind(attempt.id.to_string())
            .execute(&mut **tx)
            .await?;
        let order = order_stamp(attempt.stamp, attempt.accepted_at, self.stamp_tolerance);
        for one in self.candidates(tx, record.id.as_str()).await? {
            if one.id == attempt.id {
                if let Some(said) = &one.said {
                    follow(tx, &record.id, said).await?;
                }
            } else if one.ordered.order <= order && next(one.state, Event::Supersede).is_ok() {
                self.move_attempt(tx, one.id, Event::Supersede, Stage::Operate, None).await?;
            }
        }
        lead(tx, record.id.as_str(), attempt.id, order, 0).await
    }

    /// Lets other records have the number of a record that OpenCRVS does not have.
    async fn release_number(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        stage: Stage,
    ) -> Result<(), LedgerError> {
        let Some(number) = &case.record.number else { return Ok(()) };
        let record = case.record.id.as_str();
        sqlx::query("UPDATE record SET number = NULL, number_key = NULL WHERE record_id = $1")
            .bind(record.to_owned())
            .execute(&mut **tx)
            .await?;
        let what = What::Event("number_released");
        let entry = NewEntry { record, attempt: Some(case.attempt.id), stage, what, cause: None };
        self.add_explained_entry(tx, entry, Some(number.as_str())).await
    }

    async fn candidates(
        &self,
        tx: &mut Transaction<'static, Any>,
        record: &str,
    ) -> Result<Vec<Candidate>, LedgerError> {
        let rows = sqlx::query(
            "SELECT attempt_id, state, stamp, accepted_at, absent_at, dialect, kind, tracking_id, office \
             FROM attempt WHERE record_id = $1 ORDER BY accepted_at, attempt_id",
        )
        .bind(record.to_owned())
        .fetch_all(&mut **tx)
        .await?;
        let candidate = |row: &AnyRow| {
            let stamp = timestamp(row.try_get("stamp")?)?;
            let accepted_at = timestamp(row.try_get("accepted_at")?)?;
            let order = order_stamp(stamp, accepted_at, self.stamp_tolerance);
            let absent = optional_timestamp(row, "absent_at")?.is_some();
            let state = required(row, "state", State::parse)?;
            let (id, said) = (attempt_id(row)?, Said::in_row(row)?);
            Ok(Candidate { id, state, ordered: Ordered { order, absent }, said })
        };
        rows.iter().map(candidate).collect()
    }

    /// Moves a superseded attempt back to the state that it had. An alert of that state is not
    /// raised again.
    async fn revive(
        &self,
        tx: &mut Transaction<'static, Any>,
        record: &str,
        attempt: AttemptId,
        absent: AttemptId,
        stage: Stage,
    ) -> Result<(), LedgerError> {
        let entry = |what, cause| NewEntry { record, attempt: Some(attempt), stage, what, cause };
        let (before, cause) = state_before(tx, record, attempt).await?;
        let why = format!("OpenCRVS does not have attempt {absent}");
        self.add_explained_entry(tx, entry(What::Event("revived"), None), Some(&why)).await?;
        ensure_submission(tx, record, attempt).await?;
        let row = sqlx::query("SELECT answer FROM attempt WHERE attempt_id = $1")
            .bind(attempt.to_string())
            .fetch_one(&mut **tx)
            .await?;
        let answered = row.try_get::<Option<String>, _>("answer")?.is_some();
        let (_, to) = apply_event(tx, attempt, Event::Revive { before, answered }, cause).await?;
        self.insert_entry(tx, &entry(What::Moved(to), cause), None).await?;
        // The message of the attempt may be gone, so the sweeper must find the attempt: a `sent_at`
        // before `published_at` means that the ID system is to be asked again.
        super::asking::publish_now(tx, attempt).await
    }
}

/// The state that an attempt had before it was superseded, with its cause. For an attempt that was
/// superseded when it arrived, it is *received*.
async fn state_before(
    tx: &mut Transaction<'static, Any>,
    record: &str,
    attempt: AttemptId,
) -> Result<(State, Option<Cause>), LedgerError> {
    let rows = sqlx::query(
        "SELECT what, cause FROM history WHERE record_id = $1 AND attempt_id = $2 ORDER BY at DESC, entry_id DESC",
    )
    .bind(record.to_owned())
    .bind(attempt.to_string())
    .fetch_all(&mut **tx)
    .await?;
    for row in &rows {
        let what: String = row.try_get("what")?;
        if let Some(state) = State::parse(&what).filter(|state| *state != State::Superseded) {
            let cause: Option<String> = row.try_get("cause")?;
            return Ok((state, cause.as_deref().and_then(Cause::parse)));
        }
    }
    Ok((State::Received, None))
}

/// Gives an attempt that was superseded when it arrived the next submission number.
async fn ensure_submission(
    tx: &mut Transaction<'static, Any>,
    record: &str,
    attempt: AttemptId,
) -> Result<(), LedgerError> {
    let numbered = sqlx::query(
        "UPDATE attempt SET submission = (SELECT submissions + 1 FROM record WHERE record_id = $2) \
         WHERE attempt_id = $1 AND submission = 0",
    )
    .bind(attempt.to_string())
    .bind(record.to_owned())
    .execute(&mut **tx)
    .await?;
    if numbered.rows_affected() == 1 {
        sqlx::query("UPDATE record SET submissions = submissions + 1 WHERE record_id = $1")
            .bind(record.to_owned())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
