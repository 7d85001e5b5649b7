//! Applies replies of the ID system, and answers attempts that need no reply.
//!
//! Invariant: [`domain::resolve`](crate::domain::resolve) decides what a reply means. The decision
//! is written in the transaction that read its inputs.

mod refusal;
pub(super) mod statements;

use sqlx::{Any, Transaction};

use refusal::Refusal;
use statements::{
    ASKED_TO_RETRY, ASKED_TOO_OFTEN, AddressedCases, add_retry, addressed_cases, is_alerted, outdated,
    reply_kind, write_answer, write_record_answer,
};

use super::asking::with_id_system;
use super::history::{NewEntry, What};
use super::record_lease::lease_state;
use super::rows::{self, Case};
use super::{Ledger, LedgerError, Stage};
use crate::domain::resolve::{FollowUp, Plan, RecordStatus, Which, answer_without_asking, resolve};
use crate::domain::retry::is_asked_too_often;
use crate::domain::{AnswerKind, AttemptId, Cause, Event, Reason, RecordId, State};

/// An issued ID, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedId {
    pub sealed: String,
    /// The [`Ledger::fingerprint`] of the ID.
    pub fingerprint: String,
    /// The fingerprints under which earlier releases may have stored the same ID. They took the
    /// fingerprint of the ID as the ID system had spelt it.
    pub earlier_fingerprints: [String; 2],
}

/// A reply of an ID system that meets its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VendorReply {
    Issued(SealedId),
    /// The death is recorded.
    Recorded,
    /// This submission is rejected.
    Rejected(Reason),
    /// The ID system wants to be asked again later.
    Retry,
    /// The ID system is still working on it.
    Pending,
}

/// What to do after a reply has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Publish the outcome of this attempt: it has its answer and is not confirmed yet.
    Answered(AttemptId),
    /// Ask the ID system about this attempt again later.
    AskAgain {
        attempt: AttemptId,
        /// Whether an operator is alerted, because the ID system has replied `retry` too often.
        too_often: bool,
    },
    /// Do nothing: the reply is a progress notice, a repeat, or an answer for which no attempt
    /// waits.
    Noted,
    /// The reply was refused; the record's history says so.
    Refused(Cause),
    /// The ledger does not have the record.
    Unknown,
}

impl Ledger {
    /// Answers an attempt that needs no reply: with the record's answer if there is one, else with
    /// the rejection `otherwise`, else with *not asked*. Does nothing if the attempt is answered
    /// already.
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
        let kind = answer_without_asking(now.record.usable_answer(), otherwise.is_some());
        let reason = otherwise.filter(|_| kind == AnswerKind::Rejected);
        self.give(&mut tx, &now, kind, reason, Stage::Record).await?;
        Ok(tx.commit().await?)
    }

    /// Applies a reply to a submission of a record.
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
        let Some(cases) = addressed_cases(&mut tx, record, submission).await? else {
            let cause = match (outdated(&mut tx, record, submission).await?, reply) {
                (false, _) => Cause::WrongSubmission,
                // The final reply to this submission was taken before an operator had the ID system
                // asked again.
                (true, VendorReply::Issued(_) | VendorReply::Recorded) => Cause::ContradictoryAnswer,
                (true, VendorReply::Rejected(_) | VendorReply::Retry | VendorReply::Pending) => {
                    tx.rollback().await?;
                    return Ok(Resolution::Noted);
                }
            };
            self.add_entry(&mut tx, resolve_entry(record, None, "reply_refused", Some(cause))).await?;
            tx.commit().await?;
            return Ok(Resolution::Refused(cause));
        };
        let AddressedCases { addressed, newest } = &cases;
        let plan = resolve(
            reply_kind(&mut tx, addressed, reply).await?,
            &RecordStatus {
                kind: &addressed.record.kind,
                answer: addressed.record.answer,
                erased: addressed.record.answer.is_some() && addressed.record.usable_answer().is_none(),
                addressed: addressed.status(),
                newest: newest.status(),
            },
        );
        let refusal = Refusal::of(&mut tx, plan, reply, &cases).await?;
        let plan = refusal.as_ref().map_or(plan, |refusal| refusal.plan);
        let resolution = self.apply_plan(&mut tx, plan, reply, &cases).await?;
        if let Some(refusal) = refusal {
            self.add_refusal(&mut tx, &refusal, &cases).await?;
        }
        tx.commit().await?;
        Ok(resolution)
    }

    /// Adds to the history of a record that a reply about it did not match its schema, and what was
    /// at fault.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn note_malformed_reply(
        &self,
        record: &RecordId,
        part: &'static str,
    ) -> Result<(), LedgerError> {
        let Some(mut tx) = self.on_record(record.as_str()).await? else { return Ok(()) };
        let entry = NewEntry {
            record: record.as_str(),
            attempt: None,
            stage: Stage::Resolve,
            what: What::Event("reply_refused"),
            cause: Some(Cause::Malformed),
        };
        self.add_explained_entry(&mut tx, entry, Some(part)).await?;
        Ok(tx.commit().await?)
    }

    /// Writes the plan within the transaction.
    async fn apply_plan(
        &self,
        tx: &mut Transaction<'static, Any>,
        plan: Plan,
        reply: &VendorReply,
        cases: &AddressedCases,
    ) -> Result<Resolution, LedgerError> {
        let AddressedCases { addressed, newest } = cases;
        let case_of = |which: Which| match which {
            Which::Addressed => addressed,
            Which::Newest => newest,
        };
        let reason = match reply {
            VendorReply::Rejected(reason) => Some(reason),
            VendorReply::Issued(_) | VendorReply::Recorded | VendorReply::Retry | VendorReply::Pending => {
                None
            }
        };
        // The ID system has the request, so its time to reply starts again.
        if *reply == VendorReply::Pending && addressed.attempt.state == State::Requested {
            with_id_system(tx, addressed.attempt.id).await?;
        }
        if let Some(answer) = plan.learn {
            write_record_answer(tx, &addressed.record.id, answer, reply).await?;
        }
        if let Some(kind) = plan.archive {
            write_answer(tx, addressed, kind, reason).await?;
        }
        if plan.archive == Some(AnswerKind::Rejected) {
            let of = Some(addressed.attempt.id);
            self.add_entry(tx, resolve_entry(&addressed.record.id, of, "rejected_too_late", None)).await?;
        }
        if let Some((to, kind)) = plan.give {
            self.give(tx, case_of(to), kind, reason, Stage::Resolve).await?;
        }
        if let Some(cause) = plan.park {
            self.move_attempt(tx, newest.attempt.id, Event::Park, Stage::Resolve, Some(cause)).await?;
        }
        Ok(match plan.follow_up {
            FollowUp::NotifyConfirmer(to) => Resolution::Answered(case_of(to).attempt.id),
            FollowUp::AskAgain => {
                let too_often = self.count_retry(tx, newest).await?;
                Resolution::AskAgain { attempt: newest.attempt.id, too_often }
            }
            FollowUp::Nothing => Resolution::Noted,
            FollowUp::Refuse(cause) => Resolution::Refused(cause),
        })
    }

    /// Counts a `retry` reply. The first one is noted in the history; one too many alerts an
    /// operator, once; then the result is `true`.
    async fn count_retry(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
    ) -> Result<bool, LedgerError> {
        let attempt = Some(case.attempt.id);
        let (count, first) = add_retry(tx, case.attempt.id).await?;
        let entry = |what, cause| resolve_entry(&case.record.id, attempt, what, Some(cause));
        let (_, now) = lease_state(tx, case.record.id.as_str()).await?;
        match first {
            None => self.add_entry(tx, entry(ASKED_TO_RETRY, Cause::AskedToRetry)).await?,
            Some(first)
                if is_asked_too_often(count, first, now) && !is_alerted(tx, case.attempt.id).await? =>
            {
                self.add_entry(tx, entry(ASKED_TOO_OFTEN, Cause::AskedTooOften)).await?;
                return Ok(true);
            }
            Some(_) => {}
        }
        Ok(false)
    }

    /// Writes the answer and moves the attempt.
    async fn give(
        &self,
        tx: &mut Transaction<'static, Any>,
        case: &Case,
        kind: AnswerKind,
        reason: Option<&Reason>,
        stage: Stage,
    ) -> Result<(), LedgerError> {
        write_answer(tx, case, kind, reason).await?;
        self.move_attempt(tx, case.attempt.id, Event::Answer, stage, None).await?;
        Ok(())
    }
}

fn resolve_entry<'a>(
    record: &'a RecordId,
    attempt: Option<AttemptId>,
    what: &'static str,
    cause: Option<Cause>,
) -> NewEntry<'a> {
    NewEntry { record: record.as_str(), attempt, stage: Stage::Resolve, what: What::Event(what), cause }
}
