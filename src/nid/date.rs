//! Reads the spellings of a date that can mean one day only.
//!
//! Invariant: an ambiguous date is refused: any order but year, month, day; a year of two digits; a
//! year outside the plausible range, which is mostly one of another calendar; and an instant in UTC
//! other than midnight, which may be another day where the event took place.

use jiff::civil::Date;

use crate::domain::ascii_digits;

/// Years outside this range are mostly years of another calendar: 2026 is 1447 or 1448 in the
/// Islamic calendar, 1405 in the Iranian one, and 2569 in the Thai one. Years of the Nepali
/// calendar (2082 or 2083) lie in the future, so the check of the day of the event refuses them.
/// Nothing tells those of the Ethiopian calendar (2018 or 2019) from Gregorian ones.
const YEARS: std::ops::RangeInclusive<i16> = 1850..=2150;

/// The day as `YYYY-MM-DD`, or `None` if it is ambiguous or no date.
pub(super) fn day(text: &str) -> Option<String> {
    let text = ascii_digits(text.trim());
    let (day, time) = match text.split_once(['T', 't', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text.as_str(), None),
    };
    if !time.is_none_or(keeps_the_day) {
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

/// Whether the day that is written before this time of day is the local one: the time is local,
/// with or without its offset, or midnight in UTC.
fn keeps_the_day(time: &str) -> bool {
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
    fn a_date_that_means_one_day_is_read() {
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
    fn an_ambiguous_or_impossible_date_is_refused() {
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
            "2026-10-05T13:45foo",
            "2026-10-05T13:45x05",
            "2026-10-05T13:45+02:00:00",
            "c. 2026-10-05",
            "2026-Sep-5",
            "1996-02-30T00:00:00Z",
        ] {
            assert_eq!(day(written), None, "{written}");
        }
    }
}
