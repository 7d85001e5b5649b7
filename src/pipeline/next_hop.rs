//! The next hop of an attempt: which message its state requires, and where it is published.
//!
//! Invariant: publishing a next hop again does no harm, because every stage checks the ledger
//! before it acts.

use std::time::Duration;

use jiff::Timestamp;

use super::names::AMQP_SYSTEM;
use super::stage::{StageFault, chain};
use super::{TopologySettings, kept, queues, targets};
use crate::broker::{Delay, Outgoing, Publisher, Target, WorkQueue};
use crate::domain::AnswerKind;
use crate::domain::{Cause, State};
use crate::ledger::{Case, Ledger};
use crate::pipeline::{AnswerMessage, MESSAGE_VERSION, Message, OutcomeMessage, RequestMessage};

/// Publishes the message that an attempt needs next.
#[derive(Clone)]
pub struct NextHop {
    ledger: Ledger,
    publisher: Publisher,
    confirm_after: Duration,
    queues: Queues,
}

/// The queues that the next hops lead to.
#[derive(Clone)]
pub struct Queues {
    /// record stage → send stage.
    pub requests: WorkQueue,
    /// resolve stage → confirmer.
    pub outcomes: WorkQueue,
}

impl Queues {
    pub fn new(settings: &TopologySettings) -> Self {
        Self { requests: queues::requests(settings, AMQP_SYSTEM), outcomes: queues::outcomes(settings) }
    }
}

impl NextHop {
    /// The first write to OpenCRVS is allowed when the caller's wait plus
    /// [`TopologySettings::confirm_after`] have passed since the acceptance. An outcome that is
    /// ready earlier goes to a delay queue that is long enough.
    pub fn new(ledger: Ledger, publisher: Publisher, settings: &TopologySettings) -> Self {
        Self { ledger, publisher, confirm_after: settings.confirm_after, queues: Queues::new(settings) }
    }

    /// Publishes the message that sends the attempt's request again, delayed by at least `after`,
    /// or by the longest delay of the queue if that is shorter.
    pub(crate) async fn ask_again(&self, case: &Case, after: Duration) -> Result<(), StageFault> {
        let to = delayed(&self.queues.requests, after, targets::requests(AMQP_SYSTEM));
        self.publish(case, &to, &request_message(case)).await
    }

    /// Keeps a copy of a request that is being sent, for `recover --unknown`. A lost copy costs
    /// something only if an older ledger is restored, so a failure does not delay the request.
    pub(crate) async fn keep_copy(&self, case: &Case) {
        let message = request_message(case);
        if message.kept.is_none() {
            return;
        }
        let copied = match outgoing(case, &message) {
            Ok(outgoing) => self
                .publisher
                .publish(&targets::requests_sent(AMQP_SYSTEM), outgoing)
                .await
                .map_err(StageFault::from),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = copied {
            tracing::warn!(record.id = %case.record.id, error = %chain(&fault), "no copy of the request is kept");
        }
    }

    /// Publishes the next hop of an open attempt; does nothing for an attempt that is not open.
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
            | State::Closed
            | State::Parked => Ok(()),
        }
    }

    async fn request(&self, case: &Case) -> Result<(), StageFault> {
        let to = targets::requests(AMQP_SYSTEM);
        self.publish(case, &to, &request_message(case)).await
    }

    async fn outcome(&self, case: &Case) -> Result<(), StageFault> {
        let message = OutcomeMessage {
            v: MESSAGE_VERSION,
            record: case.record.id.clone(),
            attempt: case.attempt.id,
            kept: kept::registration(case).map(Box::new),
        };
        let left = case
            .attempt
            .earliest_write(self.confirm_after)
            .saturating_sub(case.attempt.age(Timestamp::now()));
        let to = if left.is_zero() {
            targets::outcomes()
        } else {
            // The delay is at least the time that is left, because an outcome that comes too early
            // would be delayed again.
            delayed(&self.queues.outcomes, left.max(self.confirm_after), targets::outcomes())
        };
        // The copy is published concurrently, because it may be lost and must not delay the
        // outcome.
        let (published, ()) = tokio::join!(self.publish(case, &to, &message), self.copy_to_front(case));
        published
    }

    /// Sends a copy of the answer to the front whose caller still waits for it. Nothing depends on
    /// the copy.
    async fn copy_to_front(&self, case: &Case) {
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
        let copied = match outgoing(case, &message) {
            Ok(outgoing) => {
                self.publisher.publish(&targets::answers(), outgoing).await.map_err(StageFault::from)
            }
            Err(fault) => Err(fault),
        };
        if let Err(fault) = copied {
            tracing::debug!(record.id = %case.record.id, error = %chain(&fault), "the copy of the answer reached no front");
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
    RequestMessage {
        v: MESSAGE_VERSION,
        record: case.record.id.clone(),
        attempt: case.attempt.id,
        kept: kept::registration(case).map(Box::new),
    }
}

/// The shortest delay queue that is long enough, or the work queue itself if no delay is
/// configured.
fn delayed(queue: &WorkQueue, least: Duration, work_queue: Target) -> Target {
    queue.pick(Delay::AtLeast(least), 0).map_or(work_queue, |name| queue.beside(name))
}
