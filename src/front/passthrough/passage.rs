//! One request that is passed on, from the moment when it is let in until both sides are done with it.
//!
//! Invariant: each is counted once, by what came of it, and its place is free afterwards.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::Metrics;

/// What came of a request that was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The whole answer went back, whatever it says.
    Answered,
    /// The service could not be reached.
    Away,
    /// The service ended its connection before the end of its answer.
    BrokeOff,
    /// The service said nothing for too long.
    Silent,
    /// The caller said no more.
    Stalled,
    /// The caller left.
    Left,
    /// There was no place for it.
    Busy,
    /// It had been here before.
    Loop,
    /// Its target is none that can be passed on.
    Target,
}

impl Outcome {
    /// Its name in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Away => "away",
            Self::BrokeOff => "broke_off",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Left => "left",
            Self::Busy => "busy",
            Self::Loop => "loop",
            Self::Target => "target",
        }
    }
}

/// One request; whoever drops it before its end was left by the caller.
pub(super) struct Passage {
    metrics: Arc<Metrics>,
    outcome: Option<Outcome>,
    _place: OwnedSemaphorePermit,
}

impl Passage {
    /// Takes a place, if there is one.
    pub(super) fn begin(places: &Arc<Semaphore>, metrics: &Arc<Metrics>) -> Option<Self> {
        let place = Arc::clone(places).try_acquire_owned().ok()?;
        metrics.passing(1);
        Some(Self { metrics: Arc::clone(metrics), outcome: None, _place: place })
    }

    /// This came of it.
    pub(super) fn ends(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.metrics.passing(-1);
        self.metrics.passed(self.outcome.unwrap_or(Outcome::Left).label());
    }
}
