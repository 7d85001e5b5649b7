//! When a request is sent again after the ID system replied `retry`.
//!
//! Invariant: if the replies name no delay, the bridge asks at growing intervals, never at a fixed
//! short one.

use std::time::Duration;

use jiff::Timestamp;

/// Pause after the first `retry` reply without a delay.
const SHORTEST: Duration = Duration::from_secs(5);
/// The longest pause that the bridge chooses itself.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Number of `retry` replies to an attempt after which an operator is alerted.
const TOO_MANY: u64 = 50;
/// Time since the first `retry` reply after which an operator is alerted.
const TOO_LONG: Duration = Duration::from_secs(24 * 3_600);

/// The pause after the `count`-th `retry` reply, if the reply names none. It doubles with each
/// reply.
pub fn retry_pause(count: u64) -> Duration {
    let doublings = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
    2_u32.checked_pow(doublings).map_or(LONGEST, |factor| SHORTEST.saturating_mul(factor)).min(LONGEST)
}

/// Whether an operator is to be alerted after the `count`-th `retry` reply. `first` is the time of
/// the first one.
pub fn is_asked_too_often(count: u64, first: Timestamp, now: Timestamp) -> bool {
    let since = Duration::try_from(now.duration_since(first)).unwrap_or_default();
    count >= TOO_MANY || since >= TOO_LONG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_from_five_seconds_to_an_hour() {
        let pauses = [1, 2, 3, 9, 10, 11, 12, 64, u64::MAX].map(|count| retry_pause(count).as_secs());
        assert_eq!(pauses, [5, 10, 20, 1_280, 2_560, 3_600, 3_600, 3_600, 3_600]);
    }

    #[test]
    fn an_operator_is_alerted_after_fifty_replies_or_a_day() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let day = 24 * 3_600;
        for (count, now, alerted) in
            [(49, day - 1, false), (50, 1, true), (2, day, true), (2, day - 1, false), (2, -1, false)]
        {
            assert_eq!(is_asked_too_often(count, at(0), at(now)), alerted, "{count} {now}");
        }
    }
}
