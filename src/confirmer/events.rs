//! The turn at a record of the events generation: its action is accepted or rejected.
//!
//! Both are idempotent per action, so nothing is read before and there is no quarantine: a call whose end is not known
//! is repeated. A late call cannot do harm either: core refuses what it has answered already.
//!
//! Invariant: the lease is held and the intent committed all the same, so that an older action is not answered any
//! more once a newer one is on record.

use std::time::Instant;

use super::{Confirmer, Turn, attempt_of};
use crate::broker::{Delay, Settlement};
use crate::domain::{
    ActionCourse, ActionId, Answer, Cause, Event, IdField, decide_action, lease, withdrawal,
};
use crate::opencrvs::events::{Acceptance, ActionClass, ActionFault, ActionState, Actions, IdentifierField};
use crate::pipeline::stage::{StageFault, delay};

/// How OpenCRVS of the events generation is told.
#[derive(Debug)]
pub struct EventsSide {
    /// Its actions.
    pub actions: Actions,
    /// The field that gets an issued ID, if any does.
    pub field: Option<IdentifierField>,
    /// Whether a rejection is followed by the action that carries its reason, where the token allows that.
    pub reasons: bool,
}

impl Confirmer {
    pub(super) async fn answer_action(
        &self,
        turn: Turn,
        action: &ActionId,
    ) -> Result<Settlement, StageFault> {
        let field = match &self.events.field {
            Some(field) if matches!(turn.answer, Answer::Issued(_)) => {
                field.defined(&turn.case.record.kind).await
            }
            Some(_) | None => IdField::NotWanted,
        };
        let course = decide_action(&turn.answer, field);
        tracing::debug!(record.id = %turn.case.record.id, ?field, ?course, "decided");
        match course {
            ActionCourse::Accept { with_id } => self.accept(turn, action, with_id).await,
            ActionCourse::Reject => self.reject(turn, action).await,
            ActionCourse::Later(cause) => Ok(delay(cause)),
            ActionCourse::Park(cause) => self.end(turn.held(), Event::Park, Some(cause)).await,
        }
    }

    async fn accept(&self, turn: Turn, action: &ActionId, with_id: bool) -> Result<Settlement, StageFault> {
        let Some(number) = turn.case.record.number.clone() else {
            return self.end(turn.held(), Event::Park, Some(Cause::NumberTaken)).await;
        };
        let identifier = match (&turn.answer, &self.events.field) {
            (Answer::Issued(id), Some(field)) if with_id => Some((field.name().to_owned(), id.clone())),
            (
                Answer::Issued(_) | Answer::Recorded | Answer::NotAsked | Answer::Rejected(_),
                Some(_) | None,
            ) => None,
        };
        if let Some(settlement) = self.intended(&turn).await? {
            return Ok(settlement);
        }
        let acceptance = Acceptance { number: number.clone(), identifier };
        let accepted = self.events.actions.accept(&turn.token, &turn.case.record.id, action, &acceptance);
        let accepted = accepted.await;
        self.heard_of_action(accepted.as_ref().err());
        match accepted {
            // Accepted before, by somebody else: their number holds.
            Ok(ActionState::Accepted(Some(there))) if there != number.as_str() => {
                self.end(turn.held(), Event::Park, Some(Cause::OtherNumber)).await
            }
            Ok(ActionState::Accepted(_) | ActionState::Open) => {
                self.confirmed(turn.held(), "confirmed").await
            }
            Ok(ActionState::Rejected) => self.over(&turn).await,
            Err(fault) => self.unanswered(&turn, &fault).await,
        }
    }

    async fn reject(&self, turn: Turn, action: &ActionId) -> Result<Settlement, StageFault> {
        if let Some(settlement) = self.intended(&turn).await? {
            return Ok(settlement);
        }
        let record = &turn.case.record.id;
        let reason = self.reason(&turn);
        let rejected =
            self.events.actions.reject(&turn.token, record, action, reason.as_deref().is_some()).await;
        self.heard_of_action(rejected.as_ref().err());
        match rejected {
            Ok(()) => self.rejected(&turn, action, reason).await,
            // One that is accepted already, one that is not known and plain trouble all look the same.
            Err(ActionFault::Status(500)) => {
                match self.events.actions.standing(&turn.token, record, action).await {
                    Ok(ActionState::Accepted(_)) => self.over(&turn).await,
                    Ok(ActionState::Rejected) => self.rejected(&turn, action, None).await,
                    Ok(ActionState::Open) | Err(_) => self.unanswered(&turn, &ActionFault::Status(500)).await,
                }
            }
            Err(fault) => self.unanswered(&turn, &fault).await,
        }
    }

    /// The reason that is to be told, if it is to be and the token allows it (1.9.13 and newer).
    fn reason(&self, turn: &Turn) -> Option<String> {
        let Answer::Rejected(reason) = &turn.answer else { return None };
        let tells = self.events.reasons && crate::opencrvs::may_reject_record(&turn.token);
        tells.then(|| format!("{} ({})", self.rules.comment, reason.code.as_str()))
    }

    /// The registration is rejected; its reason goes after it if it can. Without it the rejection stands all the same.
    async fn rejected(
        &self,
        turn: &Turn,
        action: &ActionId,
        reason: Option<String>,
    ) -> Result<Settlement, StageFault> {
        let record = &turn.case.record.id;
        if let Some(reason) = reason
            && let Err(fault) = self.events.actions.explain(&turn.token, record, action, &reason).await
        {
            tracing::warn!(record.id = %record, error = %fault, "the rejection's reason could not be told");
        }
        self.metrics.confirmed("rejected");
        self.end(turn.held(), Event::Reject, None).await
    }

    /// Commits the intent; says what else is to be done if that may not be.
    async fn intended(&self, turn: &Turn) -> Result<Option<Settlement>, StageFault> {
        let before = Instant::now();
        if !self.ledger.intend(turn.lease, self.rules.lease).await? {
            return Ok(Some(delay(Cause::Leased)));
        }
        if !lease::may_write(before.elapsed(), self.rules.lease) {
            self.ledger.retract(turn.lease, Cause::Leased).await?;
            return Ok(Some(delay(Cause::Leased)));
        }
        Ok(None)
    }

    /// OpenCRVS has answered the action in another way.
    async fn over(&self, turn: &Turn) -> Result<Settlement, StageFault> {
        let (event, cause) = withdrawal(&turn.answer);
        self.end(turn.held(), event, Some(cause)).await
    }

    /// The call did not say that it succeeded.
    async fn unanswered(&self, turn: &Turn, fault: &ActionFault) -> Result<Settlement, StageFault> {
        let cause = fault.cause();
        tracing::warn!(
            record.id = %turn.case.record.id, attempt.id = %attempt_of(turn), error = %fault,
            "the action could not be answered"
        );
        self.metrics.confirmed(cause.as_str());
        match fault.class() {
            ActionClass::Permanent
                if self.in_doubt(*fault == ActionFault::Unauthorized, &turn.token, turn.tries).await =>
            {
                Ok(delay(Cause::GatewayUnavailable))
            }
            ActionClass::Permanent => {
                self.ledger.retract(turn.lease, cause).await?;
                self.end(turn.held(), Event::Park, Some(cause)).await
            }
            ActionClass::Repeat(None) => Ok(delay(cause)),
            ActionClass::Repeat(Some(after)) => {
                Ok(Settlement::Delay { step: Delay::AtLeast(after), cause: cause.into() })
            }
            ActionClass::Over => self.over(turn).await,
        }
    }

    /// Tells the gateway's breaker how a call went.
    fn heard_of_action(&self, fault: Option<&ActionFault>) {
        match fault {
            None => {
                self.needs.gateway.worked();
                self.needs.auth.worked();
            }
            Some(ActionFault::Throttled(Some(after))) => self.needs.gateway.throttled(*after),
            // A rejection of what is accepted is a 500 as well; only what no record can bring about is an outage.
            Some(ActionFault::Status(500)) => {}
            Some(fault) if fault.cause() == Cause::GatewayUnavailable => self.needs.gateway.failed(),
            Some(_) => self.needs.gateway.worked(),
        }
    }
}
