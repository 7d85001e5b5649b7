//! Settles the delivery once OpenCRVS has responded to an answer.
//!
//! Invariant: an answer whose result is unknown is repeated, because that changes nothing if it was
//! stored; the rejection of an action stands even if its reason cannot be sent.

use super::{Answering, Reply};
use crate::broker::{Delay, Settlement};
use crate::confirmer::Confirmer;
use crate::confirmer::settle::{AfterFault, IntentAfter, Next};
use crate::confirmer::turn::UnsealedCase;
use crate::domain::{Answer, Cause, Event};
use crate::opencrvs::events::{Acceptance, ActionState, Bearer, PendingAction};
use crate::opencrvs::{FaultClass, OpencrvsFault, Right, may_reject_record};
use crate::pipeline::stage::StageFault;

impl Confirmer {
    /// Settles the delivery after OpenCRVS has the answer, or after a failure that is not a refusal
    /// of the credential.
    pub(super) async fn settle_answer(
        &self,
        bearer: Bearer<'_>,
        answering: &Answering<'_>,
        written: Result<ActionState, OpencrvsFault>,
    ) -> Result<Settlement, StageFault> {
        let Answering { case, pending, reply } = answering;
        match (written, reply) {
            (Ok(ActionState::Accepted(_) | ActionState::Open), Reply::Reject) => self.overtaken(case).await,
            (Ok(ActionState::Rejected), Reply::Reject) => {
                let reason = self.reason(case, bearer, pending);
                self.rejected(answering, bearer, reason).await
            }
            (Ok(state), Reply::Accept(acceptance)) => {
                self.accepted(case, acceptance, state, "confirmed").await
            }
            (Err(fault), _) => {
                if may_read_after(&fault, bearer, answering)
                    && let Ok(event) = self.events.client.read(bearer, pending).await
                    && event.action != ActionState::Open
                {
                    return self.already_answered(answering, event.action).await;
                }
                self.settle_fault(case, &fault, after_answer(&fault)).await
            }
        }
    }

    /// Ends an attempt whose action has an answer in OpenCRVS, whoever gave it.
    pub(super) async fn already_answered(
        &self,
        answering: &Answering<'_>,
        state: ActionState,
    ) -> Result<Settlement, StageFault> {
        let case = answering.case;
        match (state, answering.reply) {
            (state, Reply::Accept(acceptance)) => self.accepted(case, acceptance, state, "already").await,
            (ActionState::Rejected, Reply::Reject) => {
                self.metrics.confirmed("rejected");
                self.end(&case.leased, Event::Reject, None).await
            }
            (ActionState::Accepted(_) | ActionState::Open, Reply::Reject) => self.overtaken(case).await,
        }
    }

    async fn accepted(
        &self,
        case: &UnsealedCase,
        acceptance: &Acceptance,
        state: ActionState,
        outcome: &'static str,
    ) -> Result<Settlement, StageFault> {
        match state {
            // Somebody else accepted the action before, and their number stays.
            ActionState::Accepted(Some(there)) if there != acceptance.number.as_str() => {
                self.end(&case.leased, Event::Park, Some(Cause::OtherNumber)).await
            }
            ActionState::Accepted(_) | ActionState::Open => self.confirmed(&case.leased, outcome).await,
            ActionState::Rejected => self.overtaken(case).await,
        }
    }

    /// The reason to send, if that is configured and the credential allows it (tokens: 1.9.13 and
    /// newer; clients: only with a scope for it).
    pub(super) fn reason(
        &self,
        case: &UnsealedCase,
        bearer: Bearer<'_>,
        pending: &PendingAction<'_>,
    ) -> Option<String> {
        let Answer::Rejected(reason) = &case.answer else { return None };
        let may = match bearer {
            Bearer::Token(token) => may_reject_record(token),
            Bearer::Client(token) => token.may_explain(pending.kind),
        };
        (self.events.reasons && may).then(|| format!("{} ({})", self.rules.comment, reason.code.as_str()))
    }

    /// Sends the reason after a rejection, if there is one, and ends the attempt. The rejection
    /// stands even if the reason cannot be sent.
    async fn rejected(
        &self,
        answering: &Answering<'_>,
        bearer: Bearer<'_>,
        reason: Option<String>,
    ) -> Result<Settlement, StageFault> {
        if let Some(reason) = reason
            && let Err(fault) = self.events.client.explain(bearer, &answering.pending, &reason).await
        {
            let record = answering.case.record();
            if fault == OpencrvsFault::ClientScope {
                // Not every release lets a client give a reason.
                tracing::info!(record.id = %record, "the client may not send the reason of a rejection");
            } else {
                tracing::warn!(
                    record.id = %record, error = %fault, "the reason of the rejection could not be sent"
                );
            }
        }
        self.metrics.confirmed("rejected");
        self.end(&answering.case.leased, Event::Reject, None).await
    }

    pub(super) async fn settle_read_fault(
        &self,
        answering: &Answering<'_>,
        fault: &OpencrvsFault,
    ) -> Result<Settlement, StageFault> {
        let next = match fault.class() {
            FaultClass::Throttled(after) => Next::Delay(Delay::AtLeast(after), fault.cause()),
            FaultClass::Permanent
            | FaultClass::Transient
            | FaultClass::Ambiguous
            | FaultClass::AlreadyRejected => Next::Delay(Delay::Next, fault.cause()),
        };
        let after =
            AfterFault { message: "the event could not be read", intent: IntentAfter::NotCommitted, next };
        self.settle_fault(answering.case, fault, after).await
    }
}

/// Whether to read the event after a failed write: if the write may have taken place, and the
/// credential may read. A token may read only in some releases, so it is used only after a
/// rejection that OpenCRVS 1.9 and 2.0 refuse with HTTP 500, as they do if the action is accepted
/// already or unknown.
fn may_read_after(fault: &OpencrvsFault, bearer: Bearer<'_>, answering: &Answering<'_>) -> bool {
    match (bearer, answering.reply) {
        (Bearer::Token(_), Reply::Accept(_)) => false,
        (Bearer::Token(_), Reply::Reject) => *fault == OpencrvsFault::Status(500),
        (Bearer::Client(token), _) => {
            fault.class() == FaultClass::Ambiguous && token.may(Right::Read, answering.pending.kind)
        }
    }
}

/// What to do after a failed answer, which is idempotent. The call is repeated unless the fault is
/// permanent, even if it may have succeeded. There is no quarantine between two calls, so an
/// earlier call may still arrive after this one has failed. The intent is therefore kept until the
/// attempt ends.
pub(super) fn after_answer(fault: &OpencrvsFault) -> AfterFault {
    let next = match fault.class() {
        FaultClass::Permanent => Next::Park,
        FaultClass::Transient | FaultClass::Ambiguous => Next::Delay(Delay::Next, fault.cause()),
        FaultClass::Throttled(after) => Next::Delay(Delay::AtLeast(after), fault.cause()),
        FaultClass::AlreadyRejected => Next::Overtaken,
    };
    AfterFault { message: "the action could not be answered", intent: IntentAfter::Kept, next }
}
