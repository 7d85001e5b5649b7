//! Applies an operator's decision about an attempt (`attempts decide`).
//!
//! Invariant: [`decide_by_operator`] decides what is possible, in the transaction that applies it.
//! The record's lease, intent and quarantine stay as they are. The history says who decided, how
//! and why.

use std::time::Duration;

use sqlx::{Any, Transaction};

use super::answer::VendorReply;
use super::answer::statements::{owner, reply_kind, write_answer, write_record_answer};
use super::history::{NewEntry, What};
use super::number::{Allocation, ensure_number};
use super::record_lease::lease_state;
use super::resume::was_asked;
use super::rows::{self, Case};
use super::{Ledger, LedgerError, SealedId, Stage};
use crate::domain::lease::may_expire;
use crate::domain::resolve::{Owner, ReplyKind};
use crate::domain::{
    AnswerKind, AttemptId, Cause, DecidedCase, DecidedPlan, DecisionRefusal, NumberRules, OperatorDecision,
    Reason, RecordId, decide_by_operator,
};

/// A decision with all that it needs.
#[derive(Debug, Clone, Copy)]
pub struct Deciding<'a> {
    pub decision: &'a OperatorDecision,
    /// The ID that the operator entered, for [`OperatorDecision::Issued`].
    pub id: Option<&'a SealedId>,
    /// The reason of a rejection.
    pub reason: &'a Reason,
    pub numbers: &'a NumberRules,
    pub has_client: bool,
    /// Time after a write intent during which the write may still arrive.
    pub quarantine: Duration,
    /// Time after the acceptance in which an answer is useful.
    pub deadline: Duration,
}

/// The result of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// The attempt goes on or is closed; the caller publishes its next message, if it has one.
    Done(Box<Case>),
    Refused(DecisionRefusal),
    /// Another record, this one, has the number that the attempt's record would get; `None` if the
    /// template makes no usable number.
    NumberTaken(Option<RecordId>),
    /// Another record, this one, has the ID that the operator entered.
    IdTaken(RecordId),
    /// The ledger has no such attempt.
    Unknown,
}

impl Ledger {
    /// Applies a decision. Without `why` this is a rehearsal: the result says what would be done,
    /// and nothing is changed.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn decide(
        &self,
        attempt: AttemptId,
        deciding: &Deciding<'_>,
        why: Option<&str>,
    ) -> Result<Decided, LedgerError> {
        let Some(case) = self.case(attempt).await? else { return Ok(Decided::Unknown) };
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let plan = match plan(&mut tx, &case, deciding).await? {
            Ok(plan) => plan,
            Err(refusal) => {
                let owner = match deciding.id {
                    Some(id) if refusal == DecisionRefusal::IdOfAnotherRecord => {
                        owner(&mut tx, &case, id).await?
                    }
                    Some(_) | None => None,
                };
                if let (Some(owner), Some(_)) = (&owner, why) {
                    self.note_foreign_id(&mut tx, &case, owner).await?;
                    tx.commit().await?;
                } else {
                    tx.rollback().await?;
                }
                return Ok(owner.map_or(Decided::Refused(refusal), Decided::IdTaken));
            }
        };
        let closes = *deciding.decision == OperatorDecision::Close;
        if !closes {
            self.reinstate(&mut tx, &case).await?;
            let owner = match ensure_number(&mut tx, attempt, deciding.numbers).await? {
                Allocation::Numbered => None,
                Allocation::Taken(owner) => Some(Some(owner)),
                Allocation::Unusable => Some(None),
            };
            if let Some(owner) = owner {
                tx.rollback().await?;
                return Ok(Decided::NumberTaken(owner));
            }
        }
        let Some(why) = why else {
            tx.rollback().await?;
            return Ok(Decided::Done(Box::new(case)));
        };
        let why = format!("{}: {why}", deciding.decision.as_str());
        self.add_operator_entry(&mut tx, &case, "decided", &why).await?;
        write_plan(&mut tx, &case, deciding, plan).await?;
        self.move_attempt(&mut tx, attempt, plan.event, Stage::Operate, None).await?;
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(Decided::Done(Box::new(case)))
    }

    /// Records that an operator entered an ID that another record has. This raises the same alert
    /// as a reply with such an ID.
    async fn note_foreign_id(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        owner: &RecordId,
    ) -> Result<(), LedgerError> {
        let entry = NewEntry {
            record: case.record.id.as_str(),
            attempt: Some(case.attempt.id),
            stage: Stage::Operate,
            what: What::Event("decision_refused"),
            cause: Some(Cause::IdOfAnotherRecord),
        };
        self.add_detailed_entry(tx, entry, Some(&format!("record {owner} has the ID"))).await?;
        let why = format!("an operator entered this record's ID for record {}", case.record.id);
        let entry = NewEntry {
            record: owner.as_str(),
            attempt: None,
            what: What::Event("id_entered_again"),
            cause: None,
            ..entry
        };
        self.add_explained_entry(tx, entry, Some(&why)).await
    }
}

async fn plan(
    tx: &mut Transaction<'static, Any>,
    case: &Case,
    deciding: &Deciding<'_>,
) -> Result<Result<DecidedPlan, DecisionRefusal>, LedgerError> {
    let Case { record, attempt } = case;
    let (lease, now) = lease_state(tx, record.id.as_str()).await?;
    let owner = match deciding.id {
        Some(id) => match reply_kind(tx, case, &VendorReply::Issued(id.clone())).await? {
            ReplyKind::Issued(owner) => owner,
            ReplyKind::Recorded | ReplyKind::Rejected | ReplyKind::Retry | ReplyKind::Pending => {
                Owner::Nobody
            }
        },
        None => Owner::Nobody,
    };
    let cause = attempt.cause.as_ref().and_then(super::Recorded::known);
    let replied = attempt.answer == Some(AnswerKind::Rejected)
        || matches!(
            cause,
            Some(Cause::IdOfAnotherRecord | Cause::ContradictoryAnswer | Cause::DecidedOtherwise)
        );
    let case = DecidedCase {
        dialect: record.dialect,
        kind: &record.kind,
        state: attempt.state,
        newest: case.is_newest() || attempt.absent_at.is_some(),
        answer: attempt.answer,
        record_answer: record.answer,
        erased: record.answer.is_some() && record.usable_answer().is_none(),
        owner,
        asked: was_asked(tx, attempt.id).await?,
        replied,
        askable: attempt.sealed_view.is_some(),
        past_deadline: case.request_expires_at(deciding.deadline) <= now,
        expired: case.expires_at(deciding.has_client).is_some_and(|end| end <= now),
        being_written: !may_expire(&lease, record.intent.map(|intent| intent.at), now, deciding.quarantine),
        write_unknown: record.intent.is_some(),
    };
    Ok(decide_by_operator(deciding.decision, &case))
}

/// Writes what the plan changes, except for the state.
async fn write_plan(
    tx: &mut Transaction<'static, Any>,
    case: &Case,
    deciding: &Deciding<'_>,
    plan: DecidedPlan,
) -> Result<(), LedgerError> {
    let attempt = case.attempt.id.to_string();
    if let Some(answer) = plan.learn {
        let reply = deciding.id.map_or(VendorReply::Recorded, |id| VendorReply::Issued(id.clone()));
        write_record_answer(tx, &case.record.id, answer, &reply).await?;
    }
    if let Some(kind) = plan.give {
        let reason = (kind == AnswerKind::Rejected).then_some(deciding.reason);
        write_answer(tx, case, kind, reason).await?;
    }
    if plan.resubmit {
        sqlx::query("UPDATE record SET submissions = submissions + 1 WHERE record_id = $1")
            .bind(case.record.id.as_str())
            .execute(&mut **tx)
            .await?;
        sqlx::query(
            "UPDATE attempt SET submission = (SELECT submissions FROM record WHERE record_id = $2) \
             WHERE attempt_id = $1",
        )
        .bind(attempt.clone())
        .bind(case.record.id.as_str())
        .execute(&mut **tx)
        .await?;
    }
    if *deciding.decision == OperatorDecision::AskAgain {
        sqlx::query(
            "UPDATE attempt SET answer = NULL, reason = NULL, retries = 0, sent_at = NULL WHERE attempt_id = $1",
        )
            .bind(attempt.clone())
            .execute(&mut **tx)
            .await?;
    }
    let text = serde_json::to_string(deciding.decision).map_err(|_| LedgerError::Unreadable("decision"))?;
    sqlx::query("UPDATE attempt SET decision = $2 WHERE attempt_id = $1")
        .bind(attempt)
        .bind(text)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
