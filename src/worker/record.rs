//! Stage *record*: writes a registration that the front accepted to the ledger, with its number and
//! its attempt.
//!
//! The next step is *send*, or the confirmer if the ID system is not asked.
//!
//! Invariant: nothing here waits for an ID system or for OpenCRVS. A registration that cannot be
//! recorded is parked on the broker with its cause, and stays sealed.

use std::sync::Arc;

use super::request::{RequestSettings, ask_about, open_view};
use crate::broker::{Breaker, Handler, Incoming, Settlement};
use crate::domain::{Cause, State};
use crate::ledger::{Case, Ledger, LedgerError, Receipt, Stage};
use crate::nid::{Ask, why_not_asked};
use crate::pipeline::NextHop;
use crate::pipeline::stage::{StageFault, settled};
use crate::pipeline::{Message as _, RegistrationMessage};
use crate::seal::Sealer;
use crate::telemetry::Metrics;

pub struct RecordStage {
    pub ledger: Ledger,
    pub sealer: Arc<Sealer>,
    pub next: NextHop,
    pub metrics: Arc<Metrics>,
    /// The ledger's breaker.
    pub breaker: Breaker,
    pub requests: RequestSettings,
}

impl Handler for RecordStage {
    const NAME: &'static str = "record";

    async fn handle(&self, message: Incoming) -> Settlement {
        let recorded = match self.record(&message.body).await {
            // A newer attempt was recorded between the read and the write.
            Err(StageFault::Ledger(LedgerError::Conflict(_))) => self.record(&message.body).await,
            recorded => recorded,
        };
        settled(Self::NAME, &self.breaker, recorded)
    }
}

impl RecordStage {
    async fn record(&self, body: &[u8]) -> Result<Settlement, StageFault> {
        let message = RegistrationMessage::read(body).map_err(StageFault::Message)?;
        let registration = &message.registration;
        let numbers = &self.requests.numbers;
        let receipt = self
            .ledger
            .receive(registration, numbers, &message.sealed_view, message.sealed_token.as_deref())
            .await?;
        self.report_order(&receipt);
        if receipt.number_kept {
            self.metrics.alarm(Cause::NumberKept);
        }
        let Receipt { case, fresh, .. } = receipt;
        tracing::info!(
            record.id = %case.record.id, attempt.id = %case.attempt.id, attempt.state = case.attempt.state.as_str(),
            fresh, "registration recorded"
        );
        let case = if case.attempt.state == State::Received { self.route(case).await? } else { case };
        self.next.drive(&case).await?;
        Ok(Settlement::Done)
    }

    /// Reports an attempt from the future, or one that a newer attempt superseded before it
    /// arrived.
    fn report_order(&self, receipt: &Receipt) {
        let Case { record, attempt } = &receipt.case;
        if receipt.from_future {
            self.metrics.stamp_in_future(record.dialect);
            self.metrics.alarm(Cause::StampInFuture);
            tracing::error!(
                record.id = %record.id, attempt.id = %attempt.id, attempt.stamp = %attempt.stamp,
                cause = Cause::StampInFuture.as_str(),
                "the submission is dated in the future, or many years ago: see `nidbridge causes`"
            );
        }
        if let Some(winner) = &receipt.winner {
            self.metrics.superseded_on_arrival(winner.from_future);
            if winner.from_future {
                self.metrics.alarm(Cause::StampInFuture);
            }
            tracing::warn!(
                record.id = %record.id, attempt.id = %attempt.id, attempt.stamp = %attempt.stamp,
                newer.id = %winner.attempt, newer.stamp = %winner.stamp,
                "a newer attempt superseded the registration before it arrived"
            );
        }
    }

    /// Answers an attempt at once if the ID system is not to be asked about it. Leaves all other
    /// attempts to *send*.
    async fn route(&self, case: Case) -> Result<Case, StageFault> {
        let view = match open_view(&self.sealer, &case) {
            Ok(view) => view,
            Err(fault) => return self.park(case, &fault).await,
        };
        match ask_about(&case, &view, &self.requests) {
            Ok(Ask::Request(_)) => return Ok(case),
            Ok(Ask::Nothing) => {
                self.ledger.answer(&case, None).await?;
                self.metrics.not_asked(&case.record.kind, why_not_asked(&case.record.kind, &view));
            }
            Ok(Ask::Unfit(reason)) => self.ledger.answer(&case, Some(&reason)).await?,
            Err(cause) => return self.park(case, &StageFault::Message(cause)).await,
        }
        Ok(self.ledger.case(case.attempt.id).await?.unwrap_or(case))
    }

    async fn park(&self, mut case: Case, fault: &StageFault) -> Result<Case, StageFault> {
        let cause = match fault {
            StageFault::Seal(_) => Cause::Unsealable,
            StageFault::Message(cause) => *cause,
            StageFault::Ledger(_) | StageFault::Publish(_) | StageFault::IdSystem(_) => Cause::Internal,
        };
        self.ledger.park(&case, Stage::Record, cause).await?;
        self.metrics.alarm(cause);
        tracing::error!(record.id = %case.record.id, cause = cause.as_str(), "registration parked: see `nidbridge causes`");
        case.attempt.state = State::Parked;
        Ok(case)
    }
}
