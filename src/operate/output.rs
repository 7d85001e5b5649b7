//! Prints results as lines, tables or JSON on stdout, and progress on stderr.
//!
//! Invariant: stdout carries results and nothing else. No output has an invisible character that a
//! foreign text brought along (`domain::escaped`).

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{escaped, escaped_json, escaped_lines};
use crate::roles::Failure;

/// Prints a line, or several.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&escaped_lines(text))
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // In `nidbridge config reference | head`, `head` closes the pipe early, which is not a
        // failure.
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("stdout cannot be written")?),
    }
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).context("the result cannot be written as JSON")?;
    print(&escaped_json(&text))
}

/// Prints progress on stderr.
pub(crate) fn progress(text: &str) {
    // Without a stderr there is nobody to show progress to.
    writeln!(std::io::stderr(), "{}", escaped_lines(text)).unwrap_or_default();
}

/// Prints rows under a heading, with aligned columns.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let heading: Vec<String> = heading.iter().map(|text| (*text).to_owned()).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let mut widths: Vec<usize> = heading.iter().map(String::len).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in std::iter::once(&heading).chain(&rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// The text, or `-` if there is none.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// A foreign text in one line, without characters that could control the terminal or mislead the
/// reader. Office codes, for example, come from documents.
pub(crate) fn clean(text: &str) -> String {
    escaped(text).into_owned()
}

/// A time in UTC, to the second.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long a token is still valid, or how long ago it expired; `none` without a token.
pub(crate) fn left(until: Option<Timestamp>, now: Timestamp) -> String {
    let Some(until) = until else { return "none".to_owned() };
    if until <= now { format!("expired {} ago", span(until, now)) } else { span(now, until) }
}

/// A duration in its two largest units: `3d 4h`, `5m 12s`; negative if `to` is before `from`.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs();
    let (sign, left) = (if seconds < 0 { "-" } else { "" }, seconds.unsigned_abs());
    let units = [("d", left / 86_400), ("h", left / 3_600 % 24), ("m", left / 60 % 60), ("s", left % 60)];
    let largest: Vec<String> = units
        .into_iter()
        .skip_while(|(unit, count)| *count == 0 && *unit != "s")
        .take(2)
        .map(|(unit, count)| format!("{count}{unit}"))
        .collect();
    format!("{sign}{}", largest.join(" "))
}

/// How long a token is still valid, in hours, rounded to a tenth. Negative after its expiry, `None`
/// without a token.
pub(crate) fn hours_left(until: Option<Timestamp>, now: Timestamp) -> Option<f64> {
    until.map(|until| (until.duration_since(now).as_secs_f64() / 360.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3_700, "1h 1m"), (90_000, "1d 1h"), (-70, "-1m 10s")]
        {
            assert_eq!(span(at(1_000_000), at(1_000_000 + seconds)), text);
        }
    }
}
