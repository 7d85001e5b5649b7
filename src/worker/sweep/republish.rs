//! Publishes the next hop of overdue attempts again, but no more messages than are missing from the
//! queues.

use super::Sweeper;
use crate::broker::{BrokerError, Link, WorkQueue};
use crate::domain::{AttemptId, Lane, republish_limit};
use crate::pipeline::elected::{Halt, Leadership};
use crate::pipeline::names::{NID_KINDS, NID_REPLIES, nid_requests};
use crate::pipeline::stage::StageFault;

impl Sweeper {
    /// Publishes again up to `left` messages that are missing from a lane, and returns how many.
    pub(super) async fn republish(
        &self,
        lane: Lane,
        left: usize,
        leadership: &mut Leadership<'_>,
    ) -> Result<usize, Halt> {
        let due = self.ledger.overdue(lane, self.rules.patience.of(lane), self.rules.deadline, left).await?;
        if due.is_empty() {
            return Ok(0);
        }
        // The queues are counted first, so that a message that is consumed in between lowers the
        // limit and never raises it.
        let queued = self.queued(lane).await?;
        let open = self.ledger.open_in(lane).await?;
        let most = republish_limit(open, queued, due.len(), left);
        tracing::info!(
            stage = Self::NAME,
            lane = lane.as_str(),
            due = due.len(),
            open,
            queued,
            again = most,
            "attempts are overdue"
        );
        let mut published = 0;
        for attempt in due.into_iter().take(most) {
            leadership.check().await?;
            published += usize::from(self.publish_again(attempt, lane).await?);
        }
        Ok(published)
    }

    /// The number of messages of a lane that are in the broker's queues.
    async fn queued(&self, lane: Lane) -> Result<u64, BrokerError> {
        match lane {
            Lane::Outcome => depth(&self.bridge, &self.queues.outcomes).await,
            Lane::Request => depth(&self.bridge, &self.queues.requests).await,
            Lane::Reply => {
                let mut sum = u64::from(self.nid.depth(NID_REPLIES).await?.ready);
                for kind in NID_KINDS {
                    sum += u64::from(self.nid.depth(&nid_requests(kind)).await?.ready);
                }
                Ok(sum)
            }
        }
    }

    /// Publishes the next hop of an attempt again if it is still overdue, and returns whether it
    /// was.
    async fn publish_again(&self, attempt: AttemptId, lane: Lane) -> Result<bool, Halt> {
        let Some(case) = self.ledger.case(attempt).await? else { return Ok(false) };
        let at = &case.attempt;
        let is_due = Lane::of(at.state, at.published_at, at.sent_at) == Some(lane)
            && case.is_newest()
            && self.rules.patience.is_over(lane, at.last_activity(), self.ledger.now().await?);
        if !is_due {
            return Ok(false);
        }
        match self.next.drive(&case).await {
            Ok(()) => {}
            Err(StageFault::Publish(fault)) => {
                // The message may have arrived. The ledger notes that, so that the next turn does
                // not publish a second one.
                if fault.may_be_stored() {
                    self.ledger.published(attempt).await?;
                }
                return Err(StageFault::Publish(fault).into());
            }
            Err(fault) => return Err(fault.into()),
        }
        self.ledger.republished(&case).await?;
        self.metrics.swept(at.state);
        tracing::info!(
            stage = Self::NAME, record.id = %case.record.id, attempt.id = %attempt,
            attempt.state = at.state.as_str(), "published again"
        );
        Ok(true)
    }
}

/// The number of messages in a work queue and in its delay queues.
async fn depth(link: &Link, queue: &WorkQueue) -> Result<u64, BrokerError> {
    let mut sum = u64::from(link.depth(queue.name()).await?.ready);
    for (_, name) in queue.delays() {
        sum += u64::from(link.depth(&name).await?.ready);
    }
    Ok(sum)
}
