//! Stage *sweep*: looks after attempts that are stuck or expired, and erases old sealed values.
//!
//! One worker of the whole installation sweeps. In each turn it expires attempts whose token has
//! expired, warns of tokens that expire soon, of attempts that are open for too long and of
//! attempts that fail while others are confirmed, erases sealed values that were kept long enough,
//! and publishes lost messages again.
//!
//! Invariant: sweeping cannot make an outage worse. It publishes one message at a time and stops at
//! the first failure; it publishes for an attempt at most once in the time of the longest delay,
//! and no more messages than are missing from the queues.

mod erase;
mod expire;
mod republish;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::broker::{Breaker, Link};
use crate::domain::{Lane, Patience};
use crate::ledger::Ledger;
use crate::pipeline::elected::{
    ElectedTask, Election, Halt, Leadership, OnStop, Report, TurnEnd, run_elected,
};
use crate::pipeline::{NextHop, Queues};
use crate::telemetry::Metrics;

/// The lease of the process that sweeps.
const LEASE: &str = "sweep";
/// Time that the lease lasts in addition to two intervals. One publish and one query together take
/// less.
const LEASE_FLOOR: Duration = Duration::from_secs(5);

/// How the sweeper works.
#[derive(Debug, Clone, Copy)]
pub struct SweepRules {
    /// Time between two turns.
    pub interval: Duration,
    /// The most attempts or records that each step of a turn handles.
    pub batch: usize,
    /// How long an attempt may show no activity before it is published again.
    pub patience: Patience,
    /// An operator is warned this long before a token expires.
    pub expiring: Duration,
    /// An operator is warned this long after the acceptance of an attempt that is still open, and
    /// the ID system is not asked about it again.
    pub deadline: Duration,
    /// An operator is warned of an attempt that has failed for this long while others were
    /// confirmed.
    pub failing_after: Duration,
    /// Time after a write intent during which the write may still arrive.
    pub quarantine: Duration,
    /// Whether the bridge has a system client in OpenCRVS, which answers in the events generation
    /// without the attempt's token.
    pub has_client: bool,
    /// Sealed values are kept this long after the end of an attempt.
    pub keep_sealed: Duration,
}

pub struct Sweeper {
    pub ledger: Ledger,
    pub next: NextHop,
    /// Our own vhost.
    pub bridge: Link,
    /// The vendor's vhost.
    pub nid: Link,
    pub queues: Queues,
    pub metrics: Arc<Metrics>,
    /// The ID system's breaker.
    pub id_system: Breaker,
    pub rules: SweepRules,
}

impl Sweeper {
    /// The stage's name in logs.
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
        let mut turns = Turns { sweeper: self, all_erased: None };
        run_elected(&mut turns, &self.ledger, election, stop).await;
    }
}

/// The turns of one process.
struct Turns<'a> {
    sweeper: &'a Sweeper,
    /// When the sweeper last found nothing left to erase.
    all_erased: Option<Instant>,
}

impl ElectedTask for Turns<'_> {
    async fn turn(&mut self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        let sweeper = self.sweeper;
        sweeper.expire(leadership).await?;
        sweeper.warn().await?;
        if erase::is_due(self.all_erased, sweeper.rules.keep_sealed) {
            let all = sweeper.erase(leadership).await?;
            self.all_erased = all.then(Instant::now);
        }
        let mut left = sweeper.rules.batch;
        for lane in Lane::ALL {
            // While the ID system is unavailable, messages wait for it and are not lost.
            if lane != Lane::Outcome && sweeper.id_system.is_open() {
                continue;
            }
            left = left.saturating_sub(sweeper.republish(lane, left, leadership).await?);
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
