//! The state machine of a circuit breaker, without a clock, tasks or locks of its own.
//!
//! Invariant: during an outage, calls become rarer, never more frequent. After the outage, one
//! message goes through before the consumers return to their full prefetch.

use std::time::{Duration, Instant};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerRules {
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// The first pause. Each failed probe doubles it.
    pub pause: Duration,
    /// Limit of the doubling.
    pub pause_max: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// No calls are made. At `until` the dependency is probed.
    Open {
        until: Instant,
        /// The pause before jitter; the next one is twice as long.
        pause: Duration,
    },
    /// The probe succeeded. Messages go one at a time, until one of them has succeeded.
    HalfOpen {
        /// The pause of the last open state; a failure doubles it.
        pause: Duration,
    },
}

/// What a call or a probe showed about the dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerEvent {
    /// The dependency did what it was asked, or refused this one call permanently.
    Succeeded,
    /// The dependency could not be reached, or failed.
    Failed,
    /// The dependency asked for a pause of this length.
    Throttled(Duration),
    ProbeSucceeded,
    ProbeFailed,
}

impl BreakerState {
    /// The state of a new breaker.
    pub const CLOSED: Self = Self::Closed { failures: 0 };

    /// The state after an event. `jitter` is a random number from 0 to 1, which spreads the probes
    /// of many processes.
    #[must_use]
    pub(super) fn after(self, event: BreakerEvent, now: Instant, rules: &BreakerRules, jitter: f64) -> Self {
        match (self, event) {
            (Self::Closed { .. } | Self::HalfOpen { .. }, BreakerEvent::Succeeded) => Self::CLOSED,
            (Self::Closed { failures }, BreakerEvent::Failed)
                if failures.saturating_add(1) < rules.failures =>
            {
                Self::Closed { failures: failures.saturating_add(1) }
            }
            (Self::Closed { .. }, BreakerEvent::Failed) => open(rules.pause, now, jitter),
            (Self::HalfOpen { pause }, BreakerEvent::Failed)
            | (Self::Open { pause, .. }, BreakerEvent::ProbeFailed) => {
                open(pause.saturating_mul(2).min(rules.pause_max), now, jitter)
            }
            (Self::Closed { .. } | Self::HalfOpen { .. }, BreakerEvent::Throttled(after)) => {
                Self::Open { until: now + after, pause: rules.pause }
            }
            (Self::Open { pause, .. }, BreakerEvent::ProbeSucceeded) => Self::HalfOpen { pause },
            // A call that was in flight when the breaker opened says nothing new. Probes are made
            // only in `Open`.
            (
                Self::Open { .. },
                BreakerEvent::Succeeded | BreakerEvent::Failed | BreakerEvent::Throttled(_),
            )
            | (
                Self::Closed { .. } | Self::HalfOpen { .. },
                BreakerEvent::ProbeSucceeded | BreakerEvent::ProbeFailed,
            ) => self,
        }
    }
}

/// Opens the breaker for at least half of the pause and at most the whole pause.
fn open(pause: Duration, now: Instant, jitter: f64) -> BreakerState {
    let half = pause / 2;
    BreakerState::Open { until: now + half + half.mul_f64(jitter.clamp(0.0, 1.0)), pause }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakerRules =
        BreakerRules { failures: 3, pause: Duration::from_secs(4), pause_max: Duration::from_secs(10) };

    fn after(state: BreakerState, events: &[BreakerEvent], now: Instant) -> BreakerState {
        events.iter().fold(state, |state, event| state.after(*event, now, &RULES, 1.0))
    }

    #[test]
    fn failures_in_a_row_open_the_breaker_and_a_success_resets_the_count() {
        let now = Instant::now();
        let events = [
            BreakerEvent::Failed,
            BreakerEvent::Failed,
            BreakerEvent::Succeeded,
            BreakerEvent::Failed,
            BreakerEvent::Failed,
        ];
        assert_eq!(after(BreakerState::CLOSED, &events, now), BreakerState::Closed { failures: 2 });
        let opened = after(BreakerState::CLOSED, &[BreakerEvent::Failed; 3], now);
        assert_eq!(opened, BreakerState::Open { until: now + RULES.pause, pause: RULES.pause });
    }

    #[test]
    fn probes_become_rarer_and_after_the_outage_one_message_goes_first() {
        let now = Instant::now();
        let opened = after(BreakerState::CLOSED, &[BreakerEvent::Failed; 3], now);
        let pauses = [8, 10, 10].map(Duration::from_secs);
        let mut state = opened;
        for pause in pauses {
            state = after(state, &[BreakerEvent::ProbeFailed], now);
            assert_eq!(state, BreakerState::Open { until: now + pause, pause });
        }
        let trial = after(state, &[BreakerEvent::ProbeSucceeded], now);
        assert_eq!(trial, BreakerState::HalfOpen { pause: RULES.pause_max });
        assert_eq!(after(trial, &[BreakerEvent::Succeeded], now), BreakerState::CLOSED);
        assert!(matches!(after(trial, &[BreakerEvent::Failed], now), BreakerState::Open { .. }));
    }

    #[test]
    fn a_late_result_neither_closes_an_open_breaker_nor_lengthens_its_pause() {
        let now = Instant::now();
        let opened = after(BreakerState::CLOSED, &[BreakerEvent::Failed; 3], now);
        for late in
            [BreakerEvent::Succeeded, BreakerEvent::Failed, BreakerEvent::Throttled(Duration::from_secs(99))]
        {
            assert_eq!(after(opened, &[late], now + Duration::from_secs(1)), opened);
        }
    }

    #[test]
    fn a_dependency_that_throttles_gets_exactly_the_pause_that_it_asks_for() {
        let (now, pause) = (Instant::now(), Duration::from_secs(77));
        let opened = after(BreakerState::CLOSED, &[BreakerEvent::Throttled(pause)], now);
        assert_eq!(opened, BreakerState::Open { until: now + pause, pause: RULES.pause });
    }

    #[test]
    fn jitter_takes_at_most_half_of_a_pause_away() {
        let now = Instant::now();
        for (jitter, pause) in [(0.0, 2), (1.0, 4), (7.0, 4)] {
            let BreakerState::Open { until, .. } = open(RULES.pause, now, jitter) else { panic!("not open") };
            assert_eq!(until - now, Duration::from_secs(pause));
        }
    }
}
