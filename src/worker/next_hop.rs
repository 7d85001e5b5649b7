//! The next hop of an attempt, by where it stands.
//!
//! Invariant: driving it again does no harm; every stage checks the ledger before it acts.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::settle::Fault;
use crate::broker::names::AMQP_SYSTEM;
use crate::broker::{Delay, Outgoing, Publisher, Target, WorkQueue};
use crate::domain::{Cause, MESSAGE_VERSION, OutcomeMessage, RequestMessage, State};
use crate::ledger::{Case, Ledger};

/// Publishes what an attempt needs next.
#[derive(Clone)]
pub struct NextHop {
    ledger: Ledger,
    publisher: Publisher,
    confirm_after: Duration,
    queues: Queues,
}

/// The queues whose delay queues this stage publishes to.
#[derive(Clone)]
pub struct Queues {
    /// record → send.
    pub requests: WorkQueue,
    /// resolve → confirmer.
    pub outcomes: WorkQueue,
}

impl NextHop {
    /// `confirm_after`: how long after the acceptance the first write to OpenCRVS may be; an earlier outcome waits in
    /// the delay queue of that length.
    pub fn new(ledger: Ledger, publisher: Publisher, confirm_after: Duration, queues: Queues) -> Self {
        Self { ledger, publisher, confirm_after, queues }
    }

    /// Has the attempt's request sent again after a while; without one, after the first delay step.
    pub(super) async fn ask_again(&self, case: &Case, after: Option<Duration>) -> Result<(), Fault> {
        let to = waiting(&self.queues.requests, after.unwrap_or_default(), Target::requests(AMQP_SYSTEM));
        self.publish(case, &to, "request.v1", &request_message(case)).await
    }

    /// Publishes the next hop of an attempt that is open; does nothing for one that is not.
    pub(crate) async fn drive(&self, case: &Case) -> Result<(), Fault> {
        match case.attempt.state {
            State::Received | State::Requested => self.request(case).await,
            State::Answered => self.outcome(case).await,
            State::Confirmed
            | State::Rejected
            | State::Superseded
            | State::Withdrawn
            | State::Held
            | State::Expired
            | State::Parked => Ok(()),
        }
    }

    async fn request(&self, case: &Case) -> Result<(), Fault> {
        let to = Target::requests(AMQP_SYSTEM);
        self.publish(case, &to, "request.v1", &request_message(case)).await
    }

    async fn outcome(&self, case: &Case) -> Result<(), Fault> {
        let message =
            OutcomeMessage { v: MESSAGE_VERSION, record: case.record.id.clone(), attempt: case.attempt.id };
        let to = if self.is_early(case.attempt.accepted_at) {
            waiting(&self.queues.outcomes, self.confirm_after, Target::outcomes())
        } else {
            Target::outcomes()
        };
        self.publish(case, &to, "outcome.v1", &message).await
    }

    fn is_early(&self, accepted_at: Timestamp) -> bool {
        let age = Timestamp::now().duration_since(accepted_at);
        Duration::try_from(age).is_ok_and(|age| age < self.confirm_after)
    }

    async fn publish<M: Serialize>(
        &self,
        case: &Case,
        to: &Target,
        kind: &'static str,
        message: &M,
    ) -> Result<(), Fault> {
        let body = serde_json::to_vec(message).map_err(|_| Fault::Message(Cause::Internal))?;
        let outgoing = Outgoing {
            id: case.attempt.id.to_string(),
            kind,
            content_type: "application/json",
            correlation_id: Some(case.record.id.to_string()),
            headers: BTreeMap::new(),
            body,
        };
        self.publisher.publish(to, outgoing).await?;
        Ok(self.ledger.published(case.attempt.id).await?)
    }
}

fn request_message(case: &Case) -> RequestMessage {
    RequestMessage { v: MESSAGE_VERSION, record: case.record.id.clone(), attempt: case.attempt.id }
}

/// The delay queue that is long enough; the work queue itself where no delay is configured.
fn waiting(queue: &WorkQueue, least: Duration, otherwise: Target) -> Target {
    queue.pick(Delay::AtLeast(least), 0).map_or(otherwise, Target::queue)
}
