//! The confirmer: answers registrations in OpenCRVS. No other role writes there.
//!
//! For each outcome, the confirmer takes the record's lease, reads the record in OpenCRVS, decides
//! ([`domain::decide`](crate::domain::decide)), commits the intent, writes with the record token,
//! and stores the result in the ledger. In the events generation it decides without reading
//! ([`domain::decide_action`](crate::domain::decide_action)), and writes with the action token or
//! the bridge's own client, whichever OpenCRVS accepts.
//!
//! Invariant: nothing is written before `confirm_after` has passed since the acceptance; nothing is
//! written without the lease and a committed intent; in the FHIR generation, nothing is written
//! while an earlier write may still arrive (`quarantine`); no older answer is written over a newer
//! attempt.

mod answer;
mod client;
mod events;
mod fhir;
mod keeper;
mod settle;
mod turn;
mod unheard;
mod unseal;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use client::ClientMonitor;
pub use events::EventsSide;
pub use keeper::{Keeper, KeeperRules};
pub use unheard::{Finding, SearchFault, TakeIn, UnexplainedPage, Unheard, UnheardRules, UnheardSearch};
pub(crate) use unseal::{action_of, token_of};

use crate::broker::{self, Breaker, Delay, Handler, Incoming, Settlement};
use crate::domain::{Cause, NegativePolicy, Reason, ReasonSource, State};
use crate::ledger::{Case, LeaseRefusal, Ledger};
use crate::opencrvs::KeyStore;
use crate::opencrvs::fhir::Gateway;
use crate::pipeline::stage::{StageFault, delay, note_failure, settled};
use crate::pipeline::{Message as _, NextHop, OutcomeMessage};
use crate::seal::Sealer;
use crate::telemetry::Metrics;
use turn::LeasedCase;

#[derive(Debug, Clone)]
pub struct Rules {
    /// Shortest time between the acceptance and the write.
    pub confirm_after: Duration,
    /// Time from the acceptance within which OpenCRVS may not show a submission yet.
    pub visible_within: Duration,
    /// Duration of a lease. It is longer than any request to the gateway.
    pub lease: Duration,
    /// Time during which a write whose result is unknown may still arrive (FHIR generation).
    pub quarantine: Duration,
    /// Whether the bridge has a system client in OpenCRVS. It answers in the events generation, so
    /// there an attempt does not expire with its token.
    pub has_client: bool,
    /// What to do with a rejection by the ID system (FHIR generation, where no call can reject a
    /// record).
    pub negative: NegativePolicy,
    /// The identifier type under which OpenCRVS gets the ID (FHIR generation).
    pub identifier_type: String,
    /// Text before the code of the ID system's reason: in the comment of a confirmation after a
    /// rejection (FHIR generation), or in the reason of a rejection (events generation).
    pub comment: String,
    /// The same before the fields at fault, if the ID system was not asked because of them.
    pub comment_unfit: String,
}

/// Reason that OpenCRVS shows for a rejection by an operator. The operator's own words stay in the
/// history.
const BY_OPERATOR: &str = "An operator of the ID bridge rejected the registration.";

impl Rules {
    /// What OpenCRVS is told of a negative answer.
    fn comment_on(&self, reason: &Reason) -> String {
        let code = reason.code.as_str();
        match reason.source {
            ReasonSource::IdSystem => format!("{} ({code})", self.comment),
            ReasonSource::Operator => BY_OPERATOR.to_owned(),
            ReasonSource::Bridge => format!("{} ({code}: {})", self.comment_unfit, reason.fields.join(", ")),
        }
    }
}

pub struct Confirmer {
    pub ledger: Ledger,
    pub sealer: Arc<Sealer>,
    pub next: NextHop,
    pub gateway: Gateway,
    pub events: EventsSide,
    pub keys: Arc<KeyStore>,
    pub rules: Rules,
    pub metrics: Arc<Metrics>,
    pub breakers: ConfirmerBreakers,
}

#[derive(Debug)]
pub struct ConfirmerBreakers {
    pub ledger: Breaker,
    pub gateway: Breaker,
    /// Auth is a dependency, because the gateway may ask it about each token.
    pub auth: Breaker,
}

impl Handler for Confirmer {
    const NAME: &'static str = "confirm";

    async fn handle(&self, message: Incoming) -> Settlement {
        settled(Self::NAME, &self.breakers.ledger, self.confirm(&message).await)
    }

    async fn delayed(&self, message: &Incoming, cause: broker::Cause, after: Duration) {
        note_failure(&self.ledger, message, cause, after).await;
    }
}

impl Confirmer {
    async fn confirm(&self, incoming: &Incoming) -> Result<Settlement, StageFault> {
        let message = OutcomeMessage::read(&incoming.body).map_err(StageFault::Message)?;
        let case =
            self.ledger.case(message.attempt).await?.ok_or(StageFault::Message(Cause::UnknownAttempt))?;
        if let Some(settlement) = self.nothing_to_do_yet(&case) {
            return Ok(settlement);
        }
        match self.ledger.lease_record(message.attempt, self.rules.lease).await? {
            Err(LeaseRefusal::Unknown) => Err(StageFault::Message(Cause::UnknownAttempt)),
            Err(LeaseRefusal::Taken) => Ok(delay(Cause::Leased)),
            Ok((lease, case)) => {
                let result = self.take_turn(LeasedCase { lease, case }, incoming.attempt).await;
                // A lease that cannot be released expires by itself, so the result of the turn is
                // returned all the same.
                if let Err(fault) = self.ledger.release_record(lease).await {
                    tracing::warn!(error = %fault, "a lease could not be released: it expires by itself");
                }
                result
            }
        }
    }

    /// How to settle the delivery if the attempt is no longer *answered*, or if it is too early to
    /// write. `None` if the answer is to be written now.
    fn nothing_to_do_yet(&self, case: &Case) -> Option<Settlement> {
        if case.attempt.state != State::Answered {
            return Some(Settlement::Done);
        }
        let earliest = case.attempt.earliest_write(self.rules.confirm_after);
        let left = earliest.saturating_sub(case.attempt.age(Timestamp::now()));
        (!left.is_zero())
            .then_some(Settlement::Delay { step: Delay::AtLeast(left), cause: Cause::TooEarly.into() })
    }
}
