//! How a simulated ID system behaves: set on the command line of `nidbridge simulate nid`, or by
//! tests.

use std::time::Duration;

use super::garbage::Garbage;
use super::verdict::Rejects;

/// The behaviour. Shares are numbers from 0 to 1.
#[derive(Debug, Clone, clap::Args)]
pub struct VendorSettings {
    /// The same seed treats the same request in the same way, and issues the same ID for it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The shortest time to an answer.
    #[arg(skip)]
    pub latency_min: Duration,
    /// The longest time to an answer, apart from late ones.
    #[arg(skip)]
    pub latency_max: Duration,
    /// The share of submissions that are rejected.
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub reject: f64,
    /// Whether a rejection applies to one submission or to all submissions of a person.
    #[arg(skip)]
    pub rejects: Rejects,
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
    #[arg(long = "late-by-ms", default_value = "5000", value_parser = milliseconds, value_name = "MILLISECONDS")]
    pub late_by: Duration,
    /// The share of submissions for which a useless reply is sent as well.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub garbage: f64,
    /// The kinds of useless reply to send.
    #[arg(skip = Garbage::ALL.to_vec())]
    pub garbage_kinds: Vec<Garbage>,
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
        Self {
            seed: 1,
            latency_min: Duration::from_millis(50),
            latency_max: Duration::from_millis(400),
            reject: 0.0,
            rejects: Rejects::EachSubmission,
            at_once: 0.0,
            contradict: 0.0,
            mistake: 0.0,
            taken_id: None,
            retry: 0.0,
            retry_after_s: 1,
            pending: 0.0,
            duplicate: 0.0,
            late: 0.0,
            late_by: Duration::from_secs(5),
            garbage: 0.0,
            garbage_kinds: Garbage::ALL.to_vec(),
            contradict_after: Duration::from_secs(2),
            huge: 300_000,
        }
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
    let share: f64 = text.parse().map_err(|_| "a share is a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is a number from 0 to 1".to_owned()) }
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}
