//! The next hop of an attempt, by where it stands.
//!
//! Invariant: driving it again does no harm; every stage checks the ledger before it acts.

use std::time::Duration;

use jiff::Timestamp;

use super::names::AMQP_SYSTEM;
use super::stage::{StageFault, chain};
use super::targets;
use crate::broker::{Delay, Outgoing, Publisher, Target, WorkQueue};
use crate::domain::AnswerKind;
use crate::domain::{Cause, State};
use crate::ledger::{Case, Ledger};
use crate::pipeline::{AnswerMessage, MESSAGE_VERSION, Message, OutcomeMessage, RequestMessage};

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
    /// `confirm_after`: how long after the acceptance, and after the wait for the answer, the first write to OpenCRVS may be;
    /// an earlier outcome waits in a delay queue of at least that length.
    pub fn new(ledger: Ledger, publisher: Publisher, confirm_after: Duration, queues: Queues) -> Self {
        Self { ledger, publisher, confirm_after, queues }
    }

    /// Has the attempt's request sent again after a while; without one, after the first delay step.
    pub(crate) async fn ask_again(&self, case: &Case, after: Option<Duration>) -> Result<(), StageFault> {
        let to = waiting(&self.queues.requests, after.unwrap_or_default(), targets::requests(AMQP_SYSTEM));
        self.publish(case, &to, &request_message(case)).await
    }

    /// Publishes the next hop of an attempt that is open; does nothing for one that is not.
    pub(crate) async fn drive(&self, case: &Case) -> Result<(), StageFault> {
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

    async fn request(&self, case: &Case) -> Result<(), StageFault> {
        let to = targets::requests(AMQP_SYSTEM);
        self.publish(case, &to, &request_message(case)).await
    }

    async fn outcome(&self, case: &Case) -> Result<(), StageFault> {
        let message =
            OutcomeMessage { v: MESSAGE_VERSION, record: case.record.id.clone(), attempt: case.attempt.id };
        let left = case
            .attempt
            .earliest_write(self.confirm_after)
            .saturating_sub(case.attempt.age(Timestamp::now()));
        let to = if left.is_zero() {
            targets::outcomes()
        } else {
            // Not less than what is left: an outcome that comes too early would have to wait again.
            waiting(&self.queues.outcomes, left.max(self.confirm_after), targets::outcomes())
        };
        // Side by side: the copy may be lost, and must not hold up what it is a copy of.
        let (published, ()) = tokio::join!(self.publish(case, &to, &message), self.tell_front(case));
        published
    }

    /// Sends a copy of the answer to the front whose caller still waits for it. Nothing depends on it.
    async fn tell_front(&self, case: &Case) {
        if case.attempt.age(Timestamp::now()) >= case.attempt.wait {
            return;
        }
        let (Some(number), Some(answer)) = (case.record.number.clone(), case.attempt.answer) else { return };
        let message = AnswerMessage {
            v: MESSAGE_VERSION,
            record: case.record.id.clone(),
            attempt: case.attempt.id,
            number,
            answer,
            reason: case.attempt.reason.clone(),
            sealed_id: case.record.sealed_id.clone().filter(|_| answer == AnswerKind::Issued),
        };
        let told = match outgoing(case, &message) {
            Ok(outgoing) => {
                self.publisher.publish(&targets::answers(), outgoing).await.map_err(StageFault::from)
            }
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            tracing::debug!(record.id = %case.record.id, error = %chain(&fault), "no front got the answer's copy");
        }
    }

    async fn publish(&self, case: &Case, to: &Target, message: &impl Message) -> Result<(), StageFault> {
        self.publisher.publish(to, outgoing(case, message)?).await?;
        Ok(self.ledger.published(case.attempt.id).await?)
    }
}

fn outgoing(case: &Case, message: &impl Message) -> Result<Outgoing, StageFault> {
    let outgoing = message.outgoing(case.attempt.id, &case.record.id);
    outgoing.map_err(|_| StageFault::Message(Cause::Internal))
}

fn request_message(case: &Case) -> RequestMessage {
    RequestMessage { v: MESSAGE_VERSION, record: case.record.id.clone(), attempt: case.attempt.id }
}

/// The delay queue that is long enough; the work queue itself where no delay is configured.
fn waiting(queue: &WorkQueue, least: Duration, otherwise: Target) -> Target {
    queue.pick(Delay::AtLeast(least), 0).map_or(otherwise, Target::queue)
}
