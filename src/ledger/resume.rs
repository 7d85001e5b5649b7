//! An operator lets a parked attempt go on.
//!
//! Invariant: it goes on where it stopped, along `domain::next` and by compare-and-set; the
//! record's lease, write intent and quarantine are left as they are; who did it and why is in the
//! history.

use sqlx::{Any, Row as _, Transaction};
use uuid::Uuid;

use super::receive::allocate;
use super::rows::{self, Case};
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, AttemptKey, Cause, Event, NumberTemplate, Registration, State, next};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// It goes on; its next hop is to be published.
    Open(Box<Case>),
    /// It does not stand where it could go on from.
    NotParked(State),
    /// Its token is dead: whatever came of it, OpenCRVS could not be told.
    TokenDead,
    /// Another record has the number that it would get.
    NumberTaken,
    /// The ledger has no such attempt.
    Unknown,
}

impl Ledger {
    /// Says what [`Ledger::resume`] would do, and does nothing.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn check_resume(&self, attempt: AttemptId) -> Result<Resumed, LedgerError> {
        let Some(case) = self.case(attempt).await? else { return Ok(Resumed::Unknown) };
        let now = self.now().await?;
        let event = Event::Resume { asked: false, answered: case.attempt.answer.is_some() };
        Ok(if next(case.attempt.state, event).is_err() {
            Resumed::NotParked(case.attempt.state)
        } else if case.attempt.token_expires_at <= now {
            Resumed::TokenDead
        } else {
            Resumed::Open(Box::new(case))
        })
    }

    /// Lets a parked attempt go on where it stopped. A record that could not be given a number gets
    /// one by `numbers`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn resume(
        &self,
        attempt: AttemptId,
        numbers: &NumberTemplate,
        why: &str,
    ) -> Result<Resumed, LedgerError> {
        let would = self.check_resume(attempt).await?;
        let Resumed::Open(case) = would else { return Ok(would) };
        let mut tx = self.on_record(case.record.id.as_str()).await?.ok_or(LedgerError::Missing("record"))?;
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let asked = asked(&mut tx, attempt).await?;
        let event = Event::Resume { asked, answered: case.attempt.answer.is_some() };
        if next(case.attempt.state, event).is_err() {
            tx.rollback().await?;
            return Ok(Resumed::NotParked(case.attempt.state));
        }
        if case.record.number.is_none() {
            let registration = registration(&case);
            let number = numbers.fill(&registration).map_err(|_| LedgerError::Unreadable("tracking id"))?;
            if !allocate(&mut tx, &registration, &number).await? {
                tx.rollback().await?;
                return Ok(Resumed::NumberTaken);
            }
        }
        self.tell_why(&mut tx, &case, why).await?;
        self.shift(&mut tx, attempt, event, Stage::Operate, None).await?;
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(Resumed::Open(Box::new(case)))
    }

    async fn tell_why(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        why: &str,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO history (entry_id, record_id, attempt_id, at, stage, what, cause, who, why) \
             VALUES ($1, $2, $3, (SELECT now_ms FROM clock), $4, 'resumed', $5, $6, $7)",
        )
        .bind(Uuid::now_v7().to_string())
        .bind(case.record.id.to_string())
        .bind(case.attempt.id.to_string())
        .bind(Stage::Operate.as_str())
        .bind(case.attempt.cause.as_deref().and_then(Cause::parse).map(Cause::as_str))
        .bind(self.who.to_string())
        .bind(why.to_owned())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

pub(super) async fn asked(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
) -> Result<bool, LedgerError> {
    let row = sqlx::query("SELECT asked_at FROM attempt WHERE attempt_id = $1")
        .bind(attempt.to_string())
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get::<Option<i64>, _>("asked_at")?.is_some())
}

/// What of the registration a number is made from.
fn registration(case: &Case) -> Registration {
    let Case { record, attempt } = case;
    Registration {
        key: AttemptKey {
            dialect: record.dialect,
            record: record.id.clone(),
            mark: String::new(),
            stamp: attempt.stamp,
        },
        kind: record.kind.clone(),
        tracking_id: record.tracking_id.clone(),
        office: record.office.clone(),
        accepted_at: attempt.accepted_at,
        wait: attempt.wait,
        token_expires_at: attempt.token_expires_at,
        number: None,
    }
}
