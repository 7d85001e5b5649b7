//! Circuit breakers: one for each dependency of a process.
//!
//! Stages report each success and failure of a dependency. The [consumer loop](super::consume)
//! pauses while a breaker of its stage is open, so that a backlog waits in its queue instead of
//! being delivered and delayed again and again.
//!
//! Invariant: while a breaker is open, the dependency receives no new calls except probes, one at a
//! time.

mod state;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use state::BreakerEvent;
pub use state::{BreakerRules, BreakerState};

use super::observer::Observer;

/// Time limit of a probe: a connection that died silently never answers.
const PROBING: Duration = Duration::from_secs(30);

/// The circuit breaker of one dependency in one process. Clones share it.
#[derive(Clone)]
pub struct Breaker(Arc<Inner>);

struct Inner {
    dependency: &'static str,
    rules: BreakerRules,
    state: watch::Sender<BreakerState>,
    /// Whether a task probes the dependency already.
    probed: AtomicBool,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = *self.0.state.borrow();
        f.debug_tuple("Breaker").field(&self.0.dependency).field(&state).finish()
    }
}

impl Breaker {
    pub fn new(
        dependency: &'static str,
        rules: BreakerRules,
        observer: Arc<impl Observer + 'static>,
    ) -> Self {
        let (state, probed) = (watch::Sender::new(BreakerState::CLOSED), AtomicBool::new(false));
        Self(Arc::new(Inner { dependency, rules, state, probed, observer }))
    }

    pub fn dependency(&self) -> &'static str {
        self.0.dependency
    }

    /// Reports that the dependency did what it was asked, or that it refused this one call
    /// permanently, which is not an outage.
    pub fn worked(&self) {
        self.report(BreakerEvent::Succeeded);
    }

    /// Reports that the dependency could not be reached, or failed.
    pub fn failed(&self) {
        self.report(BreakerEvent::Failed);
    }

    /// Reports that the dependency asked for a pause of this length.
    pub fn throttled(&self, after: Duration) {
        self.report(BreakerEvent::Throttled(after));
    }

    /// Opens the breaker at once, because repeating the call cannot help: the dependency refuses
    /// every call.
    pub fn trip(&self) {
        self.report(BreakerEvent::Throttled(self.0.rules.pause));
    }

    pub fn is_open(&self) -> bool {
        matches!(*self.0.state.borrow(), BreakerState::Open { .. })
    }

    /// Probes the dependency after each pause, until `stop` is cancelled. Returns at once if
    /// another role of the process already probes it.
    pub async fn keep<P, F>(self, probe: P, stop: CancellationToken)
    where
        P: Fn() -> F,
        F: Future<Output = bool>,
    {
        if self.0.probed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.0.observer.breaker(self.0.dependency, *self.0.state.borrow());
        let mut state = self.0.state.subscribe();
        let probing = async {
            while let Some(until) = opened(&mut state).await {
                tokio::time::sleep_until(until.into()).await;
                let answered = matches!(tokio::time::timeout(PROBING, probe()).await, Ok(true));
                self.report(if answered { BreakerEvent::ProbeSucceeded } else { BreakerEvent::ProbeFailed });
            }
        };
        tokio::select! {
            () = probing => {}
            () = stop.cancelled() => {}
        }
    }

    fn report(&self, event: BreakerEvent) {
        let inner = &*self.0;
        inner.state.send_if_modified(|state| {
            let before = *state;
            *state = before.after(event, Instant::now(), &inner.rules, fastrand::f64());
            if std::mem::discriminant(&before) != std::mem::discriminant(state) {
                // Called under the lock of the state, so that the observer sees the changes in
                // their order.
                self.changed(*state);
            }
            before != *state
        });
    }

    fn changed(&self, state: BreakerState) {
        let dependency = self.0.dependency;
        self.0.observer.breaker(dependency, state);
        match state {
            BreakerState::Open { pause, .. } => {
                tracing::warn!(dependency, ?pause, "the breaker is open: consumers pause");
            }
            BreakerState::HalfOpen { .. } => {
                tracing::info!(dependency, "the breaker is half-open: one message tries the dependency");
            }
            BreakerState::Closed { .. } => {
                tracing::info!(dependency, "the breaker is closed: consumers go on");
            }
        }
    }
}

/// Waits until the breaker is open, and returns the time at which its pause ends.
async fn opened(state: &mut watch::Receiver<BreakerState>) -> Option<Instant> {
    match *state.wait_for(|now| matches!(now, BreakerState::Open { .. })).await.ok()? {
        BreakerState::Open { until, .. } => Some(until),
        BreakerState::Closed { .. } | BreakerState::HalfOpen { .. } => None,
    }
}

/// How many messages a consumer may take at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    Nothing,
    OneAtATime,
    /// As many as its prefetch.
    Everything,
}

/// Watches the breakers of one consumer.
pub(super) struct BreakerWatch(Vec<watch::Receiver<BreakerState>>);

impl BreakerWatch {
    pub(super) fn of(breakers: &[Breaker]) -> Self {
        Self(breakers.iter().map(|breaker| breaker.0.state.subscribe()).collect())
    }

    /// What all breakers allow together: the most restrictive breaker decides.
    pub(super) fn allowed(&self) -> Allowed {
        let all = self.0.iter().map(|state| match *state.borrow() {
            BreakerState::Open { .. } => Allowed::Nothing,
            BreakerState::HalfOpen { .. } => Allowed::OneAtATime,
            BreakerState::Closed { .. } => Allowed::Everything,
        });
        all.fold(Allowed::Everything, |least, allowed| match (least, allowed) {
            (Allowed::Nothing, _) | (_, Allowed::Nothing) => Allowed::Nothing,
            (Allowed::OneAtATime, _) | (_, Allowed::OneAtATime) => Allowed::OneAtATime,
            (Allowed::Everything, Allowed::Everything) => Allowed::Everything,
        })
    }

    /// Waits until the breakers allow something other than `allowed`, and returns it.
    pub(super) async fn changed_from(&mut self, allowed: Allowed) -> Allowed {
        loop {
            let now = self.allowed();
            if now != allowed {
                return now;
            }
            if self.0.is_empty() {
                std::future::pending::<()>().await;
            }
            drop(select_all(self.0.iter_mut().map(|state| Box::pin(state.changed()))).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Unobserved;

    fn breaker(dependency: &'static str) -> Breaker {
        let pause = Duration::from_millis(1);
        Breaker::new(dependency, BreakerRules { failures: 2, pause, pause_max: pause }, Arc::new(Unobserved))
    }

    #[tokio::test]
    async fn the_most_restrictive_breaker_limits_a_consumer() {
        let (one, other) = (breaker("one"), breaker("other"));
        let mut breakers = BreakerWatch::of(&[one.clone(), other.clone()]);
        assert_eq!(breakers.allowed(), Allowed::Everything);
        one.failed();
        assert_eq!(breakers.allowed(), Allowed::Everything, "one failure is no outage");
        one.failed();
        assert_eq!(breakers.changed_from(Allowed::Everything).await, Allowed::Nothing);
        let stop = CancellationToken::new();
        drop(tokio::spawn(one.clone().keep(async || true, stop.clone())));
        assert_eq!(breakers.changed_from(Allowed::Nothing).await, Allowed::OneAtATime);
        one.worked();
        assert_eq!(breakers.changed_from(Allowed::OneAtATime).await, Allowed::Everything);
        stop.cancel();
    }

    #[tokio::test]
    async fn an_open_breaker_probes_its_dependency_until_it_answers() {
        let one = breaker("one");
        let mut breakers = BreakerWatch::of(std::slice::from_ref(&one));
        one.failed();
        one.failed();
        let asked = watch::Sender::new(0);
        let probe = || {
            asked.send_modify(|count| *count += 1);
            let answers = *asked.borrow() > 3;
            async move { answers }
        };
        let stop = CancellationToken::new();
        let answered = async {
            assert_eq!(breakers.changed_from(Allowed::Nothing).await, Allowed::OneAtATime);
            stop.cancel();
        };
        tokio::join!(one.clone().keep(probe, stop.clone()), answered);
        assert_eq!(*asked.borrow(), 4);
    }
}
