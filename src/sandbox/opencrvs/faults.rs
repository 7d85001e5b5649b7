//! What can be made to go wrong at the gateway and at auth while they run: by command, or by share and seed.
//!
//! Invariant: by share, the nth call for a record meets the same fault in every run with the same seed, in whatever
//! order the calls of different records come. Every fault that is met is counted.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::fault::{Calls, Fault, Share};
use crate::sandbox::spread::{chance, digest};

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<(Calls, Fault)>,
    standing: Vec<(Calls, Fault)>,
    seed: u64,
    shares: Vec<Share>,
    /// How many calls of a kind there were for a record.
    met: HashMap<(Calls, String), u64>,
    bitten: BTreeMap<(Calls, &'static str), u64>,
    calls: BTreeMap<Calls, u64>,
    deactivated: HashSet<String>,
    latency: Duration,
    /// Calls that are to be held back, one each.
    to_hold: Vec<Calls>,
    held: Vec<(Calls, oneshot::Sender<()>)>,
    index_behind: Duration,
}

/// The switches. All of them can be turned while calls are under way.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<Plan>,
}

impl Faults {
    fn with<T>(&self, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next `times` calls of this kind go wrong in this way, before any standing fault.
    pub fn next(&self, calls: Calls, times: usize, fault: Fault) {
        self.with(|plan| plan.next.extend(std::iter::repeat_n((calls, fault), times)));
    }

    /// Every call of this kind goes wrong in this way, until [`Faults::relent`] or [`Faults::clear`].
    pub fn always(&self, calls: Calls, fault: Fault) {
        self.with(|plan| {
            plan.standing.retain(|(of, _)| *of != calls);
            plan.standing.push((calls, fault));
        });
    }

    /// These shares of the calls go wrong from now on, in place of the shares of before.
    pub fn by_share(&self, seed: u64, shares: &[Share]) {
        self.with(|plan| {
            plan.seed = seed;
            plan.shares = shares.to_vec();
        });
    }

    /// Takes [`Faults::next`] and [`Faults::always`] of these calls back; shares stay.
    pub fn relent(&self, calls: Calls) {
        self.with(|plan| {
            plan.next.retain(|(of, _)| *of != calls);
            plan.standing.retain(|(of, _)| *of != calls);
        });
    }

    /// No more faults; registrars and latency stay.
    pub fn clear(&self) {
        self.with(|plan| {
            plan.next.clear();
            plan.standing.clear();
            plan.shares.clear();
        });
    }

    /// Deactivates a registrar, or takes that back.
    pub fn deactivate(&self, registrar: &str, gone: bool) {
        self.with(|plan| {
            if gone {
                plan.deactivated.insert(registrar.to_owned());
            } else {
                plan.deactivated.remove(registrar);
            }
        });
    }

    /// How long every call of the gateway takes.
    pub fn latency(&self, latency: Duration) {
        self.with(|plan| plan.latency = latency);
    }

    /// Holds the next call of this kind back until [`Faults::let_go`]; then it goes its way, or the way of the next
    /// fault, whether or not the caller still waits.
    pub fn hold_next(&self, calls: Calls) {
        self.with(|plan| plan.to_hold.push(calls));
    }

    /// How many calls of this kind are held back now.
    pub fn held(&self, calls: Calls) -> usize {
        self.with(|plan| plan.held.iter().filter(|(of, _)| *of == calls).count())
    }

    /// Lets the calls of this kind go that are held back.
    pub fn let_go(&self, calls: Calls) {
        self.with(|plan| plan.held.retain(|(of, _)| *of != calls));
    }

    /// The gate before this call, if it is to be held back; the end of the channel lets it go.
    pub(super) fn gate(&self, calls: Calls) -> Option<oneshot::Receiver<()>> {
        self.with(|plan| {
            let position = plan.to_hold.iter().position(|of| *of == calls)?;
            let (gate, opened) = oneshot::channel();
            plan.held.push((plan.to_hold.remove(position), gate));
            Some(opened)
        })
    }

    /// How far the search index is behind the records.
    pub fn index_lags(&self, behind: Duration) {
        self.with(|plan| plan.index_behind = behind);
    }

    /// How often calls of this kind met this fault, whatever its number.
    pub fn bitten(&self, calls: Calls, fault: Fault) -> u64 {
        self.with(|plan| plan.bitten.get(&(calls, fault.name())).copied().unwrap_or_default())
    }

    /// How often each fault was met: `confirm.cut_after`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let name = |(calls, fault): (Calls, &str)| format!("{}.{fault}", calls.name());
        self.with(|plan| plan.bitten.iter().map(|(key, times)| (name(*key), *times)).collect())
    }

    /// How many calls there were of each kind, good and bad.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.with(|plan| plan.calls.iter().map(|(calls, times)| (calls.name(), *times)).collect())
    }

    /// What this call meets.
    pub(super) fn take(&self, calls: Calls, record: &str) -> Option<Fault> {
        self.with(|plan| {
            *plan.calls.entry(calls).or_default() += 1;
            let nth = plan.met.entry((calls, record.to_owned())).or_default();
            *nth += 1;
            let place = place(plan.seed, calls, record, *nth);
            let fault = match plan.next.iter().position(|(of, _)| *of == calls) {
                Some(position) => plan.next.remove(position).map(|(_, fault)| fault),
                None => plan.standing.iter().find(|(of, _)| *of == calls).map(|(_, fault)| *fault),
            };
            let fault = fault.or_else(|| fallen(&plan.shares, calls, place));
            if let Some(fault) = fault {
                *plan.bitten.entry((calls, fault.name())).or_default() += 1;
            }
            fault
        })
    }

    pub(super) fn is_deactivated(&self, registrar: &str) -> bool {
        self.with(|plan| plan.deactivated.contains(registrar))
    }

    pub(super) fn index_behind(&self) -> Duration {
        self.with(|plan| plan.index_behind)
    }

    pub(super) fn pause(&self) -> Duration {
        self.with(|plan| plan.latency)
    }
}

fn place(seed: u64, calls: Calls, record: &str, nth: u64) -> f64 {
    chance(seed ^ digest(calls.name()), record, nth).f64()
}

/// The shares of one kind of calls lie side by side on the line from 0 to 1.
fn fallen(shares: &[Share], calls: Calls, place: f64) -> Option<Fault> {
    let mut until = 0.0;
    shares.iter().filter(|share| share.calls == calls).find_map(|share| {
        until += share.share;
        (place < until).then_some(share.fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: [Share; 3] = [
        Share { calls: Calls::Confirm, fault: Fault::CutAfter, share: 0.2 },
        Share { calls: Calls::Fetch, fault: Fault::Hang, share: 1.0 },
        Share { calls: Calls::Confirm, fault: Fault::Http(503), share: 0.1 },
    ];

    fn met(seed: u64, records: impl Iterator<Item = u64>) -> BTreeMap<u64, Option<Fault>> {
        let faults = Faults::default();
        faults.by_share(seed, &SHARES);
        records.map(|one| (one, faults.take(Calls::Confirm, &format!("record-{one}")))).collect()
    }

    #[test]
    fn shares_fall_by_seed_and_record_and_not_by_order() {
        assert_eq!(met(1, 0..1_000), met(1, (0..1_000).rev()));
        assert_ne!(met(1, 0..1_000), met(2, 0..1_000));
        let faults = Faults::default();
        faults.by_share(7, &SHARES);
        for one in 0..2_000 {
            faults.take(Calls::Confirm, &format!("record-{}", one % 500));
        }
        let (cut, http) =
            (faults.bitten(Calls::Confirm, Fault::CutAfter), faults.bitten(Calls::Confirm, Fault::Http(0)));
        assert!(cut.abs_diff(400) < 60 && http.abs_diff(200) < 50, "{cut} {http}");
        assert_eq!((faults.counts()["confirm.cut_after"], faults.calls()["confirm"]), (cut, 2_000));
        assert_eq!(faults.take(Calls::Fetch, "record-1"), Some(Fault::Hang));
        faults.clear();
        assert_eq!(faults.take(Calls::Fetch, "record-1"), None);
    }

    #[test]
    fn what_is_commanded_goes_before_what_falls_by_share() {
        let faults = Faults::default();
        faults.by_share(7, &SHARES);
        faults.next(Calls::Fetch, 1, Fault::CutBefore);
        faults.always(Calls::Key, Fault::NotJson);
        assert_eq!(faults.take(Calls::Fetch, "a"), Some(Fault::CutBefore));
        assert_eq!(faults.take(Calls::Fetch, "a"), Some(Fault::Hang));
        assert_eq!(faults.take(Calls::Key, ""), Some(Fault::NotJson));
        faults.relent(Calls::Key);
        assert_eq!(faults.take(Calls::Key, ""), None);
        assert_eq!(faults.counts().len(), 3);
    }
}
