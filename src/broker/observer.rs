//! The hooks through which a program counts messages and carries its trace context in headers.
//!
//! Invariant: an observer only listens; nothing that it does changes what happens to a message.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::Span;

use super::breaker::BreakerState;
use super::settle::Cause;

/// Receives what the engine reports. Every method does nothing unless it is implemented.
///
/// `link` is [`LinkSettings::name`](super::LinkSettings::name); `stage` is
/// [`Handler::NAME`](super::Handler::NAME).
pub trait Observer: Send + Sync {
    /// Reports whether a link is connected. Called after each change, and sometimes without a
    /// change.
    fn connected(&self, link: &'static str, connected: bool) {
        let _ = (link, connected);
    }

    /// A link that was lost is connected again.
    fn reconnected(&self, link: &'static str) {
        let _ = link;
    }

    /// One publish ended, with or without success. `outcome` is `confirmed` or
    /// [`PublishError::outcome`](super::PublishError::outcome).
    fn published(&self, exchange: &str, outcome: &'static str, took: Duration) {
        let _ = (exchange, outcome, took);
    }

    /// The number of deliveries that a stage is handling now.
    fn in_flight(&self, stage: &'static str, count: usize) {
        let _ = (stage, count);
    }

    /// The settlement of a delivery was decided. `outcome` is
    /// [`Settlement::outcome`](super::Settlement::outcome).
    fn handled(&self, stage: &'static str, outcome: &'static str, took: Duration) {
        let _ = (stage, outcome, took);
    }

    /// A delivery goes to a delay queue.
    fn delayed(&self, stage: &'static str, cause: Cause) {
        let _ = (stage, cause);
    }

    /// A delivery goes to the parking queue.
    fn parked(&self, stage: &'static str, cause: Cause) {
        let _ = (stage, cause);
    }

    /// A delivery was handled but not acknowledged: the broker delivers it again.
    fn unsettled(&self, stage: &'static str) {
        let _ = stage;
    }

    /// A circuit breaker changed its state, or its probe task has started.
    fn breaker(&self, dependency: &'static str, state: BreakerState) {
        let _ = (dependency, state);
    }

    /// Returns the headers that carry the trace context of a span to the consumer.
    fn inject(&self, span: &Span) -> BTreeMap<String, String> {
        let _ = span;
        BTreeMap::new()
    }

    /// Makes a span part of the trace whose context is in the headers of a message. The span is not
    /// entered yet.
    fn set_parent(&self, span: &Span, headers: &BTreeMap<String, String>) {
        let _ = (span, headers);
    }
}

/// An observer that counts nothing and carries no traces.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
