//! Settles the delivery once OpenCRVS has responded to an answer.
//!
//! Invariant: an answer whose result is unknown is repeated, because that changes nothing if it was
//! stored; the rejection of an action stands even if its reason cannot be sent.

use super::{Answering, Reply};
use crate::broker::{Delay, Settlement};
use crate::confirmer::Confirmer;
use crate::confirmer::settle::{AfterFault, IntentAfter, Next};
use crate::confirmer::turn::UnsealedCase;
use crate::domain::{Answer, Cause, Event, Reason, ReasonSource};
use crate::opencrvs::events::{ActionState, Bearer, PendingAction};
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
        match written {
            Ok(state) => match end_of(reply, &state) {
                End::Rejected => {
                    let reason = self.reason(case, bearer, pending);
                    self.rejected(answering, bearer, reason).await
                }
                end @ (End::Confirmed | End::OtherNumber | End::Overtaken) => {
                    self.ended(case, end, "confirmed").await
                }
            },
            Err(fault) => {
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
        self.ended(answering.case, end_of(answering.reply, &state), "already").await
    }

    async fn ended(
        &self,
        case: &UnsealedCase,
        end: End,
        outcome: &'static str,
    ) -> Result<Settlement, StageFault> {
        match end {
            End::Confirmed => self.confirmed(&case.leased, outcome).await,
            End::Rejected => {
                self.metrics.confirmed("rejected");
                self.end(&case.leased, Event::Reject, unfit(&case.answer)).await
            }
            End::OtherNumber => self.end(&case.leased, Event::Park, Some(Cause::OtherNumber)).await,
            End::Overtaken => self.overtaken(case).await,
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
        (self.events.reasons && may).then(|| self.rules.comment_on(reason))
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
        self.end(&answering.case.leased, Event::Reject, unfit(&answering.case.answer)).await
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

/// How an attempt ends once its action has an answer in OpenCRVS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Confirmed,
    Rejected,
    /// Somebody else accepted the action before, and their number stays.
    OtherNumber,
    /// The action has the opposite answer.
    Overtaken,
}

/// The cause of a rejection that is the bridge's own.
fn unfit(answer: &Answer) -> Option<Cause> {
    match answer {
        Answer::Rejected(Reason { source: source @ ReasonSource::Bridge, .. }) => Some(source.cause()),
        Answer::Rejected(_) | Answer::Issued(_) | Answer::Recorded | Answer::NotAsked => None,
    }
}

/// Compares the answer in OpenCRVS with ours. An answer that OpenCRVS has just taken may not be in
/// the document yet.
fn end_of(reply: &Reply, state: &ActionState) -> End {
    match (reply, state) {
        (Reply::Accept(ours), ActionState::Accepted(Some(there))) if there != ours.number.as_str() => {
            End::OtherNumber
        }
        (Reply::Accept(_), ActionState::Accepted(_) | ActionState::Open) => End::Confirmed,
        (Reply::Reject, ActionState::Rejected) => End::Rejected,
        (Reply::Accept(_), ActionState::Rejected)
        | (Reply::Reject, ActionState::Accepted(_) | ActionState::Open) => End::Overtaken,
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
/// attempt ends; if the first call of all is refused, it is retracted.
pub(super) fn after_answer(fault: &OpencrvsFault) -> AfterFault {
    let next = match fault.class() {
        FaultClass::Permanent => Next::Park,
        FaultClass::Transient | FaultClass::Ambiguous => Next::Delay(Delay::Next, fault.cause()),
        FaultClass::Throttled(after) => Next::Delay(Delay::AtLeast(after), fault.cause()),
        FaultClass::AlreadyRejected => Next::Overtaken,
    };
    AfterFault { message: "the action could not be answered", intent: IntentAfter::Kept, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RegistrationNumber, WrittenFields};
    use crate::opencrvs::events::Acceptance;

    fn accept(number: &str) -> Reply {
        let number = RegistrationNumber::parse(number).unwrap();
        Reply::Accept(Acceptance { number, fields: WrittenFields::default() })
    }

    fn accepted(number: &str) -> ActionState {
        ActionState::Accepted(Some(number.to_owned()))
    }

    #[test]
    fn another_number_that_is_there_is_not_ours() {
        let ours = accept("2026B1");
        assert_eq!(end_of(&ours, &accepted("2026B1")), End::Confirmed);
        assert_eq!(end_of(&ours, &ActionState::Accepted(None)), End::Confirmed, "the document names none");
        for other in ["2026B2", "2026B10", "2026b1", ""] {
            assert_eq!(end_of(&ours, &accepted(other)), End::OtherNumber, "{other}");
        }
    }

    #[test]
    fn the_opposite_answer_overtakes_ours() {
        assert_eq!(end_of(&accept("1"), &ActionState::Rejected), End::Overtaken);
        for state in [accepted("1"), ActionState::Accepted(None), ActionState::Open] {
            assert_eq!(end_of(&Reply::Reject, &state), End::Overtaken, "{state:?}");
        }
        assert_eq!(end_of(&Reply::Reject, &ActionState::Rejected), End::Rejected);
    }

    fn next(fault: &OpencrvsFault) -> &'static str {
        match after_answer(fault).next {
            Next::Delay(Delay::Next, _) => "again",
            Next::Delay(_, _) => "later",
            Next::Park => "park",
            Next::Overtaken => "overtaken",
        }
    }

    #[test]
    fn a_permanent_fault_is_left_to_an_operator_and_not_repeated() {
        let permanent = [
            OpencrvsFault::Unauthorized,
            OpencrvsFault::RecordRefused,
            OpencrvsFault::ActionNotFound,
            OpencrvsFault::EventNotFound,
            OpencrvsFault::NotPending,
            OpencrvsFault::FieldUndefined,
            OpencrvsFault::Contract,
        ];
        for fault in &permanent {
            assert_eq!(next(fault), "park", "{fault:?}");
        }
    }

    #[test]
    fn a_500_proves_nothing_and_is_tried_again() {
        let ambiguous = [OpencrvsFault::Status(500), OpencrvsFault::TimedOut, OpencrvsFault::BrokenOff];
        for fault in &ambiguous {
            assert_eq!(next(fault), "again", "{fault:?}");
            assert!(after_answer(fault).intent == IntentAfter::Kept, "{fault:?}");
        }
        assert_eq!(next(&OpencrvsFault::Throttled(None)), "later");
        assert_eq!(next(&OpencrvsFault::AlreadyRejected), "overtaken");
    }
}
