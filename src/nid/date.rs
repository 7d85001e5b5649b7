//! Reads dates as people write them, where there is no doubt which day is meant.
//!
//! Invariant: a date that could be another day is not read. That is every order but year, month,
//! day; a year of two digits; a year that points to another calendar; and an instant in UTC that is
//! not midnight, which may be the day before or after where the event took place.

use jiff::civil::Date;

use crate::domain::ascii_digits;

/// Years outside this range are mostly years of another calendar: in 2026 it is 1447 or 1448 in the
/// Islamic one, 1405 in the Iranian one, and 2569 in the Thai one.
const YEARS: std::ops::RangeInclusive<i16> = 1850..=2150;

/// The day as `YYYY-MM-DD`, or `None` if it is in doubt.
pub(super) fn day(text: &str) -> Option<String> {
    let text = ascii_digits(text.trim());
    let (day, time) = match text.split_once(['T', 't', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text.as_str(), None),
    };
    if !time.is_none_or(is_sure) {
        return None;
    }
    let separator = day.chars().find(|c| !c.is_ascii_digit()).filter(|c| ['-', '/', '.'].contains(c))?;
    let mut parts = day.split(separator);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || ![month, day].into_iter().all(is_one_or_two_digits) {
        return None;
    }
    let year = year.parse().ok().filter(|year| YEARS.contains(year))?;
    Date::new(year, month.parse().ok()?, day.parse().ok()?).ok().map(|day| day.to_string())
}

fn is_one_or_two_digits(part: &str) -> bool {
    (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the time of day leaves the day as it is written: the local time, with or without its
/// offset, or midnight in UTC.
fn is_sure(time: &str) -> bool {
    let zone_at = time.find(|c: char| !c.is_ascii_digit() && ![':', '.'].contains(&c));
    let (clock, zone) = time.split_at(zone_at.unwrap_or(time.len()));
    if clock.parse::<jiff::civil::Time>().is_err() {
        return false;
    }
    match zone {
        "Z" | "z" | "+00:00" | "-00:00" | "+0000" | "+00" => clock.bytes().all(|byte| b"0:.".contains(&byte)),
        "" => true,
        offset => {
            offset.len() <= 6
                && offset.starts_with(['+', '-'])
                && offset.bytes().skip(1).all(|b| b == b':' || b.is_ascii_digit())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_without_doubt_is_read() {
        for (written, read) in [
            ("2026-10-05", "2026-10-05"),
            ("2026-9-5", "2026-09-05"),
            ("2026-09-5", "2026-09-05"),
            ("2026-9-05", "2026-09-05"),
            (" 2026-9-5 ", "2026-09-05"),
            ("2026/9/5", "2026-09-05"),
            ("2026.09.05", "2026-09-05"),
            ("2024-2-29", "2024-02-29"),
            ("2026-10-05T00:00:00.000Z", "2026-10-05"),
            ("2026-10-05T00:00:00+00:00", "2026-10-05"),
            ("2026-10-05T23:30:00+02:00", "2026-10-05"),
            ("2026-10-05T13:45", "2026-10-05"),
            ("2026-10-05 13:45:10", "2026-10-05"),
            ("٢٠٢٦-٠٩-٠٥", "2026-09-05"),
            ("২০২৬-৯-৫", "2026-09-05"),
        ] {
            assert_eq!(day(written).as_deref(), Some(read), "{written}");
        }
    }

    #[test]
    fn a_date_in_doubt_is_not_read() {
        for written in [
            "",
            "-",
            "soon",
            "5-9-2026",
            "05/09/2026",
            "25/12/2026",
            "26-9-5",
            "2026",
            "2026-9",
            "2026-9-5-1",
            "2026-13-05",
            "2026-02-29",
            "2026-00-10",
            "2026-10-00",
            "2026-10-32",
            "2026-9/5",
            "2026--5",
            "2026-+9-5",
            "20260905",
            "2569-09-05",
            "1448-03-23",
            "1405-06-14",
            "0026-09-05",
            "02026-9-5",
            "2026-10-05T22:00:00.000Z",
            "2026-10-04T21:00:00+00:00",
            "2026-10-05T",
            "2026-10-05T25:00",
            "2026-10-05 or so",
            "2026-10-05foo",
            "c. 2026-10-05",
            "2026-Sep-5",
            "1996-02-30T00:00:00Z",
        ] {
            assert_eq!(day(written), None, "{written}");
        }
    }
}
