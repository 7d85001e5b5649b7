//! The faults of a stage, and how a delivery is settled after one.
//!
//! Invariant: a transient fault delays the delivery, and a permanent fault parks it.

use std::time::Duration;

pub(crate) use crate::broker::chain;
use crate::broker::{self, Breaker, Delay, Incoming, PublishError, Settlement};
use crate::domain::{AttemptId, Cause};
use crate::ledger::{Ledger, LedgerError};
use crate::seal::SealError;

/// Why a stage could not finish a delivery.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageFault {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the next hop could not be published")]
    Publish(#[from] PublishError),
    #[error("the ID system's queue did not take the request")]
    IdSystem(#[source] PublishError),
    #[error("the stage cannot use the message ({})", .0.as_str())]
    Message(Cause),
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl StageFault {
    /// Parks the delivery if waiting cannot help, and delays it otherwise.
    pub(crate) fn settlement(&self) -> Settlement {
        match self {
            Self::Ledger(LedgerError::Conflict(_)) => delay(Cause::Internal),
            Self::Ledger(LedgerError::LeaseLost) => delay(Cause::Leased),
            Self::Ledger(fault) if fault.is_transient() => delay(Cause::LedgerUnavailable),
            Self::Ledger(_) => park(Cause::Internal),
            Self::Publish(_) => delay(Cause::BrokerUnavailable),
            Self::IdSystem(_) => delay(Cause::IdSystemUnavailable),
            Self::Message(cause) => park(*cause),
            Self::Seal(_) => park(Cause::Unsealable),
        }
    }
}

pub(crate) fn delay(cause: Cause) -> Settlement {
    Settlement::Delay { step: Delay::Next, cause: cause.into() }
}

pub(crate) fn park(cause: Cause) -> Settlement {
    Settlement::Park { cause: cause.into(), body: None, detail: None }
}

/// Records in the ledger why an attempt is tried again later. If that fails, it is left out,
/// because only operators read it.
pub(crate) async fn note_failure(ledger: &Ledger, message: &Incoming, cause: broker::Cause, after: Duration) {
    let attempt = message.id.as_deref().and_then(|id| AttemptId::parse(id).ok());
    let (Some(attempt), Some(cause)) = (attempt, Cause::parse(cause.as_str())) else { return };
    // The first three are not failures; with the last one, the ledger cannot be written.
    if matches!(cause, Cause::TooEarly | Cause::Leased | Cause::AskedToRetry | Cause::LedgerUnavailable) {
        return;
    }
    let tries = message.attempt.saturating_add(1);
    if let Err(fault) = ledger.note_failure(attempt, cause, tries, after).await {
        tracing::warn!(error = %chain(&fault), "the reason why an attempt is tried again could not be stored in the ledger");
    }
}

/// Reports to the ledger's breaker whether the ledger worked for a stage.
pub(crate) fn observe<T>(ledger: &Breaker, result: &Result<T, StageFault>) {
    match result {
        Err(StageFault::Ledger(fault)) if fault.is_outage() => ledger.failed(),
        Err(StageFault::Message(_)) => {}
        Ok(_)
        | Err(
            StageFault::Ledger(_) | StageFault::Publish(_) | StageFault::IdSystem(_) | StageFault::Seal(_),
        ) => {
            ledger.worked();
        }
    }
}

/// The settlement after a stage's result. Reports to the ledger's breaker and logs a fault once.
pub(crate) fn settled(
    stage: &'static str,
    ledger: &Breaker,
    result: Result<Settlement, StageFault>,
) -> Settlement {
    observe(ledger, &result);
    result.unwrap_or_else(|fault| {
        let settlement = fault.settlement();
        tracing::warn!(stage, error = %chain(&fault), "the message could not be handled");
        settlement
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::broker::{BreakerRules, Unobserved};

    #[test]
    fn a_race_for_one_record_is_no_outage_of_the_ledger() {
        let pause = Duration::from_secs(1);
        let rules = BreakerRules { failures: 1, pause, pause_max: pause };
        let ledger = Breaker::new("ledger", rules, Arc::new(Unobserved));
        for fault in [LedgerError::LeaseLost, LedgerError::Raced, LedgerError::Missing("attempt")] {
            observe::<()>(&ledger, &Err(fault.into()));
            assert!(!ledger.is_open());
        }
    }
}
