//! A work queue with the queues beside it: one delay queue for each delay, and one parking queue.
//!
//! Invariant: the delay queue of a message depends only on the wanted delay and the attempt count.
//! The name of a delay queue contains its duration, so a changed delay makes a new queue and never
//! redeclares an old one.

use std::time::Duration;

use super::message::Target;

/// The suffix of the name of a parking queue.
const PARKED: &str = ".parked";
/// The suffix of the name of the exchange that leads to the delay queues and the parking queue.
const SETTLE: &str = ".settle";

/// The parking queue of a work queue.
pub fn parking_queue(work_queue: &str) -> String {
    format!("{work_queue}{PARKED}")
}

/// The work queue that a parking queue belongs to; `None` for a queue of any other kind.
pub fn work_queue_of(parking_queue: &str) -> Option<&str> {
    parking_queue.strip_suffix(PARKED)
}

/// The exchange through which the messages of a work queue are delayed and parked.
pub fn settle_exchange(work_queue: &str) -> String {
    format!("{work_queue}{SETTLE}")
}

/// How long a message waits before it is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// The retry step that the attempt count selects. The last step repeats.
    Next,
    /// The shortest configured delay that is at least this long, or the longest one if all are
    /// shorter.
    AtLeast(Duration),
}

/// A queue that has a consumer, with its delay queues and its parking queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkQueue {
    name: String,
    /// The queue for parked messages, if it is not `<name>.parked`.
    refused: Option<String>,
    retry_steps: Vec<Duration>,
    all_steps: Vec<Duration>,
}

impl WorkQueue {
    /// A queue whose messages are retried after `retry_steps`, in that order. The delays in `extra`
    /// are used by [`Delay::AtLeast`] only.
    pub fn new(name: impl Into<String>, retry_steps: &[Duration], extra: &[Duration]) -> Self {
        let mut all_steps: Vec<Duration> = retry_steps.iter().chain(extra).copied().collect();
        all_steps.sort_unstable();
        all_steps.dedup();
        Self { name: name.into(), refused: None, retry_steps: retry_steps.to_vec(), all_steps }
    }

    /// Parks messages in this queue, which drops its oldest message when it is full. For the
    /// messages of somebody else, who must not be able to stop the consumer with them. What the
    /// broker itself parks still goes to `<name>.parked`.
    #[must_use]
    pub fn refusing_into(self, queue: impl Into<String>) -> Self {
        Self { refused: Some(queue.into()), ..self }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the broker parks messages.
    pub fn parked(&self) -> String {
        parking_queue(&self.name)
    }

    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Where the consumer parks messages.
    pub(super) fn parks_in(&self) -> String {
        self.refused.clone().unwrap_or_else(|| self.parked())
    }

    /// The exchange that leads to the delay queues and the parking queue, by their names. It exists
    /// because a user who may publish to the default exchange may publish to every queue.
    pub fn settle_exchange(&self) -> String {
        settle_exchange(&self.name)
    }

    /// The target for a delay queue or the parking queue of this queue.
    pub fn beside(&self, queue: impl Into<String>) -> Target {
        Target::new(self.settle_exchange(), queue)
    }

    /// The delays from short to long, each with the name of its delay queue.
    pub fn delays(&self) -> impl Iterator<Item = (Duration, String)> + '_ {
        self.all_steps.iter().map(|step| (*step, self.delay_queue(*step)))
    }

    /// The name of the delay queue for a message, or `None` if no such delay is configured.
    pub fn pick(&self, delay: Delay, attempt: u32) -> Option<String> {
        self.step(delay, attempt).map(|step| self.delay_queue(step))
    }

    /// How long a message waits in the queue that [`WorkQueue::pick`] picks.
    pub fn step(&self, delay: Delay, attempt: u32) -> Option<Duration> {
        let step = match delay {
            Delay::Next => {
                let wanted = usize::try_from(attempt).unwrap_or(usize::MAX);
                self.retry_steps.get(wanted).or_else(|| self.retry_steps.last())
            }
            Delay::AtLeast(least) => {
                self.all_steps.iter().find(|step| **step >= least).or_else(|| self.all_steps.last())
            }
        };
        step.copied()
    }

    fn delay_queue(&self, step: Duration) -> String {
        format!("{}.wait.{}", self.name, spell(step))
    }
}

/// Writes a delay in the largest unit that is exact: `5s`, `2m`, `1h`, `1500ms`.
fn spell(step: Duration) -> String {
    let millis = step.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let exact = units.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(steps: &[u64]) -> Vec<Duration> {
        steps.iter().copied().map(Duration::from_secs).collect()
    }

    #[test]
    fn the_attempt_count_picks_the_step_and_the_last_one_repeats() {
        let queue = WorkQueue::new("q", &seconds(&[5, 30, 120]), &seconds(&[3]));
        for (attempt, expected) in
            [(0, "q.wait.5s"), (1, "q.wait.30s"), (2, "q.wait.2m"), (3, "q.wait.2m"), (u32::MAX, "q.wait.2m")]
        {
            assert_eq!(queue.pick(Delay::Next, attempt).as_deref(), Some(expected), "attempt {attempt}");
        }
    }

    #[test]
    fn a_least_delay_picks_the_shortest_step_that_is_long_enough() {
        let queue = WorkQueue::new("q", &seconds(&[5, 30, 600]), &seconds(&[3]));
        for (least, expected) in [
            (0, "q.wait.3s"),
            (3, "q.wait.3s"),
            (4, "q.wait.5s"),
            (31, "q.wait.10m"),
            (600, "q.wait.10m"),
            (7_200, "q.wait.10m"),
        ] {
            let picked = queue.pick(Delay::AtLeast(Duration::from_secs(least)), 9);
            assert_eq!(picked.as_deref(), Some(expected), "at least {least} s");
        }
    }

    #[test]
    fn no_steps_means_no_delay_queue() {
        let queue = WorkQueue::new("q", &[], &[]);
        assert_eq!(queue.pick(Delay::Next, 0), None);
        assert_eq!(queue.pick(Delay::AtLeast(Duration::ZERO), 0), None);
    }

    #[test]
    fn a_delay_is_spelled_exactly() {
        for (millis, expected) in
            [(0, "0ms"), (1, "1ms"), (1_500, "1500ms"), (90_000, "90s"), (120_000, "2m"), (7_200_000, "2h")]
        {
            assert_eq!(spell(Duration::from_millis(millis)), expected);
        }
    }
}
