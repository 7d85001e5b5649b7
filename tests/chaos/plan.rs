//! The schedule: which fault comes when, and for how long. It depends only on the seed, the length
//! of the run, the number of nodes and the generations.
//!
//! Each lane is a sequence of faults, one after the other. All lanes run at the same time, so that
//! faults of different lanes overlap. Faults that must not overlap share a lane: two nodes of the
//! broker are never down at once, because two of three nodes are a majority.
//!
//! Invariant: the schedule contains no fault against which the protocol cannot protect. The only
//! such fault is a mutation that OpenCRVS applies later than the quarantine after its intent,
//! whatever delays the mutation; see [`What::FreezeLong`] and [`What::span`].

use std::time::Duration;

use fastrand::Rng;
use nidbridge::sandbox::opencrvs::{Calls, Fault, Generations, Share};

use super::proxy::Mode;
use super::what::{Kind, What};

/// How late a late mutation is applied: one minute divided by twenty.
const LATE_MS: u64 = 3_000;
const BROKEN: [Mode; 4] = [Mode::Cut, Mode::Blackhole, Mode::DeafServer, Mode::DeafClient];

/// A fault with its start and duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub at: Duration,
    pub lasts: Duration,
    pub what: What,
}

impl Planned {
    fn meets(&self, other: &Self) -> bool {
        // A process that was killed is down for a few seconds longer.
        let ends = |one: &Self| one.at + one.lasts + Duration::from_secs(5);
        self.at <= ends(other) && other.at <= ends(self)
    }
}

/// The schedule of a run of this length, in order of time.
pub fn schedule(seed: u64, length: Duration, nodes: usize, generations: Generations) -> Vec<Planned> {
    let mut plan =
        Plan { length, chance: Rng::with_seed(seed.rotate_left(29) ^ 0x6368_616f_7321), all: Vec::new() };
    for kind in Kind::ALL {
        plan.lane(6..14, |chance| {
            let one = |chance: &mut Rng| chance.usize(..2);
            vec![
                What::Kill(kind, one(chance)),
                What::Terminate(kind, one(chance)),
                What::Freeze(kind, one(chance)),
            ]
        });
    }
    plan.lane(3..9, |chance| {
        vec![
            What::FreezeLong(Kind::Confirmer, chance.usize(..2)),
            What::FreezeLong(Kind::Worker, chance.usize(..2)),
        ]
    });
    plan.lane(30..60, |chance| vec![What::FreezeLong(Kind::Front, chance.usize(..2))]);
    plan.lane(4..9, |chance| nodes_deck(chance, nodes));
    plan.lane(12..22, |_| vec![What::MemoryAlarm, What::QueueFull, What::ConsumerTimeout]);
    plan.lane(5..12, amqp_deck);
    plan.lane(8..16, |chance| {
        let kind = *chance.choice(&[Kind::Worker, Kind::Confirmer]).expect("a kind");
        let wire = BROKEN.map(|mode| What::LedgerWire(kind, chance.usize(..2), mode));
        let mut deck = wire.to_vec();
        deck.push(What::LedgerCrash);
        deck
    });
    plan.lane(5..12, gateway_deck);
    plan.lane(8..16, |_| vec![What::AuthDown, What::VendorSilent, What::VendorKill]);
    plan.once(What::KeyRotation, 0.2..0.5);
    plan.lane(20..40, |_| vec![What::FrontsKill]);
    plan.lane(12..24, |_| vec![What::NginxKill]);
    if generations != Generations::Fhir {
        plan.lane(8..16, |_| vec![What::CountryConfigDown]);
    }
    plan.in_order()
}

fn nodes_deck(chance: &mut Rng, nodes: usize) -> Vec<What> {
    let mut one = || chance.usize(..nodes);
    let mut deck = vec![What::NodeKill(one()), What::NodeTerminate(one()), What::NodeFreeze(one())];
    if nodes > 1 {
        deck.extend([What::LeaderKill, What::Partition(one())]);
    }
    deck
}

fn amqp_deck(chance: &mut Rng) -> Vec<What> {
    let kinds = Kind::ALL;
    let mut deck: Vec<What> = BROKEN
        .iter()
        .map(|mode| What::Amqp(chance.choice(kinds).expect("a kind"), chance.usize(..2), *mode))
        .collect();
    deck.push(What::VendorAmqp(*chance.choice(&BROKEN).expect("a mode")));
    deck
}

fn gateway_deck(chance: &mut Rng) -> Vec<What> {
    let mut deck = BROKEN.map(|mode| What::GatewayWire(chance.usize(..2), mode)).to_vec();
    deck.extend([What::GatewayDown, What::GatewayErrors, What::GatewayHangs]);
    deck
}

/// Faults that single calls of the gateway meet at random, beside the schedule: before the mutation
/// is applied, after it, and while it is applied.
pub fn shares(generations: Generations) -> Vec<Share> {
    let write = [
        Fault::http(503),
        Fault::http_after(502),
        Fault::FAILS_BEFORE,
        Fault::FAILS_AFTER,
        Fault::HANG,
        Fault::HANG_AFTER,
        Fault::hang_late(LATE_MS),
        Fault::CUT_BEFORE,
        Fault::CUT_AFTER,
        Fault::cut_late(LATE_MS),
        Fault::TRUNCATED_BEFORE,
        Fault::TRUNCATED_AFTER,
        Fault::delay(LATE_MS),
        Fault::RATE_LIMITED,
        Fault::NOT_JSON,
    ];
    let fetch = [Fault::http(503), Fault::HANG, Fault::CUT_BEFORE, Fault::TRUNCATED_BEFORE];
    let key = [Fault::http(503), Fault::NOT_JSON, Fault::TRUNCATED_BEFORE];
    // With both generations, each has only half of the calls. The share is higher then, so that
    // every kind of fault still occurs.
    let of_writes = if generations == Generations::Mixed { 0.02 } else { 0.012 };
    let share = |calls, of: f64| move |fault: &Fault| Share::of(calls, *fault, of);
    let fhir =
        write.iter().map(share(Calls::Confirm, of_writes)).chain(fetch.iter().map(share(Calls::Fetch, 0.01)));
    let events = write.iter().map(share(Calls::Action, of_writes));
    let of_both = key.iter().map(share(Calls::Key, 0.1));
    match generations {
        Generations::Fhir => fhir.chain(of_both).collect(),
        Generations::Events => events.chain(of_both).collect(),
        Generations::Mixed => fhir.chain(events).chain(of_both).collect(),
    }
}

struct Plan {
    length: Duration,
    chance: Rng,
    all: Vec<Planned>,
}

impl Plan {
    /// Fills a lane until the end of the run. Each deck of faults is shuffled, and `pause_s` is the
    /// range of seconds between two faults.
    fn lane(&mut self, pause_s: std::ops::Range<u64>, mut deck: impl FnMut(&mut Rng) -> Vec<What>) {
        let mut chance = self.chance.fork();
        let mut at = Duration::from_millis(chance.u64(500..500 + pause_s.end * 500));
        loop {
            let mut cards = deck(&mut chance);
            chance.shuffle(&mut cards);
            for what in cards {
                let (least, most) = what.span();
                let lasts = Duration::from_millis(chance.u64(least..=most));
                if at + lasts > self.length {
                    return;
                }
                self.all.push(Planned { at, lasts, what });
                at += lasts + Duration::from_millis(chance.u64(pause_s.start * 1_000..pause_s.end * 1_000));
            }
        }
    }

    /// Schedules one fault at a random point between these shares of the length.
    fn once(&mut self, what: What, between: std::ops::Range<f64>) {
        let share = between.start + (between.end - between.start) * self.chance.f64();
        self.all.push(Planned { at: self.length.mul_f64(share), lasts: Duration::ZERO, what });
    }

    /// Returns the schedule in order of time. A process that is frozen for long gets no other
    /// fault, so that the same process continues afterwards: such faults go to the other process of
    /// its kind. A kill of both fronts is dropped while a front is frozen for long.
    fn in_order(mut self) -> Vec<Planned> {
        let long: Vec<Planned> =
            self.all.iter().filter(|planned| matches!(planned.what, What::FreezeLong(..))).copied().collect();
        for planned in &mut self.all {
            let frozen = |other: &&Planned| {
                planned.meets(other)
                    && other.what.process().is_some_and(|one| Some(one) == planned.what.process())
            };
            if long.iter().any(|other| frozen(&other)) {
                planned.what = planned.what.on_the_other();
            }
        }
        let front = |other: &Planned| matches!(other.what, What::FreezeLong(Kind::Front, _));
        let spared = |planned: &Planned| long.iter().any(|other| front(other) && planned.meets(other));
        self.all.retain(|planned| planned.what != What::FrontsKill || !spared(planned));
        self.all.sort_by_key(|planned| planned.at);
        self.all
    }
}
