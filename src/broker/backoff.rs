//! How long to wait before the next try: doubling, jittered, bounded.
//!
//! Invariant: never shorter than half of the first step and never longer than the limit, whatever the jitter.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// Grows with every [`Backoff::next`], starts again on [`Backoff::reset`].
#[derive(Debug)]
pub(super) struct Backoff {
    step: Duration,
    limit: Duration,
}

impl Backoff {
    pub(super) fn new(limit: Duration) -> Self {
        Self { step: FIRST.min(limit), limit }
    }

    pub(super) fn reset(&mut self) {
        self.step = FIRST.min(self.limit);
    }

    /// `jitter` is a random number from 0 to 1: half of the step is fixed, half of it is spread.
    pub(super) fn next(&mut self, jitter: f64) -> Duration {
        let wait = self.step.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        self.step = self.step.saturating_mul(2).min(self.limit);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_limit_and_starts_again() {
        let mut backoff = Backoff::new(Duration::from_millis(350));
        let waits: Vec<_> = (0..4).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(50));
    }
}
