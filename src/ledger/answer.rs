//! Answering: what each reply of the ID system, or none, means for the record.
//!
//! Invariant: what a reply means is decided in [`domain::resolve`](crate::domain::resolve) and
//! written in the same transaction that read what it was decided by.

use sqlx::{Any, Row as _, Transaction};

use super::asking::with_id_system;
use super::history::Note;
use super::rows::{self, Case};
use super::{Ledger, LedgerError, Stage};
use crate::domain::resolve::{
    FollowUp, Owner, Plan, RecordStatus, ReplyKind, Which, answer_without_asking, resolve,
};
use crate::domain::{AnswerKind, AttemptId, Cause, Event, Reason, RecordAnswer, RecordId, State};

/// An issued ID, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedId {
    /// The ID, sealed for its record.
    pub sealed: String,
    /// [`Ledger::fingerprint`] of it.
    pub fingerprint: String,
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
    /// The ID system is still working on it.
    Pending,
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
        let label = answer_without_asking(now.record.usable_answer(), otherwise.is_some());
        let reason = otherwise.filter(|_| label == AnswerKind::Rejected);
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
            self.tell_of(&mut tx, record, None, "reply_refused", Some(cause)).await?;
            tx.commit().await?;
            return Ok(Resolution::Refused(cause));
        };
        let plan = resolve(
            kind_of(&mut tx, &addressed, reply).await?,
            &RecordStatus {
                kind: &addressed.record.kind,
                answer: addressed.record.answer,
                erased: addressed.record.answer.is_some() && addressed.record.usable_answer().is_none(),
                addressed: addressed.status(),
                newest: newest.status(),
            },
        );
        let resolution = self.carry_out(&mut tx, plan, reply, (&addressed, &newest)).await?;
        if let Resolution::Refused(cause) = resolution {
            let of = Some(addressed.attempt.id);
            self.tell_of(&mut tx, record, of, "reply_refused", Some(cause)).await?;
        }
        tx.commit().await?;
        Ok(resolution)
    }

    /// Does what the rules say, within the transaction.
    async fn carry_out(
        &self,
        tx: &mut Transaction<'static, Any>,
        plan: Plan,
        reply: &VendorReply,
        (addressed, newest): (&Case, &Case),
    ) -> Result<Resolution, LedgerError> {
        let who = |who: Which| match who {
            Which::Addressed => addressed,
            Which::Newest => newest,
        };
        let reason = match reply {
            VendorReply::Rejected(reason) => Some(reason),
            VendorReply::Issued(_) | VendorReply::Recorded | VendorReply::Retry | VendorReply::Pending => {
                None
            }
        };
        // The ID system has the request: the time in which it should reply begins again.
        if *reply == VendorReply::Pending && addressed.attempt.state == State::Requested {
            with_id_system(tx, addressed.attempt.id).await?;
        }
        if let Some(known) = plan.learn {
            learn(tx, &addressed.record.id, known, reply).await?;
        }
        if let Some(label) = plan.archive {
            write_answer(tx, addressed, label, reason).await?;
        }
        if plan.archive == Some(AnswerKind::Rejected) {
            self.tell_of(tx, &addressed.record.id, Some(addressed.attempt.id), "rejected_too_late", None)
                .await?;
        }
        if let Some((to, label)) = plan.give {
            self.give(tx, who(to), label, reason, Stage::Resolve).await?;
        }
        if let Some(cause) = plan.park {
            self.shift(tx, newest.attempt.id, Event::Park, Stage::Resolve, Some(cause)).await?;
        }
        Ok(match plan.follow_up {
            FollowUp::NotifyConfirmer(to) => Resolution::Answered(who(to).attempt.id),
            FollowUp::AskAgain => Resolution::AskAgain(newest.attempt.id),
            FollowUp::Nothing => Resolution::Noted,
            FollowUp::Refuse(cause) => Resolution::Refused(cause),
        })
    }

    /// Writes the answer and moves the attempt.
    async fn give(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        label: AnswerKind,
        reason: Option<&Reason>,
        stage: Stage,
    ) -> Result<(), LedgerError> {
        write_answer(tx, case, label, reason).await?;
        self.shift(tx, case.attempt.id, Event::Answer, stage, None).await?;
        Ok(())
    }

    async fn tell_of(
        &self,
        tx: &mut Transaction<'static, Any>,
        record: &RecordId,
        attempt: Option<AttemptId>,
        what: &'static str,
        cause: Option<Cause>,
    ) -> Result<(), LedgerError> {
        let note = Note { record: record.as_str(), attempt, stage: Stage::Resolve, what, cause };
        self.note(tx, note).await
    }
}

async fn write_answer(
    tx: &mut Transaction<'static, Any>,
    case: &Case,
    label: AnswerKind,
    reason: Option<&Reason>,
) -> Result<(), LedgerError> {
    let text = reason.map(serde_json::to_string).transpose();
    sqlx::query("UPDATE attempt SET answer = $2, reason = $3 WHERE attempt_id = $1")
        .bind(case.attempt.id.to_string())
        .bind(label.as_str())
        .bind(text.map_err(|_| LedgerError::Unreadable("reason"))?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The reply as the rules see it; whose an issued ID is, only the ledger can tell.
async fn kind_of(
    tx: &mut Transaction<'static, Any>,
    addressed: &Case,
    reply: &VendorReply,
) -> Result<ReplyKind, LedgerError> {
    Ok(match reply {
        VendorReply::Issued(id) => {
            let row = sqlx::query("SELECT record_id FROM record WHERE id_fingerprint = $1")
                .bind(id.fingerprint.as_str())
                .fetch_optional(&mut **tx)
                .await?;
            let owner: Option<String> = row.map(|row| row.try_get("record_id")).transpose()?;
            ReplyKind::Issued(match owner {
                None => Owner::Nobody,
                Some(owner) if owner == addressed.record.id.as_str() => Owner::ThisRecord,
                Some(_) => Owner::AnotherRecord,
            })
        }
        VendorReply::Recorded => ReplyKind::Recorded,
        VendorReply::Rejected(_) => ReplyKind::Rejected,
        VendorReply::Retry => ReplyKind::Retry,
        VendorReply::Pending => ReplyKind::Pending,
    })
}

async fn learn(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
    known: RecordAnswer,
    reply: &VendorReply,
) -> Result<(), LedgerError> {
    sqlx::query("UPDATE record SET known = $2 WHERE record_id = $1")
        .bind(record.as_str())
        .bind(known.kind().as_str())
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
