//! Asking and answering: what was sent to the ID system, and what each of its replies means for the record.
//!
//! Invariant: the first final answer to a submission wins, whatever comes later; `issued` and `recorded` belong to
//! the record and pass to its newest attempt, `rejected` belongs to its submission (contract, rule 5).

use sqlx::{Any, Row as _, Transaction};

use super::history::Note;
use super::rows::{self, Case, Known};
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, Cause, Event, EventKind, IdKind, Reason, RecordId, RequestId, State, next};

/// An issued ID, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedId {
    /// The ID, sealed for its record.
    pub sealed: String,
    /// [`Ledger::fingerprint`] of it.
    pub fingerprint: String,
    /// Its kind.
    pub kind: Option<IdKind>,
}

/// A reply of an ID system that has passed its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VendorReply {
    /// An ID was issued.
    Issued(SealedId),
    /// The death is recorded.
    Recorded,
    /// This submission is rejected.
    Rejected(Reason),
    /// Ask again later.
    Retry,
    /// Still at it; perhaps with a reference of its own.
    Pending(Option<String>),
}

/// What a reply came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The attempt has its answer (now, or had it and is not confirmed yet): tell the confirmer.
    Answered(AttemptId),
    /// Ask again later.
    AskAgain(AttemptId),
    /// Nothing more to do: a progress notice, a repeat, or an answer that no attempt waits for.
    Noted,
    /// It cannot be applied; the record's history says so.
    Refused(Cause),
    /// No request has this id.
    Unknown,
}

impl Ledger {
    /// The record of a request.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn record_of(&self, request: RequestId) -> Result<Option<RecordId>, LedgerError> {
        let row = sqlx::query("SELECT record_id FROM record WHERE request_id = $1")
            .bind(request.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref()
            .map(|row| rows::required(row, "record_id", |text| RecordId::parse(text).ok()))
            .transpose()
    }

    /// Notes that the attempt's request is about to go to an ID system, and in which trace; which system it is sticks
    /// to the record.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] when the attempt is not one to be sent.
    pub async fn requested(&self, case: &Case, system: &str, trace: Option<&str>) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        sqlx::query("UPDATE record SET route = $2 WHERE record_id = $1 AND route IS NULL")
            .bind(record)
            .bind(system)
            .execute(&mut *tx)
            .await?;
        self.shift(&mut tx, case.attempt.id, Event::Request, Stage::Send, None).await?;
        sqlx::query(
            "UPDATE attempt SET asked_at = (SELECT now_ms FROM clock), trace = COALESCE($2, trace) \
             WHERE attempt_id = $1",
        )
        .bind(case.attempt.id.to_string())
        .bind(trace.map(str::to_owned))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Notes that the next hop has the attempt.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn published(&self, attempt: AttemptId) -> Result<(), LedgerError> {
        sqlx::query("UPDATE attempt SET published_at = (SELECT now_ms FROM clock) WHERE attempt_id = $1")
            .bind(attempt.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Answers an attempt without a reply: what the record already has, or else `otherwise`.
    /// Does nothing to an attempt that has its answer.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] when the attempt has ended.
    pub async fn answer(&self, case: &Case, otherwise: Option<&Reason>) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        let now = rows::case_in(&mut tx, case.attempt.id).await?.ok_or(LedgerError::Missing("attempt"))?;
        if now.attempt.state == State::Answered {
            return Ok(tx.rollback().await?);
        }
        let (label, reason) = match (now.record.known, otherwise) {
            (Some(known), _) => (known.as_str(), None),
            (None, Some(reason)) => ("rejected", Some(reason)),
            (None, None) => ("not_asked", None),
        };
        self.give(&mut tx, &now, label, reason, Stage::Record).await?;
        Ok(tx.commit().await?)
    }

    /// Takes a reply to a submission of a record in.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn resolve(
        &self,
        record: &RecordId,
        submission: u32,
        reply: &VendorReply,
    ) -> Result<Resolution, LedgerError> {
        let Some(mut tx) = self.on_record(record.as_str()).await? else {
            return Ok(Resolution::Unknown);
        };
        let Some((addressed, newest)) = addressed(&mut tx, record, submission).await? else {
            let cause = Cause::WrongSubmission;
            self.refuse(&mut tx, record, None, cause).await?;
            tx.commit().await?;
            return Ok(Resolution::Refused(cause));
        };
        let resolution = match reply {
            VendorReply::Issued(id) => self.issued(&mut tx, &addressed, &newest, id).await?,
            VendorReply::Recorded => self.recorded(&mut tx, &addressed, &newest).await?,
            VendorReply::Rejected(reason) => self.rejected(&mut tx, &addressed, reason).await?,
            VendorReply::Retry => ask_again(&newest),
            VendorReply::Pending(reference) => pending(&mut tx, record, reference.as_deref()).await?,
        };
        if let Resolution::Refused(cause) = resolution {
            self.refuse(&mut tx, record, Some(addressed.attempt.id), cause).await?;
        }
        tx.commit().await?;
        Ok(resolution)
    }

    async fn issued(
        &self,
        tx: &mut Transaction<'static, Any>,
        addressed: &Case,
        newest: &Case,
        id: &SealedId,
    ) -> Result<Resolution, LedgerError> {
        if addressed.record.kind != EventKind::Birth {
            return Ok(Resolution::Refused(Cause::Malformed));
        }
        if addressed.attempt.answer.as_deref() == Some("rejected") {
            return Ok(Resolution::Refused(Cause::ContradictoryAnswer));
        }
        let row = sqlx::query("SELECT record_id FROM record WHERE id_fingerprint = $1")
            .bind(id.fingerprint.as_str())
            .fetch_optional(&mut **tx)
            .await?;
        let owner: Option<String> = row.map(|row| row.try_get("record_id")).transpose()?;
        match (owner, addressed.record.known) {
            (Some(owner), _) if owner == addressed.record.id.as_str() => {}
            (Some(_), Some(_)) | (None, Some(_)) => {
                return Ok(Resolution::Refused(Cause::ContradictoryAnswer));
            }
            (Some(_), None) => {
                if next(newest.attempt.state, Event::Park).is_ok() {
                    let cause = Some(Cause::IdOfAnotherRecord);
                    self.shift(tx, newest.attempt.id, Event::Park, Stage::Resolve, cause).await?;
                }
                return Ok(Resolution::Refused(Cause::IdOfAnotherRecord));
            }
            (None, None) => {
                let kind = id.kind.and_then(|kind| serde_json::to_value(kind).ok());
                sqlx::query(
                    "UPDATE record SET known = 'issued', sealed_id = $2, id_fingerprint = $3, id_kind = $4 \
                     WHERE record_id = $1",
                )
                .bind(addressed.record.id.as_str())
                .bind(id.sealed.as_str())
                .bind(id.fingerprint.as_str())
                .bind(kind.as_ref().and_then(|kind| kind.as_str()).map(str::to_owned))
                .execute(&mut **tx)
                .await?;
            }
        }
        self.pass_on(tx, newest, Known::Issued).await
    }

    async fn recorded(
        &self,
        tx: &mut Transaction<'static, Any>,
        addressed: &Case,
        newest: &Case,
    ) -> Result<Resolution, LedgerError> {
        if addressed.record.kind != EventKind::Death {
            return Ok(Resolution::Refused(Cause::Malformed));
        }
        if addressed.attempt.answer.as_deref() == Some("rejected") {
            return Ok(Resolution::Refused(Cause::ContradictoryAnswer));
        }
        sqlx::query("UPDATE record SET known = 'recorded' WHERE record_id = $1")
            .bind(addressed.record.id.as_str())
            .execute(&mut **tx)
            .await?;
        self.pass_on(tx, newest, Known::Recorded).await
    }

    /// Gives what belongs to the record to its newest attempt.
    async fn pass_on(
        &self,
        tx: &mut Transaction<'static, Any>,
        newest: &Case,
        known: Known,
    ) -> Result<Resolution, LedgerError> {
        match newest.attempt.state {
            State::Received | State::Requested => {
                self.give(tx, newest, known.as_str(), None, Stage::Resolve).await?;
                Ok(Resolution::Answered(newest.attempt.id))
            }
            // Issued for one submission and rejected for a newer one: the contract forbids it, and an operator decides.
            State::Answered if newest.attempt.answer.as_deref() == Some("rejected") => {
                Ok(Resolution::Refused(Cause::OrphanId))
            }
            State::Answered => Ok(Resolution::Answered(newest.attempt.id)),
            State::Withdrawn | State::Expired | State::Rejected | State::Held => {
                Ok(Resolution::Refused(Cause::OrphanId))
            }
            State::Confirmed | State::Superseded | State::Parked => Ok(Resolution::Noted),
        }
    }

    async fn rejected(
        &self,
        tx: &mut Transaction<'static, Any>,
        addressed: &Case,
        reason: &Reason,
    ) -> Result<Resolution, LedgerError> {
        match addressed.attempt.answer.as_deref() {
            Some("rejected") if addressed.attempt.state == State::Answered => {
                Ok(Resolution::Answered(addressed.attempt.id))
            }
            Some("rejected") => Ok(Resolution::Noted),
            Some(_) => Ok(Resolution::Refused(Cause::ContradictoryAnswer)),
            None if matches!(addressed.attempt.state, State::Received | State::Requested) => {
                self.give(tx, addressed, "rejected", Some(reason), Stage::Resolve).await?;
                Ok(Resolution::Answered(addressed.attempt.id))
            }
            // Nobody waits for it any more, but it is this submission's first final answer and stays that.
            None => {
                write_answer(tx, addressed, "rejected", Some(reason)).await?;
                let note = Note {
                    record: addressed.record.id.as_str(),
                    attempt: Some(addressed.attempt.id),
                    stage: Stage::Resolve,
                    what: "rejected_too_late",
                    cause: None,
                };
                self.note(tx, note).await?;
                Ok(Resolution::Noted)
            }
        }
    }

    /// Writes the answer and moves the attempt.
    async fn give(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        label: &str,
        reason: Option<&Reason>,
        stage: Stage,
    ) -> Result<(), LedgerError> {
        write_answer(tx, case, label, reason).await?;
        self.shift(tx, case.attempt.id, Event::Answer, stage, None).await?;
        Ok(())
    }

    async fn refuse(
        &self,
        tx: &mut Transaction<'static, Any>,
        record: &RecordId,
        attempt: Option<AttemptId>,
        cause: Cause,
    ) -> Result<(), LedgerError> {
        let note = Note {
            record: record.as_str(),
            attempt,
            stage: Stage::Resolve,
            what: "reply_refused",
            cause: Some(cause),
        };
        self.note(tx, note).await
    }
}

async fn write_answer(
    tx: &mut Transaction<'static, Any>,
    case: &Case,
    label: &str,
    reason: Option<&Reason>,
) -> Result<(), LedgerError> {
    let text = reason.map(serde_json::to_string).transpose();
    sqlx::query("UPDATE attempt SET answer = $2, reason = $3 WHERE attempt_id = $1")
        .bind(case.attempt.id.to_string())
        .bind(label.to_owned())
        .bind(text.map_err(|_| LedgerError::Unreadable("reason"))?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn ask_again(newest: &Case) -> Resolution {
    let waits = matches!(newest.attempt.state, State::Received | State::Requested);
    if waits { Resolution::AskAgain(newest.attempt.id) } else { Resolution::Noted }
}

async fn pending(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
    reference: Option<&str>,
) -> Result<Resolution, LedgerError> {
    sqlx::query("UPDATE record SET reference = COALESCE($2, reference) WHERE record_id = $1")
        .bind(record.as_str())
        .bind(reference.map(str::to_owned))
        .execute(&mut **tx)
        .await?;
    Ok(Resolution::Noted)
}

/// The attempt that a reply addresses and the record's newest.
async fn addressed(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
    submission: u32,
) -> Result<Option<(Case, Case)>, LedgerError> {
    let row = sqlx::query(
        "SELECT attempt_id FROM attempt WHERE record_id = $1 AND submission = $2 AND submission > 0",
    )
    .bind(record.as_str())
    .bind(i64::from(submission))
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id = rows::required(&row, "attempt_id", |text| AttemptId::parse(text).ok())?;
    let Some(addressed) = rows::case_in(tx, id).await? else { return Ok(None) };
    let newest = rows::case_in(tx, addressed.record.newest).await?;
    Ok(newest.map(|newest| (addressed, newest)))
}
