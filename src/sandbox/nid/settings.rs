//! How the simulated vendor behaves: set on the command line of `nidbridge simulate nid`, or by
//! tests.
//!
//! Invariant: each setting is declared once, with its default. [`VendorSettings::default`] starts
//! from the defaults of the command line.

use std::time::Duration;

use clap::{Parser, ValueEnum as _};

use super::invalid::InvalidReply;

/// Shares are numbers from 0 to 1.
#[derive(Debug, Clone, Parser)]
pub struct VendorSettings {
    /// The same seed treats the same request in the same way, and issues the same ID for it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Time from a request to its answer.
    #[arg(long, default_value = "50..400", value_parser = span, value_name = "MIN..MAX")]
    pub latency_ms: (u64, u64),
    /// The share of submissions that are rejected.
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub reject: f64,
    /// Reject every submission of a rejected person, corrected or not.
    #[arg(long)]
    pub reject_for_good: bool,
    /// The share of submissions that are answered at once, perhaps before the bridge has committed
    /// that it sent the request.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub at_once: f64,
    /// The share of submissions that get two different final answers.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub contradict: f64,
    /// The share of birth submissions for which [`VendorSettings::taken_id`] is sent as well,
    /// before or after their own answer.
    #[arg(skip)]
    pub mistake: f64,
    /// An ID that belongs to another person, whom the bridge knows.
    #[arg(skip)]
    pub taken_id: Option<String>,
    /// The share of submissions that are answered with `retry` the first time.
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub retry: f64,
    /// The value of `retry_after_s` in a `retry`.
    #[arg(skip = 1_u32)]
    pub retry_after_s: u32,
    /// The share of submissions that are first answered with `pending`.
    #[arg(long, default_value_t = 0.1, value_parser = share, value_name = "SHARE")]
    pub pending: f64,
    /// The share of answers that are sent twice.
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub duplicate: f64,
    /// The share of answers that are late.
    #[arg(long, default_value_t = 0.02, value_parser = share, value_name = "SHARE")]
    pub late: f64,
    /// How late a late answer is.
    #[arg(long, default_value_t = 5_000, value_name = "MILLISECONDS")]
    pub late_by_ms: u64,
    /// The share of submissions for which an invalid reply is sent as well.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub garbage: f64,
    /// The kinds of invalid reply to send.
    #[arg(skip = InvalidReply::value_variants())]
    pub garbage_kinds: Vec<InvalidReply>,
    /// Delay between an answer and a reply that contradicts it.
    #[arg(skip = Duration::from_secs(2))]
    pub contradict_after: Duration,
    /// The size of a huge reply in bytes.
    #[arg(skip = 300_000_usize)]
    pub huge: usize,
}

/// A vendor that answers correctly and never misbehaves. Tests change single settings.
impl Default for VendorSettings {
    fn default() -> Self {
        let on_the_command_line = Self::parse_from(["nid"]);
        Self { reject: 0.0, retry: 0.0, pending: 0.0, duplicate: 0.0, late: 0.0, ..on_the_command_line }
    }
}

impl VendorSettings {
    /// A vendor that does everything that the demo shows, each with a share of at least 5 %.
    pub fn lively() -> Self {
        Self {
            reject: 0.1,
            retry: 0.05,
            pending: 0.1,
            duplicate: 0.12,
            late: 0.05,
            garbage: 0.05,
            ..Self::default()
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1".to_owned())
}

fn span(text: &str) -> Result<(u64, u64), String> {
    let parsed = text.split_once("..").and_then(|(min, max)| min.parse().ok().zip(max.parse().ok()));
    let ordered = parsed.filter(|(min, max)| min <= max);
    ordered.ok_or_else(|| "write MIN..MAX in milliseconds, such as 50..400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_spans_are_checked_where_they_are_given() {
        let parse = |line: &[&str]| VendorSettings::try_parse_from(std::iter::once(&"nid").chain(line));
        let settings = parse(&["--latency-ms", "5..9", "--reject", "0.25"]).unwrap();
        assert_eq!((settings.latency_ms, settings.reject), ((5, 9), 0.25));
        assert!(parse(&[]).is_ok());
        for wrong in [["--reject", "2"], ["--reject", "NaN"], ["--latency-ms", "9..5"], ["--latency-ms", "9"]]
        {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
