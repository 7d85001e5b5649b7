//! Passes the reports of the broker engine on to the metrics and traces of the process.
//!
//! Invariant: every label comes from a bounded set: link names, stage names, exchanges, causes.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::Span;

use crate::broker::{self, BreakerState, Observer};
use crate::domain::Cause;
use crate::telemetry::{self, Metrics};

impl Observer for Metrics {
    fn connected(&self, link: &'static str, connected: bool) {
        self.broker_connected(link, connected);
    }

    fn reconnected(&self, link: &'static str) {
        Metrics::reconnected(self, link);
    }

    fn published(&self, exchange: &str, outcome: &'static str, took: Duration) {
        Metrics::published(self, exchange, outcome, took.as_secs_f64());
    }

    fn in_flight(&self, stage: &'static str, count: usize) {
        Metrics::in_flight(self, stage, count);
    }

    fn handled(&self, stage: &'static str, outcome: &'static str, took: Duration) {
        self.stage_processed(stage, outcome, took.as_secs_f64());
    }

    fn delayed(&self, stage: &'static str, cause: broker::Cause) {
        Metrics::delayed(self, stage, cause.as_str());
    }

    fn parked(&self, stage: &'static str, cause: broker::Cause) {
        Metrics::parked(self, stage, cause.as_str());
    }

    fn unsettled(&self, stage: &'static str) {
        Metrics::unsettled(self, stage);
    }

    fn breaker(&self, dependency: &'static str, state: BreakerState) {
        let state = match state {
            BreakerState::Closed { .. } => 0,
            BreakerState::HalfOpen { .. } => 1,
            BreakerState::Open { .. } => 2,
        };
        Metrics::breaker(self, dependency, state);
    }

    fn inject(&self, span: &Span) -> BTreeMap<String, String> {
        telemetry::inject(span)
    }

    fn set_parent(&self, span: &Span, headers: &BTreeMap<String, String>) {
        telemetry::set_parent(span, headers);
    }
}

impl From<Cause> for broker::Cause {
    fn from(cause: Cause) -> Self {
        Self::new(cause.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consumers_own_cause_is_a_cause_of_the_domain() {
        assert_eq!(Cause::parse(broker::Cause::INTERNAL.as_str()), Some(Cause::Internal));
    }
}
