//! Ends a turn: stores the result in the ledger, settles the delivery, and reports to metrics,
//! alarms and breakers.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::Confirmer;
use super::turn::{LeasedCase, UnsealedCase};
use crate::broker::{Delay, Settlement};
use crate::domain::{Cause, Event, State, withdrawal};
use crate::ledger::{Expiry, Lease, LedgerError, Stage};
use crate::opencrvs::{Judgement, OpencrvsFault};
use crate::pipeline::stage::{StageFault, delay};

/// Limit of the retries of a delivery whose token is refused although auth's key verifies it.
const MAX_DOUBTS: u32 = 6;

/// What a failed call means for the intent and for the delivery. The generations differ only in
/// this: see `after_read` and `after_confirm` in `fhir.rs`, and `after_answer` in `events.rs`.
pub(super) struct AfterFault {
    /// Log message.
    pub(super) message: &'static str,
    pub(super) intent: IntentAfter,
    pub(super) next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IntentAfter {
    /// No intent was committed, because the call only reads.
    NotCommitted,
    /// The intent is retracted at once, because neither this write nor an earlier one can still
    /// arrive.
    Retracted,
    /// The intent is kept, because this write or an earlier one may still arrive.
    Kept,
}

pub(super) enum Next {
    Delay(Delay, Cause),
    /// No further try will help.
    Park,
    /// The action already has another answer in OpenCRVS.
    Overtaken,
}

impl Confirmer {
    /// Reports a call to the breaker of the gateway. A successful call shows that auth works, too.
    pub(super) fn observe<T>(&self, result: &Result<T, OpencrvsFault>) {
        match result {
            Ok(_) => {
                self.breakers.gateway.worked();
                self.breakers.auth.worked();
            }
            Err(OpencrvsFault::Throttled(Some(after))) => self.breakers.gateway.throttled(*after),
            Err(fault) if fault.is_outage() => self.breakers.gateway.failed(),
            Err(_) => self.breakers.gateway.worked(),
        }
    }

    /// Settles the delivery after a failed call.
    pub(super) async fn settle_fault(
        &self,
        case: &UnsealedCase,
        fault: &OpencrvsFault,
        after: AfterFault,
    ) -> Result<Settlement, StageFault> {
        let (lease, cause) = (case.leased.lease, fault.cause());
        let is_read = after.intent == IntentAfter::NotCommitted;
        let doubt = match &case.token {
            Some(token) if *fault == OpencrvsFault::Unauthorized => self.doubt(case, token).await,
            Some(_) | None => None,
        };
        // During an outage of auth every read is refused, and the warning below would wrongly blame
        // the token.
        if is_read && let Some(settlement) = doubt {
            return Ok(settlement);
        }
        tracing::warn!(
            record.id = %case.record(), attempt.id = %case.leased.case.attempt.id, error = %fault,
            "{}", after.message
        );
        if !is_read {
            self.metrics.confirmed(cause.as_str());
        }
        if after.intent == IntentAfter::Retracted {
            self.ledger.retract(lease, cause).await?;
        }
        if let Some(settlement) = doubt {
            return Ok(settlement);
        }
        match after.next {
            Next::Delay(step, cause) => Ok(Settlement::Delay { step, cause: cause.into() }),
            Next::Park => {
                // This write was refused outright. An intent that was there before this turn is
                // that of an earlier write, which may still arrive.
                if after.intent == IntentAfter::Kept && case.leased.case.record.intent.is_none() {
                    self.ledger.retract(lease, cause).await?;
                }
                if matches!(fault, OpencrvsFault::ActionNotFound | OpencrvsFault::EventNotFound) {
                    return self.park_absent(&case.leased, cause).await;
                }
                self.end(&case.leased, Event::Park, Some(cause)).await
            }
            Next::Overtaken => self.overtaken(case).await,
        }
    }

    /// How to settle the delivery if a refused token may still be valid, because the gateway could
    /// not ask auth about it (`CHECK_INVALID_TOKEN`): auth is unavailable, or was a moment ago.
    /// `None` if the token is dead. The lease is held here, so nothing waits for auth.
    async fn doubt(&self, case: &UnsealedCase, token: &SecretString) -> Option<Settlement> {
        if case.leased.case.attempt.token_orphaned {
            return None;
        }
        match self.keys.judge(token.expose_secret()).await {
            Judgement::Valid => (case.tries < MAX_DOUBTS).then(|| delay(Cause::GatewayUnavailable)),
            Judgement::Dead => None,
            Judgement::NoKey => {
                self.breakers.auth.failed();
                Some(delay(Cause::GatewayUnavailable))
            }
            Judgement::Pending => Some(Settlement::Delay {
                step: Delay::AtLeast(self.keys.refetch()),
                cause: Cause::GatewayUnavailable.into(),
            }),
        }
    }

    /// Parks an attempt whose submission OpenCRVS does not have. The attempt that it had superseded
    /// goes on.
    pub(super) async fn park_absent(
        &self,
        leased: &LeasedCase,
        cause: Cause,
    ) -> Result<Settlement, StageFault> {
        let (record, attempt) = (&leased.case.record.id, leased.case.attempt.id);
        let reverted = match self.ledger.park_absent(&leased.case, Stage::Confirm, cause).await {
            Ok(reverted) => reverted,
            // A newer attempt came in between. The history in the ledger says what happened.
            Err(LedgerError::Conflict(conflict)) => {
                tracing::warn!(record.id = %record, %conflict, "the attempt had ended before");
                return Ok(Settlement::Done);
            }
            Err(fault) => return Err(fault.into()),
        };
        for cause in [Some(cause), reverted.orphan.then_some(Cause::OrphanId)].into_iter().flatten() {
            self.metrics.alarm(cause);
            tracing::error!(
                record.id = %record, attempt.id = %attempt, cause = cause.as_str(),
                "an operator is needed: see `nidbridge causes`"
            );
        }
        if let Some(attempt) = reverted.revived
            && let Some(genuine) = self.ledger.case(attempt).await?
        {
            tracing::info!(record.id = %record, attempt.id = %attempt, "the superseded attempt goes on");
            self.next.drive(&genuine).await?;
        }
        Ok(Settlement::Done)
    }

    /// Ends an attempt whose action already has another answer in OpenCRVS.
    pub(super) async fn overtaken(&self, case: &UnsealedCase) -> Result<Settlement, StageFault> {
        let (event, cause) = withdrawal(&case.answer);
        self.end(&case.leased, event, Some(cause)).await
    }

    pub(super) async fn confirmed(
        &self,
        leased: &LeasedCase,
        outcome: &'static str,
    ) -> Result<Settlement, StageFault> {
        let settlement = self.end(leased, Event::Confirm, None).await?;
        self.metrics.confirmed(outcome);
        let age = leased.case.attempt.age(Timestamp::now());
        self.metrics.end_to_end(age.as_secs_f64());
        Ok(settlement)
    }

    /// Expires an attempt whose token has expired. If the ledger does not agree (the token was
    /// replaced meanwhile, or has not expired by the ledger's clock), the delivery is tried again
    /// later.
    pub(super) async fn expire(&self, lease: Lease) -> Result<Settlement, StageFault> {
        let Expiry::Ended { orphan } = self.ledger.expire_leased(lease, self.rules.has_client).await? else {
            return Ok(delay(Cause::TokenExpiring));
        };
        for cause in [Some(Cause::TokenRefused), orphan.then_some(Cause::OrphanId)].into_iter().flatten() {
            self.metrics.alarm(cause);
            tracing::error!(
                cause = cause.as_str(),
                attempt.state = State::Expired.as_str(),
                "an operator is needed: see `nidbridge causes`"
            );
        }
        Ok(Settlement::Done)
    }

    /// Ends or parks an attempt, and raises an alarm if the cause calls for one.
    pub(super) async fn end(
        &self,
        leased: &LeasedCase,
        event: Event,
        cause: Option<Cause>,
    ) -> Result<Settlement, StageFault> {
        let (record, attempt) = (&leased.case.record.id, leased.case.attempt.id);
        match self.ledger.finish(leased.lease, event, cause).await {
            // OpenCRVS has been told of a rejection, so no operator is needed.
            Ok(state) => match cause.filter(|cause| cause.is_alarm() && event != Event::Reject) {
                Some(cause) => {
                    self.metrics.alarm(cause);
                    tracing::error!(
                        record.id = %record, attempt.id = %attempt, attempt.state = state.as_str(),
                        cause = cause.as_str(), "an operator is needed: see `nidbridge causes`"
                    );
                }
                None => tracing::info!(
                    record.id = %record, attempt.id = %attempt, attempt.state = state.as_str(), "attempt ended"
                ),
            },
            // A newer attempt was recorded meanwhile. The history in the ledger says what happened.
            Err(LedgerError::Conflict(conflict)) => {
                tracing::warn!(record.id = %record, %conflict, "the attempt had ended before");
            }
            Err(fault) => return Err(fault.into()),
        }
        Ok(Settlement::Done)
    }
}
