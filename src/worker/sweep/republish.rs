//! Publishes the next hop of overdue attempts again, but no more messages than are missing from the
//! queues.

use super::Sweeper;
use crate::broker::{BrokerError, Link, WorkQueue};
use crate::domain::{AttemptId, Lane, republish_limit};
use crate::ledger::Ledger;
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
        noted(&self.ledger, attempt, self.next.drive(&case).await).await?;
        self.ledger.republished(&case).await?;
        self.metrics.swept(at.state);
        tracing::info!(
            stage = Self::NAME, record.id = %case.record.id, attempt.id = %attempt,
            attempt.state = at.state.as_str(), "published again"
        );
        Ok(true)
    }
}

/// Returns the result of a publish. If the message may have arrived, the ledger notes it, so that
/// the next turn does not publish a second one.
async fn noted(
    ledger: &Ledger,
    attempt: AttemptId,
    published: Result<(), StageFault>,
) -> Result<(), StageFault> {
    if let Err(StageFault::Publish(fault)) = &published
        && fault.may_be_stored()
    {
        ledger.published(attempt).await?;
    }
    published
}

/// The number of messages in a work queue and in its delay queues.
async fn depth(link: &Link, queue: &WorkQueue) -> Result<u64, BrokerError> {
    let mut sum = u64::from(link.depth(queue.name()).await?.ready);
    for (_, name) in queue.delays() {
        sum += u64::from(link.depth(&name).await?.ready);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use secrecy::SecretString;

    use super::*;
    use crate::broker::{NotSent, PublishError, Unconfirmed};
    use crate::domain::{
        AttemptKey, Dialect, EventKind, NumberRules, NumberScope, NumberTemplate, RecordId, Registration,
        TrackingId,
    };
    use crate::ledger::LedgerSettings;
    use crate::seal::Sealer;

    const KEYS: &str = "a:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";

    async fn ledger(directory: &std::path::Path) -> Ledger {
        let settings = LedgerSettings {
            url: SecretString::from(format!("sqlite:{}", directory.join("ledger.db").display())),
            connections: 1,
            timeout: Duration::from_secs(20),
            stamp_tolerance: Duration::from_secs(300),
            who: "test".to_owned(),
            create: true,
        };
        Ledger::open(&settings, &Sealer::parse(&SecretString::from(KEYS)).unwrap()).await.unwrap()
    }

    async fn attempt(ledger: &Ledger) -> AttemptId {
        let now = Timestamp::now();
        let registration = Registration {
            key: AttemptKey {
                dialect: Dialect::Fhir,
                record: RecordId::parse("r").unwrap(),
                mark: now.to_string(),
                stamp: now,
            },
            kind: EventKind::Birth,
            tracking_id: TrackingId::parse("B123456").unwrap(),
            office: None,
            accepted_at: now,
            wait: Duration::ZERO,
            token_expires_at: None,
            number: None,
            unheard: false,
        };
        let numbers = NumberRules {
            template: NumberTemplate::parse("{tracking_id}").unwrap(),
            unique: NumberScope::default(),
            zone: TimeZone::UTC,
            tolerance: Duration::from_secs(300),
        };
        ledger.receive(&registration, &numbers, "v1.a.view", None).await.unwrap().case.attempt.id
    }

    #[tokio::test]
    async fn only_a_message_that_may_have_arrived_is_noted_and_every_fault_is_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = ledger(directory.path()).await;
        let attempt = attempt(&ledger).await;
        let published_at = async || ledger.case(attempt).await.unwrap().unwrap().attempt.published_at;
        noted(&ledger, attempt, Ok(())).await.unwrap();
        let not_sent = PublishError::NotSent(NotSent::NoChannel);
        assert!(noted(&ledger, attempt, Err(StageFault::Publish(not_sent))).await.is_err());
        assert_eq!(published_at().await, None, "nothing was published");
        let unconfirmed = PublishError::Unknown(Unconfirmed::Late);
        assert!(noted(&ledger, attempt, Err(StageFault::Publish(unconfirmed))).await.is_err());
        assert!(published_at().await.is_some(), "the message may have arrived");
    }
}
