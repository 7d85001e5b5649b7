//! How a simulated ID system behaves: on the command line of `nidbridge simulate nid`, and in
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
    /// The share of submissions that are answered without any latency: perhaps before the bridge
    /// has committed that it asked.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub at_once: f64,
    /// The share of submissions that are answered twice, differently.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub contradict: f64,
    /// The share of submissions of births that are also answered with [`VendorSettings::taken_id`],
    /// before their answer or after it.
    #[arg(skip)]
    pub mistake: f64,
    /// An ID that somebody else has, whom the bridge knows.
    #[arg(skip)]
    pub taken_id: Option<String>,
    /// The share of submissions that are answered with `retry` when they are seen first.
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub retry: f64,
    /// What such an answer says in `retry_after_s`.
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
    /// How late those are.
    #[arg(long = "late-by-ms", default_value = "5000", value_parser = milliseconds, value_name = "MILLISECONDS")]
    pub late_by: Duration,
    /// The share of submissions that something useless is sent for too.
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub garbage: f64,
    /// What is sent then.
    #[arg(skip = Garbage::ALL.to_vec())]
    pub garbage_kinds: Vec<Garbage>,
    /// How long after an answer a reply that contradicts it is sent.
    #[arg(skip = Duration::from_secs(2))]
    pub contradict_after: Duration,
    /// The size of a huge reply in bytes.
    #[arg(skip = 300_000_usize)]
    pub huge: usize,
}

/// A calm vendor, which tests then change.
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
    /// Something of everything: more than 5 % of each thing that the demo shows.
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
