//! Answers an action of the events generation: accepts or rejects it.
//!
//! Both calls are idempotent per action, so the record is not read first and there is no
//! quarantine: a call whose result is unknown is repeated. A call that arrives late does no harm
//! either, because core refuses an action that it has answered already.
//!
//! Invariant: no action is answered without the lease and a committed intent, so that an older
//! action is not answered any more once the ledger has a newer one.

use super::Confirmer;
use super::settle::{AfterFault, IntentAfter, Next};
use super::turn::UnsealedCase;
use crate::broker::{Delay, Settlement};
use crate::domain::{
    ActionCourse, ActionId, Answer, Cause, Event, FieldStanding, RegistrationNumber, WrittenFields,
    decide_action,
};
use crate::opencrvs::events::{Acceptance, ActionState, EventsClient, MappedFields};
use crate::opencrvs::{FaultClass, OpencrvsFault, SystemClient, may_reject_record};
use crate::pipeline::stage::{StageFault, delay};

/// What the confirmer needs to answer OpenCRVS of the events generation.
#[derive(Debug)]
pub struct EventsSide {
    pub client: EventsClient,
    /// The bridge's own client in OpenCRVS, if one is configured.
    pub system: Option<SystemClient>,
    /// The fields that an answer writes, if any are configured.
    pub fields: Option<MappedFields>,
    /// Whether the reason is sent after a rejection, if the token allows it.
    pub reasons: bool,
}

impl Confirmer {
    pub(super) async fn answer_action(
        &self,
        case: &UnsealedCase,
        action: &ActionId,
    ) -> Result<Settlement, StageFault> {
        let fields = match &self.events.fields {
            Some(fields) => fields.standing(&case.leased.case.record.kind, &case.answer).await,
            None => FieldStanding::NotWanted,
        };
        let course = decide_action(&case.answer, &fields);
        tracing::debug!(record.id = %case.record(), ?fields, ?course, "decided");
        if let FieldStanding::Undefined { which } = &fields {
            let kind = case.leased.case.record.kind.as_str();
            tracing::warn!(
                record.id = %case.record(), kind, fields = ?which, "the form of this kind of event does not define these fields"
            );
        }
        match course {
            ActionCourse::Accept { with_fields } => self.accept(case, action, with_fields).await,
            ActionCourse::Reject => self.reject(case, action).await,
            ActionCourse::Later(cause) => Ok(delay(cause)),
            ActionCourse::Park(cause) => self.end(&case.leased, Event::Park, Some(cause)).await,
        }
    }

    async fn accept(
        &self,
        case: &UnsealedCase,
        action: &ActionId,
        with_fields: bool,
    ) -> Result<Settlement, StageFault> {
        let Some(number) = case.leased.case.record.number.clone() else {
            return self.end(&case.leased, Event::Park, Some(Cause::NumberTaken)).await;
        };
        let fields = if with_fields { self.fields(case, &number) } else { WrittenFields::default() };
        if !self.intended(case.leased.lease).await? {
            return Ok(delay(Cause::Leased));
        }
        let acceptance = Acceptance { number: number.clone(), fields };
        let accepted = self.events.client.accept(&case.token, case.record(), action, &acceptance).await;
        self.observe_action(&accepted);
        match accepted {
            // Somebody else accepted the action before, and their number stays.
            Ok(ActionState::Accepted(Some(there))) if there != number.as_str() => {
                self.end(&case.leased, Event::Park, Some(Cause::OtherNumber)).await
            }
            Ok(ActionState::Accepted(_) | ActionState::Open) => {
                self.confirmed(&case.leased, "confirmed").await
            }
            Ok(ActionState::Rejected) => self.overtaken(case).await,
            Err(fault) => self.settle_fault(case, &fault, after_answer(&fault)).await,
        }
    }

    fn fields(&self, case: &UnsealedCase, number: &RegistrationNumber) -> WrittenFields {
        let kind = &case.leased.case.record.kind;
        let fields = self.events.fields.as_ref();
        fields.map(|fields| fields.evaluate(kind, &case.answer, number)).unwrap_or_default()
    }

    async fn reject(&self, case: &UnsealedCase, action: &ActionId) -> Result<Settlement, StageFault> {
        if !self.intended(case.leased.lease).await? {
            return Ok(delay(Cause::Leased));
        }
        let reason = self.reason(case);
        let client = &self.events.client;
        let rejected = client.reject(&case.token, case.record(), action, reason.is_some()).await;
        self.observe_action(&rejected);
        match rejected {
            Ok(()) => self.rejected(case, action, reason).await,
            // OpenCRVS responds with 500 if the action is accepted already or unknown, and in an
            // outage.
            Err(fault @ OpencrvsFault::Status(500)) => {
                match client.state(&case.token, case.record(), action).await {
                    Ok(ActionState::Accepted(_)) => self.overtaken(case).await,
                    Ok(ActionState::Rejected) => self.rejected(case, action, None).await,
                    Ok(ActionState::Open) | Err(_) => {
                        self.settle_fault(case, &fault, after_answer(&fault)).await
                    }
                }
            }
            Err(fault) => self.settle_fault(case, &fault, after_answer(&fault)).await,
        }
    }

    /// The reason to send, if that is configured and the token allows it (1.9.13 and newer).
    fn reason(&self, case: &UnsealedCase) -> Option<String> {
        let Answer::Rejected(reason) = &case.answer else { return None };
        let is_sent = self.events.reasons && may_reject_record(&case.token);
        is_sent.then(|| format!("{} ({})", self.rules.comment, reason.code.as_str()))
    }

    /// Sends the reason after a rejection, if there is one, and ends the attempt. The rejection
    /// stands even if the reason cannot be sent.
    async fn rejected(
        &self,
        case: &UnsealedCase,
        action: &ActionId,
        reason: Option<String>,
    ) -> Result<Settlement, StageFault> {
        if let Some(reason) = reason
            && let Err(fault) = self.events.client.explain(&case.token, case.record(), action, &reason).await
        {
            tracing::warn!(
                record.id = %case.record(), error = %fault, "the reason of the rejection could not be sent"
            );
        }
        self.metrics.confirmed("rejected");
        self.end(&case.leased, Event::Reject, None).await
    }

    /// Reports a call to the breakers, except for an HTTP 500, which need not be an outage:
    /// OpenCRVS also responds with 500 to the rejection of an accepted action.
    fn observe_action<T>(&self, result: &Result<T, OpencrvsFault>) {
        if !matches!(result, Err(OpencrvsFault::Status(500))) {
            self.observe(result);
        }
    }
}

/// What to do after a failed answer, which is idempotent. The call is repeated unless the fault is
/// permanent, even if it may have succeeded. There is no quarantine between two calls, so an
/// earlier call may still arrive after this one has failed. The intent is therefore kept until the
/// attempt ends.
fn after_answer(fault: &OpencrvsFault) -> AfterFault {
    let next = match fault.class() {
        FaultClass::Permanent => Next::Park,
        FaultClass::Transient | FaultClass::Ambiguous => Next::Delay(Delay::Next, fault.cause()),
        FaultClass::Throttled(after) => Next::Delay(Delay::AtLeast(after), fault.cause()),
        FaultClass::AlreadyRejected => Next::Overtaken,
    };
    AfterFault { message: "the action could not be answered", intent: IntentAfter::Kept, next }
}
