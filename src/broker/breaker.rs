//! A circuit breaker of something that stages depend on, and what it means for their consumers.
//!
//! A stage tells the breaker how it fared; the [consumer loop](super::consume) holds its consumer back while one of its
//! breakers is open, so that a backlog waits in its queue instead of turning over.
//!
//! Invariant: while a breaker is open nothing is asked but its probe, and never more than one of these at a time.

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

/// A probe that is not answered by then has failed; a connection that died in silence answers never.
const PROBING: Duration = Duration::from_secs(30);

/// The breaker of one dependency in one process; clones are the same.
#[derive(Clone)]
pub struct Breaker(Arc<Inner>);

struct Inner {
    dependency: &'static str,
    rules: BreakerRules,
    position: watch::Sender<BreakerState>,
    /// Whether somebody probes for it already.
    kept: AtomicBool,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = *self.0.position.borrow();
        f.debug_tuple("Breaker").field(&self.0.dependency).field(&position).finish()
    }
}

impl Breaker {
    /// A closed one.
    pub fn new(
        dependency: &'static str,
        rules: BreakerRules,
        observer: Arc<impl Observer + 'static>,
    ) -> Self {
        let (position, kept) = (watch::Sender::new(BreakerState::CLOSED), AtomicBool::new(false));
        Self(Arc::new(Inner { dependency, rules, position, kept, observer }))
    }

    /// What it is the breaker of.
    pub fn dependency(&self) -> &'static str {
        self.0.dependency
    }

    /// It did what it was asked, or refused that one thing for good.
    pub fn worked(&self) {
        self.tell(BreakerEvent::Succeeded);
    }

    /// It could not be reached, or failed.
    pub fn failed(&self) {
        self.tell(BreakerEvent::Failed);
    }

    /// It asks to be left alone for so long.
    pub fn throttled(&self, after: Duration) {
        self.tell(BreakerEvent::Throttled(after));
    }

    /// Whether it is left alone.
    pub fn is_open(&self) -> bool {
        matches!(*self.0.position.borrow(), BreakerState::Open { .. })
    }

    /// Probes whenever a pause is over, until `stop`; returns at once where another role of the process does.
    pub async fn keep<P, F>(self, probe: P, stop: CancellationToken)
    where
        P: Fn() -> F,
        F: Future<Output = bool>,
    {
        if self.0.kept.swap(true, Ordering::AcqRel) {
            return;
        }
        self.0.observer.breaker(self.0.dependency, *self.0.position.borrow());
        let mut position = self.0.position.subscribe();
        let probing = async {
            while let Some(until) = opened(&mut position).await {
                tokio::time::sleep_until(until.into()).await;
                let answered = matches!(tokio::time::timeout(PROBING, probe()).await, Ok(true));
                self.tell(if answered { BreakerEvent::ProbeSucceeded } else { BreakerEvent::ProbeFailed });
            }
        };
        tokio::select! {
            () = probing => {}
            () = stop.cancelled() => {}
        }
    }

    fn tell(&self, sign: BreakerEvent) {
        let inner = &*self.0;
        inner.position.send_if_modified(|position| {
            let before = *position;
            *position = before.after(sign, Instant::now(), &inner.rules, fastrand::f64());
            if std::mem::discriminant(&before) != std::mem::discriminant(position) {
                // Told under the lock, so that the last word is of the last move.
                self.moved(*position);
            }
            before != *position
        });
    }

    fn moved(&self, position: BreakerState) {
        let dependency = self.0.dependency;
        self.0.observer.breaker(dependency, position);
        match position {
            BreakerState::Open { pause, .. } => {
                tracing::warn!(dependency, ?pause, "is out of order: its consumers pause");
            }
            BreakerState::HalfOpen { .. } => {
                tracing::info!(dependency, "answers again: one message tries it")
            }
            BreakerState::Closed { .. } => tracing::info!(dependency, "works again: its consumers go on"),
        }
    }
}

/// Waits until it is open; says until when.
async fn opened(position: &mut watch::Receiver<BreakerState>) -> Option<Instant> {
    match *position.wait_for(|now| matches!(now, BreakerState::Open { .. })).await.ok()? {
        BreakerState::Open { until, .. } => Some(until),
        BreakerState::Closed { .. } | BreakerState::HalfOpen { .. } => None,
    }
}

/// How wide a consumer may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Not at all.
    Shut,
    /// One message at a time.
    Trial,
    /// As many as its prefetch says.
    Full,
}

/// The breakers of one consumer, watched.
pub(super) struct Gates(Vec<watch::Receiver<BreakerState>>);

impl Gates {
    pub(super) fn of(breakers: &[Breaker]) -> Self {
        Self(breakers.iter().map(|breaker| breaker.0.position.subscribe()).collect())
    }

    /// What the worst of them allows.
    pub(super) fn width(&self) -> Width {
        let widths = self.0.iter().map(|position| match *position.borrow() {
            BreakerState::Open { .. } => Width::Shut,
            BreakerState::HalfOpen { .. } => Width::Trial,
            BreakerState::Closed { .. } => Width::Full,
        });
        widths.fold(Width::Full, |least, width| match (least, width) {
            (Width::Shut, _) | (_, Width::Shut) => Width::Shut,
            (Width::Trial, _) | (_, Width::Trial) => Width::Trial,
            (Width::Full, Width::Full) => Width::Full,
        })
    }

    /// Waits until it is not what it was.
    pub(super) async fn other_than(&mut self, width: Width) -> Width {
        loop {
            let now = self.width();
            if now != width {
                return now;
            }
            if self.0.is_empty() {
                std::future::pending::<()>().await;
            }
            drop(select_all(self.0.iter_mut().map(|position| Box::pin(position.changed()))).await);
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
    async fn a_consumer_is_as_wide_open_as_its_worst_dependency_allows() {
        let (one, other) = (breaker("one"), breaker("other"));
        let mut gates = Gates::of(&[one.clone(), other.clone()]);
        assert_eq!(gates.width(), Width::Full);
        one.failed();
        assert_eq!(gates.width(), Width::Full, "one failure is no outage");
        one.failed();
        assert_eq!(gates.other_than(Width::Full).await, Width::Shut);
        let stop = CancellationToken::new();
        drop(tokio::spawn(one.clone().keep(async || true, stop.clone())));
        assert_eq!(gates.other_than(Width::Shut).await, Width::Trial);
        one.worked();
        assert_eq!(gates.other_than(Width::Trial).await, Width::Full);
        stop.cancel();
    }

    #[tokio::test]
    async fn it_is_probed_until_it_answers() {
        let one = breaker("one");
        let mut gates = Gates::of(std::slice::from_ref(&one));
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
            assert_eq!(gates.other_than(Width::Shut).await, Width::Trial);
            stop.cancel();
        };
        tokio::join!(one.clone().keep(probe, stop.clone()), answered);
        assert_eq!(*asked.borrow(), 4);
    }
}
