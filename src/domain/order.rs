//! The order of a record's submissions, although OpenCRVS's clock may be wrong.
//!
//! A stamp orders the submissions of a record only if it is *believable*: it lies at most a
//! tolerance (`STAMP_TOLERANCE`) after the front's acceptance, and at most ten years before it. Any
//! other stamp is from a clock that is wrong, so the acceptance orders its submission instead.
//!
//! Invariant: no stamp closes a record for good. A submission is ordered no later than the
//! tolerance after its acceptance, so whatever is submitted and accepted after that time is newer.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The longest time that a submission may wait until the front accepts it. A clock that was never
/// set writes an older stamp, such as one of 1970 or of the year 1.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24 * 3_653);

/// Whether a stamp can be true, judged by the time at which the front accepted it.
pub fn is_believable(stamp: Timestamp, accepted_at: Timestamp, tolerance: Duration) -> bool {
    let oldest = accepted_at.saturating_sub(LONGEST_WAIT).unwrap_or(Timestamp::MIN);
    stamp >= oldest && !is_from_future(stamp, accepted_at, tolerance)
}

fn is_from_future(stamp: Timestamp, accepted_at: Timestamp, tolerance: Duration) -> bool {
    accepted_at.saturating_add(tolerance).is_ok_and(|latest| stamp > latest)
}

/// The time that orders a submission among those of its record: its stamp if that is believable,
/// else its acceptance.
pub fn order_stamp(stamp: Timestamp, accepted_at: Timestamp, tolerance: Duration) -> Timestamp {
    if is_believable(stamp, accepted_at, tolerance) { stamp } else { accepted_at }
}

/// What the order of a record's attempts depends on, for one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered {
    /// See [`order_stamp`].
    pub order: Timestamp,
    /// Whether OpenCRVS turned out not to have the attempt.
    pub absent: bool,
}

/// The index of the newest attempt that is not absent.
pub fn newest(attempts: &[Ordered]) -> Option<usize> {
    let present = attempts.iter().enumerate().filter(|(_, attempt)| !attempt.absent);
    // Of two with the same time, the first is the newest: the second did not supersede it.
    present.rev().max_by_key(|(_, attempt)| attempt.order).map(|(index, _)| index)
}

/// Whether a status that a record has had since `since` is at least `than` old. A status from the
/// future counts as old, because its age is not known and might never reach `than`.
pub fn is_older(since: Timestamp, than: Duration, now: Timestamp, tolerance: Duration) -> bool {
    let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    age >= than || is_from_future(since, now, tolerance)
}

/// The time of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The stamp as OpenCRVS wrote it.
    pub stamp: Timestamp,
    /// When the front accepted the submission.
    pub accepted_at: Timestamp,
    /// `STAMP_TOLERANCE`.
    pub tolerance: Duration,
}

/// How a status that OpenCRVS shows relates to a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// OpenCRVS does not show the submission yet.
    Before,
    /// The status is the submission itself.
    Itself,
    /// The record got the status after the submission.
    After,
    /// The stamp of the submission lies in the future, and the time of the status does not. The
    /// status is newer if OpenCRVS's clock was corrected in between, else it is older.
    Unclear,
}

impl Submitted {
    /// Compares the submission with a status that the record has had since `since`, as read from
    /// OpenCRVS at `read_at`.
    pub fn compare(&self, since: Timestamp, read_at: Timestamp) -> Seen {
        let Self { stamp, accepted_at, tolerance } = *self;
        match since.cmp(&stamp) {
            Ordering::Equal => return Seen::Itself,
            Ordering::Greater => return Seen::After,
            Ordering::Less => {}
        }
        let from_future = is_from_future(stamp, accepted_at, tolerance);
        let after_acceptance = !is_from_future(accepted_at, since, tolerance);
        if from_future && after_acceptance && !is_from_future(since, read_at, tolerance) {
            Seen::Unclear
        } else {
            Seen::Before
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(300);
    /// The latest time that a `Timestamp` can hold, to the second.
    const LATEST: &str = "9999-12-30T22:00:00.999Z";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_stamp_orders_its_submission_up_to_the_tolerance_after_the_acceptance() {
        for (stamp, expected) in
            [(0, 0), (999, 999), (1_000, 1_000), (1_300, 1_300), (1_301, 1_000), (99_999, 1_000)]
        {
            assert_eq!(order_stamp(at(stamp), at(1_000), TOLERANCE), at(expected), "{stamp}");
        }
        let latest: Timestamp = LATEST.parse().unwrap();
        assert_eq!(order_stamp(latest, at(1_000), TOLERANCE), at(1_000));
    }

    #[test]
    fn ordering_twice_changes_nothing() {
        for stamp in [0, 1_000, 1_300, 1_301, 99_999] {
            let once = order_stamp(at(stamp), at(1_000), TOLERANCE);
            assert_eq!(order_stamp(once, at(1_000), TOLERANCE), once);
        }
    }

    #[test]
    fn a_submission_after_the_tolerance_is_newer_than_any_stamp() {
        for first in [0, 1_000, 1_300, 1_301, 86_400, i64::from(u32::MAX)] {
            let newest = order_stamp(at(first), at(1_000), TOLERANCE);
            let later = order_stamp(at(1_301), at(1_301), TOLERANCE);
            assert!(later > newest, "{first}");
        }
    }

    #[test]
    fn an_attempt_that_opencrvs_does_not_have_is_not_the_newest() {
        let newest_of = |attempts: &[(i64, bool)]| {
            let ordered =
                attempts.iter().map(|(order, absent)| Ordered { order: at(*order), absent: *absent });
            newest(&ordered.collect::<Vec<_>>())
        };
        assert_eq!(newest_of(&[(1, false), (3, true), (2, false)]), Some(2));
        assert_eq!(newest_of(&[(2, false), (2, false), (1, false)]), Some(0));
        assert_eq!(newest_of(&[(3, true)]), None);
    }

    #[test]
    fn a_status_from_the_future_counts_as_old() {
        let is_old = |since| is_older(at(since), Duration::from_secs(60), at(1_000), TOLERANCE);
        assert!(is_old(940));
        assert!(!is_old(941));
        assert!(!is_old(1_300));
        assert!(is_old(1_301));
    }

    #[test]
    fn a_status_is_compared_by_its_time_unless_the_stamp_lies_in_the_future() {
        let ours = Submitted { stamp: at(1_000), accepted_at: at(1_001), tolerance: TOLERANCE };
        assert_eq!(ours.compare(at(999), at(2_000)), Seen::Before);
        assert_eq!(ours.compare(at(1_000), at(2_000)), Seen::Itself);
        assert_eq!(ours.compare(at(1_001), at(2_000)), Seen::After);
    }

    #[test]
    fn after_a_stamp_from_the_future_an_earlier_time_may_be_a_newer_status() {
        let ours = Submitted { stamp: at(90_000), accepted_at: at(1_000), tolerance: TOLERANCE };
        for (since, expected) in [
            (699, Seen::Before),
            (700, Seen::Unclear),
            (1_010, Seen::Unclear),
            (2_300, Seen::Unclear),
            // OpenCRVS's clock was ahead then as well.
            (2_301, Seen::Before),
            (89_999, Seen::Before),
            (90_000, Seen::Itself),
            (90_001, Seen::After),
        ] {
            assert_eq!(ours.compare(at(since), at(2_000)), expected, "{since}");
        }
    }

    #[test]
    fn twenty_clocks_of_opencrvs_order_a_submission_by_its_stamp_or_by_its_acceptance() {
        let accepted = "2026-12-01T12:00:00Z";
        for (stamp, believable) in [
            ("2026-12-01T11:59:59.893Z", true),
            ("2026-12-01T12:00:00Z", true),
            ("2026-12-01T12:04:59.999Z", true),
            ("2026-12-01T12:05:00Z", true),
            ("2026-12-01T12:05:00.001Z", false),
            ("2026-12-01T13:00:00Z", false),
            ("2026-12-02T12:00:00Z", false),
            ("2027-12-01T12:00:00Z", false),
            ("2038-01-19T03:14:08Z", false),
            ("2106-02-07T06:28:16Z", false),
            ("9999-12-30T22:00:00.999999999Z", false),
            // The same instant, written with another offset.
            ("2026-12-02T02:00:00+14:00", true),
            ("2026-12-02T02:05:01+14:00", false),
            ("2026-11-30T22:00:00-14:00", true),
            ("2026-12-01T17:45:00+05:45", true),
            // Local time that was written as UTC, east and west of Greenwich.
            ("2026-12-01T15:00:00Z", false),
            ("2026-12-01T07:00:00Z", true),
            // Leap second, the longest wait, and clocks that were never set.
            ("2016-12-31T23:59:60Z", true),
            ("2016-12-01T00:00:00Z", true),
            ("2016-11-29T00:00:00Z", false),
            ("2000-01-01T00:00:00Z", false),
            ("1970-01-01T00:00:00Z", false),
            ("0001-01-01T00:00:00Z", false),
            ("-009999-01-02T02:00:00Z", false),
        ] {
            let [stamp, accepted]: [Timestamp; 2] = [stamp, accepted].map(|text| text.parse().unwrap());
            let expected = if believable { stamp } else { accepted };
            assert_eq!(order_stamp(stamp, accepted, TOLERANCE), expected, "{stamp}");
        }
        // A tolerance that no time reaches, and none at all.
        let [stamp, accepted]: [Timestamp; 2] =
            ["2026-12-01T12:00:01Z", accepted].map(|text| text.parse().unwrap());
        assert_eq!(order_stamp(stamp, accepted, Duration::ZERO), accepted);
        assert!(order_stamp(stamp, accepted, Duration::MAX) <= stamp);
    }
}
