//! The loop of a task that one process of the whole installation runs: leader election by a task
//! lease in the ledger.
//!
//! Every process that could do the task runs the loop; in each turn only the process that holds the
//! lease works.
//!
//! Invariant: a turn goes on only while this process holds the lease; a process that stops gives
//! the lease back, and the lease of a process that dies expires.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::stage::{StageFault, chain};
use crate::broker::BrokerError;
use crate::ledger::{Ledger, LedgerError};

/// A task that only the elected process works on, in turns.
pub(crate) trait ElectedTask: Send {
    /// Does the work of one turn. Calls [`Leadership::check`] between its steps.
    fn turn(&mut self, leadership: &mut Leadership<'_>) -> impl Future<Output = Result<(), Halt>> + Send;

    /// Called after each turn, unless the turn was abandoned.
    fn ended(&mut self, _end: TurnEnd) {}
}

/// How a task is elected and run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Election {
    /// The task's name in logs.
    pub(crate) stage: &'static str,
    /// The lease's name in the ledger.
    pub(crate) lease: &'static str,
    /// Time after which a lease that is not renewed expires. It must be longer than the time
    /// between any two checks.
    pub(crate) ttl: Duration,
    /// Time between two turns.
    pub(crate) interval: Duration,
    pub(crate) on_stop: OnStop,
    pub(crate) report: Report,
}

/// What happens to a running turn when the process stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnStop {
    /// The current step is finished, and the turn ends at the next check.
    FinishStep,
    /// The turn is dropped at once. Only for a task that an unfinished turn does not harm.
    Abandon,
}

/// Which failed turns are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    EachFailure,
    /// The first of several failures in a row, for a task with many turns.
    FirstFailure,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnEnd {
    Done,
    /// Another process holds the lease.
    Elsewhere,
    /// The process is stopping.
    Stopped,
    Failed,
}

/// Why a turn ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error("another process holds the lease")]
    Elsewhere,
    #[error("the process is stopping")]
    Stopped,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the broker cannot be asked")]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Stage(#[from] StageFault),
    /// A fault that only this task can have.
    #[error(transparent)]
    Task(Box<dyn std::error::Error + Send + Sync>),
}

impl TurnEnd {
    fn of(result: &Result<(), Halt>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(Halt::Elsewhere) => Self::Elsewhere,
            Err(Halt::Stopped) => Self::Stopped,
            Err(Halt::Ledger(_) | Halt::Broker(_) | Halt::Stage(_) | Halt::Task(_)) => Self::Failed,
        }
    }
}

/// The lease that lets this process work on the task.
pub(crate) struct Leadership<'a> {
    ledger: &'a Ledger,
    lease: &'static str,
    ttl: Duration,
    renewed: Instant,
    stop: &'a CancellationToken,
}

impl Leadership<'_> {
    /// Checks that the turn may go on, and renews the lease once a third of its `ttl` has passed.
    ///
    /// # Errors
    /// [`Halt`] when the turn must end: the process is stopping, or another one holds the lease.
    pub(crate) async fn check(&mut self) -> Result<(), Halt> {
        if self.stop.is_cancelled() {
            return Err(Halt::Stopped);
        }
        if self.renewed.elapsed() < self.ttl / 3 {
            return Ok(());
        }
        self.renew().await
    }

    async fn renew(&mut self) -> Result<(), Halt> {
        if !self.ledger.acquire_task_lease(self.lease, self.ttl).await? {
            return Err(Halt::Elsewhere);
        }
        self.renewed = Instant::now();
        Ok(())
    }
}

/// Runs a task's turns until `stop` is cancelled.
pub(crate) async fn run_elected(
    task: &mut impl ElectedTask,
    ledger: &Ledger,
    election: Election,
    stop: &CancellationToken,
) {
    let Election { stage, lease, ttl, interval, on_stop, report } = election;
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leadership = Leadership { ledger, lease, ttl, renewed: Instant::now(), stop };
    let mut last = TurnEnd::Done;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => break,
        }
        let turn = async {
            leadership.renew().await?;
            task.turn(&mut leadership).await
        };
        let result = match on_stop {
            OnStop::FinishStep => turn.await,
            OnStop::Abandon => tokio::select! {
                result = turn => result,
                () = stop.cancelled() => break,
            },
        };
        let end = TurnEnd::of(&result);
        if let Err(halt) = &result
            && end == TurnEnd::Failed
            && (report == Report::EachFailure || last != TurnEnd::Failed)
        {
            tracing::warn!(stage, error = %chain(halt), "the task failed: it is tried again at its next interval");
        }
        task.ended(end);
        last = end;
    }
    if let Err(fault) = ledger.release_task_lease(lease).await {
        tracing::warn!(stage, error = %chain(&fault), "a lease could not be released: it expires by itself");
    }
}
