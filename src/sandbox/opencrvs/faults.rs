//! Switches for faults of the gateway and of auth, which can be set while both run. A fault applies
//! by command, or by share and seed.
//!
//! Invariant: for faults by share, the nth call for a record meets the same fault in every run with
//! the same seed, whatever the order of calls for different records. Every fault that a call meets
//! is counted.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::calls::{Calls, Share};
use super::fault::Fault;
use crate::sandbox::random::{digest, rng};

#[derive(Debug, Default)]
struct Switches {
    next: VecDeque<(Calls, Fault)>,
    standing: Vec<(Calls, Fault)>,
    seed: u64,
    shares: Vec<Share>,
    /// Number of calls so far, by kind and record.
    calls_of_record: HashMap<(Calls, String), u64>,
    faults_met: BTreeMap<(Calls, &'static str), u64>,
    calls: BTreeMap<Calls, u64>,
    deactivated: HashSet<String>,
    latency: Duration,
    /// One entry for each call to pause.
    to_pause: Vec<Calls>,
    paused: Vec<(Calls, oneshot::Sender<()>)>,
    index_lag: Duration,
}

/// The switches. They can be changed while calls are under way.
#[derive(Debug, Default)]
pub struct Faults {
    switches: Mutex<Switches>,
}

impl Faults {
    fn with<T>(&self, change: impl FnOnce(&mut Switches) -> T) -> T {
        change(&mut self.switches.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next `times` calls of this kind meet this fault, before any fault set by
    /// [`Faults::always`].
    pub fn next(&self, calls: Calls, times: usize, fault: Fault) {
        self.with(|of| of.next.extend(std::iter::repeat_n((calls, fault), times)));
    }

    /// Every call of this kind meets this fault, until [`Faults::stop`] or [`Faults::clear`].
    pub fn always(&self, calls: Calls, fault: Fault) {
        self.with(|of| {
            of.standing.retain(|(kind, _)| *kind != calls);
            of.standing.push((calls, fault));
        });
    }

    /// Replaces the shares of calls that go wrong.
    pub fn by_share(&self, seed: u64, shares: &[Share]) {
        self.with(|of| {
            of.seed = seed;
            of.shares = shares.to_vec();
        });
    }

    /// Cancels [`Faults::next`] and [`Faults::always`] for this kind of call. Shares stay.
    pub fn stop(&self, calls: Calls) {
        self.with(|of| {
            of.next.retain(|(kind, _)| *kind != calls);
            of.standing.retain(|(kind, _)| *kind != calls);
        });
    }

    /// Cancels all faults. Deactivated registrars and latency stay.
    pub fn clear(&self) {
        self.with(|of| {
            of.next.clear();
            of.standing.clear();
            of.shares.clear();
        });
    }

    /// Deactivates a registrar, or activates the registrar again.
    pub fn deactivate(&self, registrar: &str, gone: bool) {
        self.with(|of| {
            if gone {
                of.deactivated.insert(registrar.to_owned());
            } else {
                of.deactivated.remove(registrar);
            }
        });
    }

    /// Sets the latency of every call to the gateway.
    pub fn latency(&self, latency: Duration) {
        self.with(|of| of.latency = latency);
    }

    /// Pauses the next call of this kind until [`Faults::resume`]. The call then continues, even if
    /// its caller no longer waits, and may meet a fault.
    pub fn pause_next(&self, calls: Calls) {
        self.with(|of| of.to_pause.push(calls));
    }

    /// Number of calls of this kind that are paused now.
    pub fn paused(&self, calls: Calls) -> usize {
        self.with(|of| of.paused.iter().filter(|(kind, _)| *kind == calls).count())
    }

    /// Resumes the paused calls of this kind.
    pub fn resume(&self, calls: Calls) {
        self.with(|of| of.paused.retain(|(kind, _)| *kind != calls));
    }

    /// Registers the pause of this call, if one is requested. The pause ends when the channel
    /// closes.
    pub(super) fn pause(&self, calls: Calls) -> Option<oneshot::Receiver<()>> {
        self.with(|of| {
            let position = of.to_pause.iter().position(|kind| *kind == calls)?;
            let (resume, resumed) = oneshot::channel();
            of.paused.push((of.to_pause.remove(position), resume));
            Some(resumed)
        })
    }

    /// Sets how far the search index lags behind the records.
    pub fn index_lags(&self, lag: Duration) {
        self.with(|of| of.index_lag = lag);
    }

    /// How often calls of this kind met this fault, with any status or number of milliseconds.
    pub fn times_met(&self, calls: Calls, fault: Fault) -> u64 {
        self.with(|of| of.faults_met.get(&(calls, fault.name())).copied().unwrap_or_default())
    }

    /// How often each fault was met, by names such as `confirm.cut_after`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let name = |(calls, fault): (Calls, &str)| format!("{}.{fault}", calls.name());
        self.with(|of| of.faults_met.iter().map(|(key, times)| (name(*key), *times)).collect())
    }

    /// Number of calls of each kind, with or without a fault.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.with(|of| of.calls.iter().map(|(calls, times)| (calls.name(), *times)).collect())
    }

    /// Counts a call and returns the fault that it meets.
    pub(super) fn next_fault(&self, calls: Calls, record: &str) -> Option<Fault> {
        self.with(|of| {
            *of.calls.entry(calls).or_default() += 1;
            let nth = of.calls_of_record.entry((calls, record.to_owned())).or_default();
            *nth += 1;
            let lot = rng(of.seed ^ digest(calls.name()), record, *nth).f64();
            let fault = match of.next.iter().position(|(kind, _)| *kind == calls) {
                Some(position) => of.next.remove(position).map(|(_, fault)| fault),
                None => of.standing.iter().find(|(kind, _)| *kind == calls).map(|(_, fault)| *fault),
            };
            let fault = fault.or_else(|| drawn(&of.shares, calls, lot));
            if let Some(fault) = fault {
                *of.faults_met.entry((calls, fault.name())).or_default() += 1;
            }
            fault
        })
    }

    pub(super) fn is_deactivated(&self, registrar: &str) -> bool {
        self.with(|of| of.deactivated.contains(registrar))
    }

    pub(super) fn index_lag(&self) -> Duration {
        self.with(|of| of.index_lag)
    }

    pub(super) fn gateway_latency(&self) -> Duration {
        self.with(|of| of.latency)
    }
}

/// The fault for a random number from 0 to 1. The shares of one kind of call divide that range
/// between them.
fn drawn(shares: &[Share], calls: Calls, lot: f64) -> Option<Fault> {
    let mut until = 0.0;
    shares.iter().filter(|share| share.calls == calls).find_map(|share| {
        until += share.share;
        (lot < until).then_some(share.fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: [Share; 3] = [
        Share { calls: Calls::Confirm, fault: Fault::CUT_AFTER, share: 0.2 },
        Share { calls: Calls::Fetch, fault: Fault::HANG, share: 1.0 },
        Share { calls: Calls::Confirm, fault: Fault::http(503), share: 0.1 },
    ];

    fn met(seed: u64, records: impl Iterator<Item = u64>) -> BTreeMap<u64, Option<Fault>> {
        let faults = Faults::default();
        faults.by_share(seed, &SHARES);
        records.map(|one| (one, faults.next_fault(Calls::Confirm, &format!("record-{one}")))).collect()
    }

    #[test]
    fn shares_fall_by_seed_and_record_and_not_by_order() {
        assert_eq!(met(1, 0..1_000), met(1, (0..1_000).rev()));
        assert_ne!(met(1, 0..1_000), met(2, 0..1_000));
        let faults = Faults::default();
        faults.by_share(7, &SHARES);
        for one in 0..2_000 {
            faults.next_fault(Calls::Confirm, &format!("record-{}", one % 500));
        }
        let (cut, http) = (
            faults.times_met(Calls::Confirm, Fault::CUT_AFTER),
            faults.times_met(Calls::Confirm, Fault::http(0)),
        );
        assert!(cut.abs_diff(400) < 60 && http.abs_diff(200) < 50, "{cut} {http}");
        assert_eq!((faults.counts()["confirm.cut_after"], faults.calls()["confirm"]), (cut, 2_000));
        assert_eq!(faults.next_fault(Calls::Fetch, "record-1"), Some(Fault::HANG));
        faults.clear();
        assert_eq!(faults.next_fault(Calls::Fetch, "record-1"), None);
    }

    #[test]
    fn what_is_commanded_goes_before_what_falls_by_share() {
        let faults = Faults::default();
        faults.by_share(7, &SHARES);
        faults.next(Calls::Fetch, 1, Fault::CUT_BEFORE);
        faults.always(Calls::Key, Fault::NOT_JSON);
        assert_eq!(faults.next_fault(Calls::Fetch, "a"), Some(Fault::CUT_BEFORE));
        assert_eq!(faults.next_fault(Calls::Fetch, "a"), Some(Fault::HANG));
        assert_eq!(faults.next_fault(Calls::Key, ""), Some(Fault::NOT_JSON));
        faults.stop(Calls::Key);
        assert_eq!(faults.next_fault(Calls::Key, ""), None);
        assert_eq!(faults.counts().len(), 3);
    }
}
