//! Stage *sweep*: looks after the attempts that nothing was heard of, and after what has outlived its time.
//!
//! Of all workers of an installation one sweeps, by a lease in the ledger. In each turn it ends attempts whose token is
//! dead, warns of those that are about to be, erases what is kept sealed for too long, and publishes again what got
//! lost on the way.
//!
//! Invariant: it cannot make an outage worse. It publishes one message at a time and stops at the first that fails, an
//! attempt at most once in the longest delay, and no more than the queues are short of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::broker::{Breaker, BrokerError, Link, WorkQueue};
use crate::domain::{AttemptId, Cause, Lane, Patience, republish_limit};
use crate::ledger::{Case, Expiry, Ledger};
use crate::pipeline::elected::{
    ElectedTask, Election, Halt, Leadership, OnStop, Report, TurnEnd, run_elected,
};
use crate::pipeline::names::{NID_KINDS, NID_REPLIES, nid_requests};
use crate::pipeline::stage::StageFault;
use crate::pipeline::{NextHop, Queues};
use crate::telemetry::Metrics;

/// The lease that makes a sweeper the only one.
const LEASE: &str = "sweep";
/// One publish, one query and some slack: a sweeper that still works is not taken for one that is gone.
const LEASE_FLOOR: Duration = Duration::from_secs(5);
/// Erasing is looked into no more often than that, however often the sweeper turns.
const ERASE_EVERY: Duration = Duration::from_secs(3_600);

/// How the sweeper goes about it.
#[derive(Debug, Clone, Copy)]
pub struct SweepRules {
    /// How often it turns.
    pub interval: Duration,
    /// How many of each it does in one turn, at most.
    pub batch: usize,
    /// How long an attempt may be silent.
    pub patience: Patience,
    /// How long before a token dies an operator is warned.
    pub expiring: Duration,
    /// How long a write may still arrive whose end is not known.
    pub quarantine: Duration,
    /// How long after the end what is sealed is kept.
    pub keep_sealed: Duration,
}

/// The stage.
pub struct Sweeper {
    /// What should be on its way.
    pub ledger: Ledger,
    /// How it gets on its way again.
    pub next: NextHop,
    /// Our own vhost.
    pub bridge: Link,
    /// The vendor's vhost.
    pub nid: Link,
    /// The queues between the stages.
    pub queues: Queues,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The ID system's breaker.
    pub id_system: Breaker,
    /// How to go about it.
    pub rules: SweepRules,
}

/// The turns of one process.
struct Turns<'a> {
    sweeper: &'a Sweeper,
    erased: Option<Instant>,
}

impl ElectedTask for Turns<'_> {
    async fn turn(&mut self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        let sweeper = self.sweeper;
        sweeper.expire(leadership).await?;
        sweeper.warn().await?;
        self.erase(leadership).await?;
        let mut left = sweeper.rules.batch;
        for lane in Lane::ALL {
            // What waits for an ID system that is out of order is not lost.
            if lane != Lane::Outcome && sweeper.id_system.is_open() {
                continue;
            }
            left = left.saturating_sub(sweeper.sweep(lane, left, leadership).await?);
        }
        Ok(())
    }

    fn ended(&mut self, end: TurnEnd) {
        self.sweeper.metrics.sweep(match end {
            TurnEnd::Done => "done",
            TurnEnd::Elsewhere => "elsewhere",
            TurnEnd::Stopped => "told",
            TurnEnd::Failed => "stopped",
        });
    }
}

impl Turns<'_> {
    /// Erases a batch of what was kept for long enough.
    async fn erase(&mut self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        let Sweeper { ledger, metrics, rules, .. } = self.sweeper;
        let pause = ERASE_EVERY.min(rules.keep_sealed / 100);
        if self.erased.is_some_and(|last| last.elapsed() < pause) {
            return Ok(());
        }
        let records = ledger.erasable(rules.keep_sealed, rules.batch).await?;
        // A full batch may have left some, which the next turn is for.
        let all = records.len() < rules.batch;
        for record in &records {
            leadership.check().await?;
            if ledger.erase(record, rules.keep_sealed).await? {
                metrics.erased();
            }
        }
        self.erased = all.then(Instant::now);
        Ok(())
    }
}

impl Sweeper {
    /// The stage's name.
    pub const NAME: &'static str = "sweep";

    /// Sweeps until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let election = Election {
            stage: Self::NAME,
            lease: LEASE,
            ttl: LEASE_FLOOR + self.rules.interval * 2,
            interval: self.rules.interval,
            on_stop: OnStop::FinishStep,
            report: Report::EachFailure,
        };
        run_elected(&mut Turns { sweeper: self, erased: None }, &self.ledger, election, stop).await;
    }

    /// Publishes again what a lane is short of; says how many that were.
    async fn sweep(&self, lane: Lane, left: usize, leadership: &mut Leadership<'_>) -> Result<usize, Halt> {
        let due = self.ledger.overdue(lane, self.rules.patience.of(lane), left).await?;
        if due.is_empty() {
            return Ok(0);
        }
        // Counted in this order, a message that is taken in between makes us publish less rather than more.
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
            "attempts are silent"
        );
        let mut published = 0;
        for attempt in due.into_iter().take(most) {
            leadership.check().await?;
            published += usize::from(self.publish_again(attempt, lane).await?);
        }
        Ok(published)
    }

    /// How many messages of a lane the broker has.
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

    async fn publish_again(&self, attempt: AttemptId, lane: Lane) -> Result<bool, Halt> {
        let Some(case) = self.ledger.case(attempt).await? else { return Ok(false) };
        let at = &case.attempt;
        let still = Lane::of(at.state, at.published_at, at.sent_at) == Some(lane)
            && case.is_newest()
            && self.rules.patience.is_over(lane, at.last_activity(), self.ledger.now().await?);
        if !still {
            return Ok(false);
        }
        match self.next.drive(&case).await {
            Ok(()) => {}
            Err(StageFault::Publish(fault)) => {
                // It may have arrived, and then a second one in the next turn would be one too many.
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

    /// Ends the attempts whose token is dead.
    async fn expire(&self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        for attempt in self.ledger.expirable(self.rules.quarantine, self.rules.batch).await? {
            leadership.check().await?;
            let Expiry::Ended { orphan } = self.ledger.expire(attempt, self.rules.quarantine).await? else {
                continue;
            };
            self.alarm(attempt, Cause::TokenRefused, "the token died before OpenCRVS could be told");
            if orphan {
                self.alarm(attempt, Cause::OrphanId, "an ID was issued for a record that is not registered");
            }
        }
        Ok(())
    }

    async fn warn(&self) -> Result<(), Halt> {
        for Case { attempt, .. } in self.ledger.warn_expiring(self.rules.expiring, self.rules.batch).await? {
            self.alarm(attempt.id, Cause::TokenExpiring, "the token dies soon");
        }
        Ok(())
    }

    fn alarm(&self, attempt: AttemptId, cause: Cause, what: &'static str) {
        self.metrics.alarm(cause);
        tracing::error!(stage = Self::NAME, attempt.id = %attempt, cause = cause.as_str(), "{what}");
    }
}

async fn depth(link: &Link, queue: &WorkQueue) -> Result<u64, BrokerError> {
    let mut sum = u64::from(link.depth(queue.name()).await?.ready);
    for (_, name) in queue.delays() {
        sum += u64::from(link.depth(&name).await?.ready);
    }
    Ok(sum)
}
