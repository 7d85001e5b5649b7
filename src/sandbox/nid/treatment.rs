//! How the vendor treats a submission, drawn at random from the seed.
//!
//! Invariant: all values are drawn every time, so that changing one share does not change which
//! submissions another share applies to.

use std::time::Duration;

use fastrand::Rng;

use super::garbage::Garbage;
use super::settings::VendorSettings;

/// How one submission is treated.
pub(super) struct Treatment {
    pub(super) latency: Duration,
    pub(super) late: Option<Duration>,
    pub(super) retry: bool,
    pub(super) pending: bool,
    pub(super) duplicate: bool,
    pub(super) garbage: Option<Garbage>,
    pub(super) at_once: bool,
}

impl Treatment {
    pub(super) fn draw(settings: &VendorSettings, chance: &mut Rng) -> Self {
        let span = settings.latency_max.saturating_sub(settings.latency_min);
        let latency = settings.latency_min + span.mul_f64(chance.f64());
        let late = (chance.f64() < settings.late).then_some(settings.late_by);
        let retry = chance.f64() < settings.retry;
        let pending = chance.f64() < settings.pending;
        let duplicate = chance.f64() < settings.duplicate;
        let wants_garbage = chance.f64() < settings.garbage;
        let pick = chance.usize(..settings.garbage_kinds.len().max(1));
        let garbage = wants_garbage.then(|| settings.garbage_kinds.get(pick).copied()).flatten();
        let at_once = chance.f64() < settings.at_once && late.is_none();
        let latency = if at_once { Duration::ZERO } else { latency };
        Self { latency, late, retry, pending, duplicate, garbage, at_once }
    }

    /// Delay after which the answer is due.
    pub(super) fn answered(&self) -> Duration {
        self.latency + self.late.unwrap_or_default()
    }
}
