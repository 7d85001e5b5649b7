//! When something that the bridge depends on is left alone, and when it is tried again.
//!
//! Invariant: an outage is answered with fewer and fewer questions, never with more; after it, one real message comes
//! before all the others.

use std::time::{Duration, Instant};

/// How patient a breaker is.
#[derive(Debug, Clone, Copy)]
pub struct BreakerRules {
    /// So many failures in a row are an outage.
    pub failures: u32,
    /// How long it is left alone at first.
    pub pause: Duration,
    /// How long it is left alone at most.
    pub pause_max: Duration,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// It works, but for so many failures since it last did.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// It is left alone until then; then it is probed.
    Open {
        /// When it is probed.
        until: Instant,
        /// The pause that this is, before chance.
        pause: Duration,
    },
    /// The probe was answered: one message at a time, until one has gone through.
    HalfOpen {
        /// The pause that was.
        pause: Duration,
    },
}

/// What is heard of what is depended on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It did what it was asked, or refused that one thing for good.
    Worked,
    /// It could not be reached, or failed.
    Failed,
    /// It asks to be left alone for so long.
    Throttled(Duration),
    /// The probe was answered.
    ProbeWorked,
    /// The probe was not.
    ProbeFailed,
}

impl Position {
    /// As all begin.
    pub const CLOSED: Self = Self::Closed { failures: 0 };

    /// Where it stands after a sign. `chance` is from 0 to 1; it spreads the pauses of many processes.
    #[must_use]
    pub fn after(self, sign: Sign, now: Instant, rules: &BreakerRules, chance: f64) -> Self {
        match (self, sign) {
            (Self::Closed { .. } | Self::HalfOpen { .. }, Sign::Worked) => Self::CLOSED,
            (Self::Closed { failures }, Sign::Failed) if failures.saturating_add(1) < rules.failures => {
                Self::Closed { failures: failures.saturating_add(1) }
            }
            (Self::Closed { .. }, Sign::Failed) => open(rules.pause, now, chance),
            (Self::HalfOpen { pause }, Sign::Failed) | (Self::Open { pause, .. }, Sign::ProbeFailed) => {
                open(pause.saturating_mul(2).min(rules.pause_max), now, chance)
            }
            (Self::Closed { .. } | Self::HalfOpen { .. }, Sign::Throttled(after)) => {
                Self::Open { until: now + after, pause: rules.pause }
            }
            (Self::Open { pause, .. }, Sign::ProbeWorked) => Self::HalfOpen { pause },
            // What was under way when it opened says nothing new; a probe is asked for by nobody else.
            (Self::Open { .. }, Sign::Worked | Sign::Failed | Sign::Throttled(_))
            | (Self::Closed { .. } | Self::HalfOpen { .. }, Sign::ProbeWorked | Sign::ProbeFailed) => self,
        }
    }
}

/// Between half of the pause and all of it.
fn open(pause: Duration, now: Instant, chance: f64) -> Position {
    let half = pause / 2;
    Position::Open { until: now + half + half.mul_f64(chance.clamp(0.0, 1.0)), pause }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakerRules =
        BreakerRules { failures: 3, pause: Duration::from_secs(4), pause_max: Duration::from_secs(10) };

    fn after(position: Position, signs: &[Sign], now: Instant) -> Position {
        signs.iter().fold(position, |position, sign| position.after(*sign, now, &RULES, 1.0))
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not_let_them_add_up() {
        let now = Instant::now();
        let signs = [Sign::Failed, Sign::Failed, Sign::Worked, Sign::Failed, Sign::Failed];
        assert_eq!(after(Position::CLOSED, &signs, now), Position::Closed { failures: 2 });
        let opened = after(Position::CLOSED, &[Sign::Failed; 3], now);
        assert_eq!(opened, Position::Open { until: now + RULES.pause, pause: RULES.pause });
    }

    #[test]
    fn it_is_asked_less_and_less_often_and_after_the_outage_one_message_goes_first() {
        let now = Instant::now();
        let opened = after(Position::CLOSED, &[Sign::Failed; 3], now);
        let pauses = [8, 10, 10].map(Duration::from_secs);
        let mut position = opened;
        for pause in pauses {
            position = after(position, &[Sign::ProbeFailed], now);
            assert_eq!(position, Position::Open { until: now + pause, pause });
        }
        let trial = after(position, &[Sign::ProbeWorked], now);
        assert_eq!(trial, Position::HalfOpen { pause: RULES.pause_max });
        assert_eq!(after(trial, &[Sign::Worked], now), Position::CLOSED);
        assert!(matches!(after(trial, &[Sign::Failed], now), Position::Open { .. }));
    }

    #[test]
    fn what_was_under_way_when_it_opened_neither_closes_it_nor_lengthens_the_pause() {
        let now = Instant::now();
        let opened = after(Position::CLOSED, &[Sign::Failed; 3], now);
        for late in [Sign::Worked, Sign::Failed, Sign::Throttled(Duration::from_secs(99))] {
            assert_eq!(after(opened, &[late], now + Duration::from_secs(1)), opened);
        }
    }

    #[test]
    fn one_that_asks_for_a_pause_gets_just_that() {
        let (now, pause) = (Instant::now(), Duration::from_secs(77));
        let opened = after(Position::CLOSED, &[Sign::Throttled(pause)], now);
        assert_eq!(opened, Position::Open { until: now + pause, pause: RULES.pause });
    }

    #[test]
    fn chance_takes_at_most_half_of_a_pause_away() {
        let now = Instant::now();
        for (chance, pause) in [(0.0, 2), (1.0, 4), (7.0, 4)] {
            let Position::Open { until, .. } = open(RULES.pause, now, chance) else { panic!("not open") };
            assert_eq!(until - now, Duration::from_secs(pause));
        }
    }
}
