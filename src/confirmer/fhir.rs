//! Answers a record of the FHIR generation: reads it in OpenCRVS, decides, and confirms it.
//!
//! Invariant: a write whose result is unknown keeps its intent, so that nobody writes this record
//! again before the quarantine has passed and the record has been read again.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::Confirmer;
use super::settle::{AfterFault, IntentAfter, Next};
use super::turn::UnsealedCase;
use crate::broker::{Delay, Settlement};
use crate::domain::order::Submitted;
use crate::domain::{
    Answer, Cause, Course, Event, OperatorDecision, RecordSeen, RegistrationNumber, Situation, Standing,
    SubmissionSeen, decide, record_standing,
};
use crate::ledger::Case;
use crate::opencrvs::fhir::{Confirmation, FetchedRecord};
use crate::opencrvs::{FaultClass, OpencrvsFault};
use crate::pipeline::stage::{StageFault, delay};

impl Confirmer {
    pub(super) async fn confirm_record(
        &self,
        case: &UnsealedCase,
        token: &SecretString,
    ) -> Result<Settlement, StageFault> {
        let read = self.gateway.read(token, case.record()).await;
        self.observe(&read);
        match read {
            Ok(found) => self.act_on(case, token, &found).await,
            Err(fault) => self.settle_fault(case, &fault, after_read(&fault)).await,
        }
    }

    async fn act_on(
        &self,
        case: &UnsealedCase,
        token: &SecretString,
        found: &FetchedRecord,
    ) -> Result<Settlement, StageFault> {
        let attempt = &case.leased.case.attempt;
        let Some(number) = case.leased.case.record.number.as_ref() else {
            return self.end(&case.leased, Event::Park, Some(Cause::NumberTaken)).await;
        };
        let decision = decide(&Situation {
            status: found.status,
            since: found.since,
            number_there: found.number.as_deref(),
            read_at: Timestamp::now(),
            submitted: Submitted {
                stamp: attempt.stamp,
                accepted_at: attempt.accepted_at,
                tolerance: self.ledger.stamp_tolerance(),
            },
            number,
            answer: &case.answer,
            policy: self.rules.negative,
            waited: !attempt.wait.is_zero(),
        });
        tracing::debug!(record.id = %case.record(), status = ?found.status, ?decision, "decided");
        match decision.course(&case.answer) {
            Course::Write => self.write(case, token, &self.confirmation(case, number)).await,
            Course::Later => self.wait_for_submission(case, token, number).await,
            Course::End(Event::Confirm, _) => self.confirmed(&case.leased, "already").await,
            Course::End(event, cause) => self.end(&case.leased, event, cause).await,
        }
    }

    /// Waits until OpenCRVS shows the submission. If the submission was not looked up before
    /// *send*, because the ID system was not asked, it may be invented. It is looked up once
    /// OpenCRVS has had enough time to show it, and parked if OpenCRVS does not have it.
    async fn wait_for_submission(
        &self,
        case: &UnsealedCase,
        token: &SecretString,
        number: &RegistrationNumber,
    ) -> Result<Settlement, StageFault> {
        let Case { record, attempt } = &case.leased.case;
        let is_old = attempt.age(Timestamp::now()) >= self.rules.visible_within;
        if attempt.checked_at.is_some() || !is_old {
            return Ok(delay(Cause::NotYetVisible));
        }
        let found = self.gateway.find(token, &record.id, &record.kind, &self.rules.identifier_type).await;
        self.observe(&found);
        let Ok(found) = found else { return Ok(delay(Cause::NotYetVisible)) };
        let seen = RecordSeen {
            status: found.status,
            since: found.since,
            waited_since: &found.waited_since,
            number: found.number.as_deref(),
        };
        let submission = SubmissionSeen {
            stamp: attempt.stamp,
            accepted_at: attempt.accepted_at,
            tolerance: self.ledger.stamp_tolerance(),
            number,
        };
        if record_standing(&seen, &submission) == Standing::Absent {
            return self.park_absent(&case.leased, Cause::NotInOpencrvs).await;
        }
        Ok(delay(Cause::NotYetVisible))
    }

    fn confirmation(&self, case: &UnsealedCase, number: &RegistrationNumber) -> Confirmation {
        let (identifiers, comment) = match &case.answer {
            Answer::Issued(id) => (vec![(self.rules.identifier_type.clone(), id.clone())], None),
            Answer::Recorded => (Vec::new(), None),
            Answer::NotAsked => match &case.leased.case.attempt.decision {
                Some(OperatorDecision::WithoutId { comment }) => {
                    (Vec::new(), Some(comment.clone().unwrap_or_else(|| self.rules.comment.clone())))
                }
                Some(
                    OperatorDecision::Issued
                    | OperatorDecision::Recorded
                    | OperatorDecision::Reject
                    | OperatorDecision::Policy
                    | OperatorDecision::AskAgain
                    | OperatorDecision::Close,
                )
                | None => (Vec::new(), None),
            },
            Answer::Rejected(reason) => (Vec::new(), Some(self.rules.comment_on(reason))),
        };
        Confirmation { number: number.clone(), identifiers, comment }
    }

    async fn write(
        &self,
        case: &UnsealedCase,
        token: &SecretString,
        confirmation: &Confirmation,
    ) -> Result<Settlement, StageFault> {
        if !self.intended(case.leased.lease).await? {
            return Ok(delay(Cause::Leased));
        }
        let confirmed = self.gateway.confirm(token, case.record(), confirmation).await;
        self.observe(&confirmed);
        match confirmed {
            Ok(()) => self.confirmed(&case.leased, "confirmed").await,
            Err(fault) => {
                let after = after_confirm(&fault, self.rules.quarantine);
                self.settle_fault(case, &fault, after).await
            }
        }
    }
}

/// What to do after a failed read. A read writes nothing, so it is repeated unless the fault is
/// permanent.
fn after_read(fault: &OpencrvsFault) -> AfterFault {
    let next = match fault.class() {
        // No call of this generation is answered with `AlreadyRejected`.
        FaultClass::Permanent | FaultClass::AlreadyRejected => Next::Park,
        FaultClass::Throttled(after) => Next::Delay(Delay::AtLeast(after), fault.cause()),
        FaultClass::Transient | FaultClass::Ambiguous => Next::Delay(Delay::Next, fault.cause()),
    };
    AfterFault { message: "the record could not be read", intent: IntentAfter::NotCommitted, next }
}

/// What to do after a failed confirmation, which is not idempotent. After an ambiguous fault, the
/// record is read again once the quarantine has passed. After any other fault the intent is
/// retracted: no write can still arrive, because the quarantine of every earlier write has passed.
fn after_confirm(fault: &OpencrvsFault, quarantine: Duration) -> AfterFault {
    let (intent, next) = match fault.class() {
        // No call of this generation is answered with `AlreadyRejected`.
        FaultClass::Permanent | FaultClass::AlreadyRejected => (IntentAfter::Retracted, Next::Park),
        FaultClass::Transient => (IntentAfter::Retracted, Next::Delay(Delay::Next, fault.cause())),
        FaultClass::Throttled(after) => {
            (IntentAfter::Retracted, Next::Delay(Delay::AtLeast(after), fault.cause()))
        }
        FaultClass::Ambiguous => {
            (IntentAfter::Kept, Next::Delay(Delay::AtLeast(quarantine), Cause::Quarantined))
        }
    };
    AfterFault { message: "the confirmation failed", intent, next }
}
