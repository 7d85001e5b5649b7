//! How the vendor behaves towards one submission, drawn at random from the seed.
//!
//! Invariant: all values are drawn every time, so that changing one share does not change which
//! submissions another share applies to.

use std::time::Duration;

use fastrand::Rng;

use super::invalid::InvalidReply;
use super::settings::VendorSettings;

pub(super) struct Behaviour {
    pub(super) latency: Duration,
    /// Delay after which the answer is due: the latency, and the time by which it is late.
    pub(super) due: Duration,
    pub(super) late: bool,
    pub(super) retry: bool,
    pub(super) pending: bool,
    pub(super) duplicate: bool,
    pub(super) invalid: Option<InvalidReply>,
    pub(super) at_once: bool,
}

impl Behaviour {
    pub(super) fn draw(settings: &VendorSettings, rng: &mut Rng) -> Self {
        let [min, max] = <[u64; 2]>::from(settings.latency_ms).map(Duration::from_millis);
        let latency = min + max.saturating_sub(min).mul_f64(rng.f64());
        let mut draw = |share: f64| rng.f64() < share;
        let [late, retry, pending, duplicate, invalid] =
            [settings.late, settings.retry, settings.pending, settings.duplicate, settings.garbage]
                .map(&mut draw);
        let kind = rng.usize(..settings.garbage_kinds.len().max(1));
        let invalid = settings.garbage_kinds.get(kind).copied().filter(|_| invalid);
        let at_once = rng.f64() < settings.at_once && !late;
        let latency = if at_once { Duration::ZERO } else { latency };
        let due = latency + Duration::from_millis(if late { settings.late_by_ms } else { 0 });
        Self { latency, due, late, retry, pending, duplicate, invalid, at_once }
    }
}
