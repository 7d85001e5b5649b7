//! Taking a registration in: the record, its number, its attempt, and what a newer attempt does to
//! the older ones.
//!
//! Invariant: one number per record, allocated once; one submission number per attempt that will be
//! sent; a repeat of the same attempt changes nothing.

use sqlx::{Any, Row as _, Transaction};

use super::history::Note;
use super::rows::{self, Case, cause_text, required};
use super::{Ledger, LedgerError, Stage};
use crate::domain::lease::supersedes;
use crate::domain::{AttemptId, Cause, Event, Registration, RegistrationNumber, RequestId, State, next};

/// What came of taking a registration in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The attempt as it stands.
    pub case: Case,
    /// Whether this call put it there; a repeat finds it.
    pub fresh: bool,
}

impl Ledger {
    /// Puts an attempt on record. `number` is used if the record has none yet.
    ///
    /// An attempt that is newer than all others of its record supersedes those that have not ended;
    /// an older one is recorded as superseded. Without a free number the attempt is parked.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn receive(
        &self,
        registration: &Registration,
        number: &RegistrationNumber,
        sealed_view: &str,
        sealed_token: &str,
    ) -> Result<Receipt, LedgerError> {
        let key = &registration.key;
        self.ensure_record(registration).await?;
        let mut tx = self.on_record(key.record.as_str()).await?.ok_or(LedgerError::Missing("record"))?;
        if let Some(case) = rows::case_in(&mut tx, key.id()).await? {
            tx.rollback().await?;
            return Ok(Receipt { case, fresh: false });
        }
        let numbered = allocate(&mut tx, registration, number).await?;
        let newest = self.insert_attempt(&mut tx, registration, sealed_view, sealed_token).await?;
        if newest && !numbered {
            self.shift(&mut tx, key.id(), Event::Park, Stage::Record, Some(Cause::NumberTaken)).await?;
        }
        let case = rows::case_in(&mut tx, key.id()).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(Receipt { case, fresh: true })
    }

    async fn ensure_record(&self, registration: &Registration) -> Result<(), LedgerError> {
        let key = &registration.key;
        let known = sqlx::query("SELECT 1 AS one FROM record WHERE record_id = $1")
            .bind(key.record.as_str())
            .fetch_optional(&self.pool)
            .await?;
        if known.is_some() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO record (record_id, dialect, kind, tracking_id, office, request_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, (SELECT now_ms FROM clock)) ON CONFLICT DO NOTHING",
        )
        .bind(key.record.as_str())
        .bind(key.dialect.as_str())
        .bind(registration.kind.as_str())
        .bind(registration.tracking_id.as_str())
        .bind(registration.office.clone())
        .bind(RequestId::of(&key.record, &registration.kind).to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Inserts the attempt and says whether it is the newest of its record.
    async fn insert_attempt(
        &self,
        tx: &mut Transaction<'static, Any>,
        registration: &Registration,
        sealed_view: &str,
        sealed_token: &str,
    ) -> Result<bool, LedgerError> {
        let key = &registration.key;
        let id = key.id();
        let row = sqlx::query("SELECT submissions, newest_stamp FROM record WHERE record_id = $1")
            .bind(key.record.as_str())
            .fetch_one(&mut **tx)
            .await?;
        let (submissions, stamp): (i64, Option<i64>) =
            (row.try_get("submissions")?, row.try_get("newest_stamp")?);
        let ours = key.stamp.as_millisecond();
        let newest = supersedes(rows::timestamp(ours)?, stamp.map(rows::timestamp).transpose()?);
        let state = if newest { State::Received } else { State::Superseded };
        if newest {
            self.supersede_older(tx, registration).await?;
            sqlx::query(
                "UPDATE record SET submissions = $2, newest_stamp = $3, newest_attempt = $4 WHERE record_id = $1",
            )
            .bind(key.record.as_str())
            .bind(submissions + 1)
            .bind(ours)
            .bind(id.to_string())
            .execute(&mut **tx)
            .await?;
        }
        sqlx::query(
            "INSERT INTO attempt (attempt_id, record_id, stamp, submission, accepted_at, token_expires_at, \
             sealed_view, sealed_token, state, wait_ms, recorded_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, (SELECT now_ms FROM clock))",
        )
        .bind(id.to_string())
        .bind(key.record.as_str())
        .bind(ours)
        .bind(if newest { submissions + 1 } else { 0 })
        .bind(registration.accepted_at.as_millisecond())
        .bind(registration.token_expires_at.as_millisecond())
        .bind(sealed_view)
        .bind(sealed_token)
        .bind(state.as_str())
        .bind(i64::try_from(registration.wait.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
        let note = Note {
            record: key.record.as_str(),
            attempt: Some(id),
            stage: Stage::Record,
            what: state.as_str(),
            cause: None,
        };
        self.note(tx, note).await?;
        Ok(newest)
    }

    async fn supersede_older(
        &self,
        tx: &mut Transaction<'static, Any>,
        registration: &Registration,
    ) -> Result<(), LedgerError> {
        let older = sqlx::query("SELECT attempt_id, state FROM attempt WHERE record_id = $1")
            .bind(registration.key.record.as_str())
            .fetch_all(&mut **tx)
            .await?;
        for row in &older {
            let id = required(row, "attempt_id", |text| AttemptId::parse(text).ok())?;
            let state = required(row, "state", State::parse)?;
            if next(state, Event::Supersede).is_ok() {
                self.shift(tx, id, Event::Supersede, Stage::Record, None).await?;
            }
        }
        Ok(())
    }

    /// Moves an attempt along [`next`] by compare-and-set and writes its history, within a
    /// transaction.
    pub(super) async fn shift(
        &self,
        tx: &mut Transaction<'static, Any>,
        attempt: AttemptId,
        event: Event,
        stage: Stage,
        cause: Option<Cause>,
    ) -> Result<State, LedgerError> {
        let row = sqlx::query("SELECT record_id, state FROM attempt WHERE attempt_id = $1")
            .bind(attempt.to_string())
            .fetch_optional(&mut **tx)
            .await?
            .ok_or(LedgerError::Missing("attempt"))?;
        let from = required(&row, "state", State::parse)?;
        let to = next(from, event)?;
        let moved = sqlx::query(
            "UPDATE attempt SET state = $3, cause = $4, \
             ended_at = CASE WHEN $5 = 1 THEN NULL ELSE (SELECT now_ms FROM clock) END \
             WHERE attempt_id = $1 AND state = $2",
        )
        .bind(attempt.to_string())
        .bind(from.as_str())
        .bind(to.as_str())
        .bind(cause_text(cause))
        .bind(i64::from(to.is_open() || to == State::Parked))
        .execute(&mut **tx)
        .await?;
        if moved.rows_affected() != 1 {
            return Err(LedgerError::Raced);
        }
        let record: String = row.try_get("record_id")?;
        let note = Note { record: &record, attempt: Some(attempt), stage, what: to.as_str(), cause };
        self.note(tx, note).await?;
        Ok(to)
    }
}

/// Gives the record its number unless it has one; says whether it has one now.
pub(super) async fn allocate(
    tx: &mut Transaction<'static, Any>,
    registration: &Registration,
    number: &RegistrationNumber,
) -> Result<bool, LedgerError> {
    let record = registration.key.record.as_str();
    sqlx::query(
        "UPDATE record SET number = $2 WHERE record_id = $1 AND number IS NULL \
         AND NOT EXISTS (SELECT 1 FROM record AS other WHERE other.number = $2)",
    )
    .bind(record)
    .bind(number.as_str())
    .execute(&mut **tx)
    .await?;
    let row = sqlx::query("SELECT number FROM record WHERE record_id = $1")
        .bind(record)
        .fetch_one(&mut **tx)
        .await?;
    let number: Option<String> = row.try_get("number")?;
    Ok(number.is_some())
}
