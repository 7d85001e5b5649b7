//! How a simulated ID system behaves; shares are of 1.

use std::time::Duration;

use super::garbage::Garbage;
use super::verdict::Rejects;

/// The behaviour.
#[derive(Debug, Clone)]
pub struct VendorSettings {
    /// The same seed treats the same request in the same way, and issues the same ID for it.
    pub seed: u64,
    /// The shortest time to an answer.
    pub latency_min: Duration,
    /// The longest time to an answer, late ones aside.
    pub latency_max: Duration,
    /// The share of submissions that are rejected.
    pub reject: f64,
    /// Whether that falls on submissions or on persons.
    pub rejects: Rejects,
    /// The share of submissions that are answered without any latency: perhaps before the bridge has committed that it
    /// asked.
    pub at_once: f64,
    /// The share of submissions that are answered a second time, differently.
    pub contradict: f64,
    /// The share of submissions of births that are answered with [`VendorSettings::taken_id`] as well, before their answer
    /// or after it.
    pub mistake: f64,
    /// An ID that somebody else has, whom the bridge knows.
    pub taken_id: Option<String>,
    /// The share of submissions that are answered with `retry` when they are seen first.
    pub retry: f64,
    /// What such an answer says in `retry_after_s`.
    pub retry_after_s: u32,
    /// The share of submissions that are answered with `pending` before their answer.
    pub pending: f64,
    /// The share of submissions whose answer is sent twice.
    pub duplicate: f64,
    /// The share of submissions that are answered late.
    pub late: f64,
    /// How much later that is.
    pub late_by: Duration,
    /// The share of submissions that something useless is sent for, beside their answer.
    pub garbage: f64,
    /// What is sent then.
    pub garbage_kinds: Vec<Garbage>,
    /// How much later than an answer something is sent that contradicts it.
    pub contradict_after: Duration,
    /// How large a huge reply is, in bytes.
    pub huge: usize,
}

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
    /// Something of everything, more than 5 % of each of what the demo shows.
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
