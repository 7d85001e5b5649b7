//! Resumes a parked attempt for an operator.
//!
//! Invariant: the attempt goes on where it stopped; the record's lease, intent and quarantine stay
//! as they are; the history says who resumed it and why.

use sqlx::{Any, Row as _, Transaction};
use uuid::Uuid;

use super::number::{Allocation, ensure_number};
use super::rows::{self, Case};
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, Event, NumberRules, RecordId, State, next};

/// The result of resuming an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// The attempt goes on; the caller publishes its next message.
    Open(Box<Case>),
    /// The attempt is not parked but in this state.
    NotParked(State),
    /// The token has expired, so OpenCRVS could not be told the answer.
    TokenExpired,
    /// Another record, this one, has the number that the attempt's record would get; `None` if the
    /// template makes no usable number.
    NumberTaken(Option<RecordId>),
    /// The ledger has no such attempt.
    Unknown,
}

impl Ledger {
    /// Returns what [`Ledger::resume`] would return, without changing anything. It does not check
    /// whether the number is taken.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn check_resume(&self, attempt: AttemptId, has_client: bool) -> Result<Resumed, LedgerError> {
        let Some(case) = self.case(attempt).await? else { return Ok(Resumed::Unknown) };
        let now = self.now().await?;
        // `asked` decides only which state comes next, not whether the event is legal.
        let event = Event::Resume { asked: false, answered: case.attempt.answer.is_some() };
        Ok(if next(case.attempt.state, event).is_err() {
            Resumed::NotParked(case.attempt.state)
        } else if case.expires_at(has_client).is_some_and(|end| end <= now) {
            Resumed::TokenExpired
        } else {
            Resumed::Open(Box::new(case))
        })
    }

    /// Resumes a parked attempt, unless it has expired ([`Case::expires_at`]). A record that has no
    /// number yet gets one from `numbers`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn resume(
        &self,
        attempt: AttemptId,
        numbers: &NumberRules,
        has_client: bool,
        why: &str,
    ) -> Result<Resumed, LedgerError> {
        let check = self.check_resume(attempt, has_client).await?;
        let Resumed::Open(case) = check else { return Ok(check) };
        let mut tx = self.on_record(case.record.id.as_str()).await?.ok_or(LedgerError::Missing("record"))?;
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let asked = was_asked(&mut tx, attempt).await?;
        let event = Event::Resume { asked, answered: case.attempt.answer.is_some() };
        // The attempt may have moved between the check and this transaction.
        if next(case.attempt.state, event).is_err() {
            tx.rollback().await?;
            return Ok(Resumed::NotParked(case.attempt.state));
        }
        self.reinstate(&mut tx, &case).await?;
        match ensure_number(&mut tx, attempt, numbers).await? {
            Allocation::Numbered => {}
            Allocation::Taken(owner) => {
                tx.rollback().await?;
                return Ok(Resumed::NumberTaken(Some(owner)));
            }
            Allocation::Unusable => {
                tx.rollback().await?;
                return Ok(Resumed::NumberTaken(None));
            }
        }
        self.add_operator_entry(&mut tx, &case, "resumed", why).await?;
        self.move_attempt(&mut tx, attempt, event, Stage::Operate, None).await?;
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(Resumed::Open(Box::new(case)))
    }

    /// Adds an entry about what an operator did, with the attempt's cause so far.
    pub(super) async fn add_operator_entry(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        what: &'static str,
        why: &str,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO history (entry_id, record_id, attempt_id, at, stage, what, cause, who, why) \
             VALUES ($1, $2, $3, (SELECT now_ms FROM clock), $4, $8, $5, $6, $7)",
        )
        .bind(Uuid::now_v7().to_string())
        .bind(case.record.id.to_string())
        .bind(case.attempt.id.to_string())
        .bind(Stage::Operate.as_str())
        .bind(case.attempt.cause.as_ref().map(|cause| cause.as_str().to_owned()))
        .bind(self.who.to_string())
        .bind(why.to_owned())
        .bind(what)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// Whether the ID system was ever asked about the attempt.
pub(super) async fn was_asked(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<bool, LedgerError> {
    let row = sqlx::query("SELECT asked_at FROM attempt WHERE attempt_id = $1")
        .bind(attempt.to_string())
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get::<Option<i64>, _>("asked_at")?.is_some())
}
