//! Durations and sizes, as people write them.
//!
//! Invariant: a duration is a whole number of milliseconds, at least one and at most ten years; a
//! size is at least one byte. Nothing is cut off or rounded.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

use crate::config::setting::Form;

const TEN_YEARS: Duration = Duration::from_secs(3_650 * 86_400);

/// A duration in the friendly format of jiff. A day has 24 hours; months and years, whose lengths
/// vary, are refused.
pub(in crate::config) struct Span;

impl Form for Span {
    type Value = Duration;
    const EXPECTED: &'static str = "a duration such as 500ms, 5s, 10m, 24h or 7d";

    fn parse(text: &str) -> Result<Duration, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("has no unit".to_owned());
        }
        let span = SpanParser::new().parse_span(text).map_err(|_| "is not a duration")?;
        let signed = span
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .map_err(|_| "has a unit that is none of ms, s, m, h, d, w")?;
        let duration = Duration::try_from(signed).map_err(|_| "is negative")?;
        if duration.is_zero() {
            Err("is zero".to_owned())
        } else if duration > TEN_YEARS {
            Err("is longer than ten years".to_owned())
        } else if duration.subsec_nanos() % 1_000_000 != 0 {
            Err("is not a whole number of milliseconds".to_owned())
        } else {
            Ok(duration)
        }
    }
}

/// Reads a duration as the settings write it: `500ms`, `5s`, `10m`, `24h`, `7d`.
///
/// # Errors
/// A sentence that says what is wrong and what is expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    Span::parse(text).map_err(|why| format!("{why}: write {}", Span::EXPECTED))
}

/// A rising list of durations.
pub(in crate::config) struct Steps;

impl Form for Steps {
    type Value = Vec<Duration>;
    const EXPECTED: &'static str = "rising durations such as 5s,30s,2m";

    fn parse(text: &str) -> Result<Vec<Duration>, String> {
        let steps: Vec<Duration> =
            text.split(',').map(|step| Span::parse(step.trim())).collect::<Result<_, _>>()?;
        if steps.is_sorted_by(|a, b| a < b) {
            Ok(steps)
        } else {
            Err("does not rise at every step".to_owned())
        }
    }
}

/// A number of bytes: KiB, MiB, GiB are powers of 1024; kB, MB, GB are powers of 1000.
pub(in crate::config) struct Size;

impl Form for Size {
    type Value = usize;
    const EXPECTED: &'static str = "a size such as 64KiB or 50MiB";

    fn parse(text: &str) -> Result<usize, String> {
        let ByteSize(bytes) = text.parse().map_err(|_| "is not a size")?;
        match usize::try_from(bytes) {
            Ok(0) => Err("is zero".to_owned()),
            // `ByteSize` saturates if the number is too large.
            Ok(usize::MAX) | Err(_) => Err("is larger than this machine can count".to_owned()),
            Ok(size) => Ok(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_nonsense_is_refused() {
        for (text, millis) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
            ("5 s", 5_000),
            ("1h 30m", 5_400_000),
            ("1.5s", 1_500),
        ] {
            assert_eq!(Span::parse(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for (text, why) in [
            ("", "is not a duration"),
            ("s", "is not a duration"),
            ("5", "has no unit"),
            ("0s", "is zero"),
            ("-5s", "is negative"),
            ("5s ago", "is negative"),
            ("5M", "is not a duration"),
            ("5s5", "is not a duration"),
            ("1mo", "has a unit that is none of ms, s, m, h, d, w"),
            ("1y", "has a unit that is none of ms, s, m, h, d, w"),
            ("500us", "is not a whole number of milliseconds"),
            ("1.0005s", "is not a whole number of milliseconds"),
            ("3651d", "is longer than ten years"),
            ("99999999999999999999s", "is not a duration"),
            ("18446744073709551615d", "is not a duration"),
        ] {
            assert_eq!(Span::parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_every_unit_and_nonsense_is_refused() {
        for (text, bytes) in [
            ("1", 1),
            ("7B", 7),
            ("64KiB", 65_536),
            ("50MiB", 52_428_800),
            ("1 GiB", 1 << 30),
            ("50MB", 50_000_000),
            ("1.5KiB", 1_536),
        ] {
            assert_eq!(Size::parse(text).unwrap(), bytes, "{text}");
        }
        for (text, why) in [
            ("", "is not a size"),
            ("MiB", "is not a size"),
            ("5 apples", "is not a size"),
            ("-1", "is not a size"),
            ("0", "is zero"),
            ("0KiB", "is zero"),
            ("0.1B", "is zero"),
            ("99999999999GiB", "is larger than this machine can count"),
            ("99999999999999999999", "is not a size"),
        ] {
            assert_eq!(Size::parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn steps_rise() {
        assert!(Steps::parse("5s, 30s").is_ok());
        assert!(Steps::parse("5s,5s").is_err());
        assert!(Steps::parse("").is_err());
    }
}
