//! Exponential back-off: pauses that double up to a limit, with jitter.
//!
//! Invariant: a pause is never shorter than half of its step and never longer than the limit,
//! whatever the jitter.

use std::time::Duration;

/// Computes the pauses between retries. Each pause doubles the step of the next one; the caller
/// resets the step after a success.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    step: Duration,
    limit: Duration,
}

impl Backoff {
    /// Starts with a step of 100 ms.
    pub fn new(limit: Duration) -> Self {
        Self::from(Duration::from_millis(100), limit)
    }

    pub fn from(first: Duration, limit: Duration) -> Self {
        let first = first.min(limit);
        Self { first, step: first, limit }
    }

    /// The step after this number of failures, without jitter, for callers that keep the count
    /// themselves.
    pub fn step_after(first: Duration, failures: u32, limit: Duration) -> Duration {
        first.saturating_mul(2_u32.saturating_pow(failures)).min(limit)
    }

    pub fn reset(&mut self) {
        self.step = self.first;
    }

    /// Returns the next pause: one half of the step is fixed, the other half is multiplied by
    /// `jitter`, usually a random number from 0 to 1. With a jitter of 1, each pause is exactly its
    /// step.
    pub fn next(&mut self, jitter: f64) -> Duration {
        let wait = self.step.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        self.step = Self::step_after(self.step, 1, self.limit);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(350));
        let waits: Vec<_> = (0..4).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(50));
    }

    #[test]
    fn the_step_after_any_number_of_failures_is_within_the_limit() {
        let (first, limit) = (Duration::from_secs(1), Duration::from_secs(300));
        for (failures, seconds) in [(0, 1), (3, 8), (8, 256), (9, 300), (u32::MAX, 300)] {
            assert_eq!(Backoff::step_after(first, failures, limit), Duration::from_secs(seconds));
        }
    }
}
