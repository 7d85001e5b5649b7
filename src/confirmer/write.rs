//! The write itself: intent, mutation, end.
//!
//! Invariant: a write whose end is not known leaves its intent standing, so that nobody writes this record again
//! before the quarantine has passed and the record was read.

use std::time::Instant;

use super::{Confirmer, Turn, attempt_of};
use crate::broker::{Delay, Settlement};
use crate::domain::{Answer, Cause, Event, lease};
use crate::opencrvs::{Confirmation, FaultClass, GatewayFault};
use crate::pipeline::stage::{StageFault, delay};

impl Confirmer {
    pub(super) async fn write(&self, turn: Turn) -> Result<Settlement, StageFault> {
        let Some(confirmation) = self.confirmation(&turn) else {
            return self.end(turn.held(), Event::Park, Some(Cause::NumberTaken)).await;
        };
        let before = Instant::now();
        if !self.ledger.intend(turn.lease, self.rules.lease).await? {
            return Ok(delay(Cause::Leased));
        }
        // A process that was stopped since then for long must not write any more: others may take the lease over.
        if !lease::may_write(before.elapsed(), self.rules.lease) {
            self.ledger.retract(turn.lease, Cause::Leased).await?;
            return Ok(delay(Cause::Leased));
        }
        let confirmed = self.gateway.confirm(&turn.token, &turn.case.record.id, &confirmation).await;
        self.heard(confirmed.as_ref().err());
        match confirmed {
            Ok(()) => self.confirmed(turn.held(), "confirmed").await,
            Err(fault) => self.unwritten(&turn, &fault).await,
        }
    }

    fn confirmation(&self, turn: &Turn) -> Option<Confirmation> {
        let number = turn.case.record.number.clone()?;
        let (identifiers, comment) = match &turn.answer {
            Answer::Issued(id) => (vec![(self.rules.identifier_type.clone(), id.clone())], None),
            Answer::Recorded | Answer::NotAsked => (Vec::new(), None),
            Answer::Rejected(reason) => {
                (Vec::new(), Some(format!("{} ({})", self.rules.comment, reason.code.as_str())))
            }
        };
        Some(Confirmation { number, identifiers, comment })
    }

    /// The mutation did not say that it succeeded.
    async fn unwritten(&self, turn: &Turn, fault: &GatewayFault) -> Result<Settlement, StageFault> {
        let cause = fault.cause();
        tracing::warn!(
            record.id = %turn.case.record.id, attempt.id = %attempt_of(turn), error = %fault,
            "the confirmation did not succeed"
        );
        self.metrics.confirmed(cause.as_str());
        match fault.class() {
            FaultClass::Permanent => {
                self.ledger.retract(turn.lease, cause).await?;
                if self.in_doubt(*fault == GatewayFault::Unauthorized, &turn.token, turn.tries).await {
                    return Ok(delay(Cause::GatewayUnavailable));
                }
                self.end(turn.held(), Event::Park, Some(cause)).await
            }
            FaultClass::Transient => {
                self.ledger.retract(turn.lease, cause).await?;
                Ok(delay(cause))
            }
            FaultClass::Throttled(after) => {
                self.ledger.retract(turn.lease, cause).await?;
                Ok(Settlement::Delay { step: Delay::AtLeast(after), cause: cause.into() })
            }
            FaultClass::Ambiguous => Ok(Settlement::Delay {
                step: Delay::AtLeast(self.rules.quarantine),
                cause: Cause::Quarantined.into(),
            }),
        }
    }
}
