//! One proxied request, from its permit until both sides have finished.
//!
//! Invariant: each request is counted once, by its outcome, and then returns its permit.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::front::callers::Place;
use crate::telemetry::Metrics;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The caller got the whole response, whatever its status.
    Answered,
    /// The service could not be reached.
    Away,
    /// The service closed its connection before the end of its response.
    BrokeOff,
    /// The service sent nothing for the idle timeout.
    Silent,
    /// The caller sent no more of its body for the idle timeout.
    Stalled,
    /// The caller hung up.
    Left,
    /// All permits were in use.
    Busy,
    /// The caller has as many requests as one caller may have.
    TooMany,
    /// The bridge had proxied the request before: the upstream leads back to it.
    Loop,
    /// The request target is not a path.
    Target,
}

impl Outcome {
    /// The label `outcome` in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Away => "away",
            Self::BrokeOff => "broke_off",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Left => "left",
            Self::Busy => "busy",
            Self::TooMany => "too_many",
            Self::Loop => "loop",
            Self::Target => "target",
        }
    }
}

/// A request that is being proxied. If it is dropped before [`Proxied::end`], the caller hung up.
pub(super) struct Proxied {
    metrics: Arc<Metrics>,
    outcome: Option<Outcome>,
    _permit: OwnedSemaphorePermit,
    _place: Option<Place<IpAddr>>,
}

impl Proxied {
    pub(super) fn begin(
        permit: OwnedSemaphorePermit,
        place: Option<Place<IpAddr>>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        metrics.passing(1);
        Self { metrics: Arc::clone(metrics), outcome: None, _permit: permit, _place: place }
    }

    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Proxied {
    fn drop(&mut self) {
        self.metrics.passing(-1);
        self.metrics.passed(self.outcome.unwrap_or(Outcome::Left).label());
    }
}
