//! The schedule: which fault comes when, and for how long. A function of the seed and the length of the run.
//!
//! Each lane is a row of faults one after the other, and all lanes run at the same time, so that faults meet. What
//! must not meet is in one lane: no two nodes of the broker are away at once, for two of three are a majority.
//!
//! Invariant: nothing is scheduled that the protocol cannot rule out. That is a mutation that OpenCRVS applies later than
//! the quarantine after its intent, in whatever way it comes about; see [`What::FreezeLong`] and [`What::span`].

use std::time::Duration;

use fastrand::Rng;
use nidbridge::simulate::opencrvs::Fault;

use super::what::{Kind, What};
use super::wire::Mode;

/// A minute by twenty: how late a mutation is that comes late.
const LATE_MS: u64 = 3_000;
const BROKEN: [Mode; 4] = [Mode::Cut, Mode::Blackhole, Mode::DeafServer, Mode::DeafClient];

/// A fault with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub at: Duration,
    pub lasts: Duration,
    pub what: What,
}

impl Planned {
    fn meets(&self, other: &Self) -> bool {
        let ends = |one: &Self| one.at + one.lasts;
        self.at <= ends(other) && other.at <= ends(self)
    }
}

/// The schedule of a run of this length, in order of time.
pub fn schedule(seed: u64, length: Duration, nodes: usize) -> Vec<Planned> {
    let mut plan =
        Plan { length, chance: Rng::with_seed(seed.rotate_left(29) ^ 0x6368_616f_7321), all: Vec::new() };
    for kind in Kind::ALL {
        plan.lane(|chance| {
            let one = |chance: &mut Rng| chance.usize(..2);
            vec![
                What::Kill(kind, one(chance)),
                What::Terminate(kind, one(chance)),
                What::Freeze(kind, one(chance)),
            ]
        });
    }
    plan.lane(|chance| {
        vec![
            What::FreezeLong(Kind::Confirmer, chance.usize(..2)),
            What::FreezeLong(Kind::Worker, chance.usize(..2)),
        ]
    });
    plan.lane(|chance| vec![What::FreezeLong(Kind::Front, chance.usize(..2))]);
    plan.lane(|chance| nodes_deck(chance, nodes));
    plan.lane(|_| vec![What::MemoryAlarm, What::QueueFull, What::ConsumerTimeout]);
    plan.lane(amqp_deck);
    plan.lane(|chance| {
        let kind = *chance.choice(&[Kind::Worker, Kind::Confirmer]).expect("a kind");
        let wire = BROKEN.map(|mode| What::LedgerWire(kind, chance.usize(..2), mode));
        let mut deck = wire.to_vec();
        deck.push(What::LedgerCrash);
        deck
    });
    plan.lane(|_| gateway_deck());
    plan.lane(|chance| {
        let mut deck = BROKEN.map(|mode| What::GatewayWire(chance.usize(..2), mode)).to_vec();
        deck.push(What::GatewayDown);
        deck
    });
    plan.lane(|_| vec![What::AuthDown, What::VendorSilent]);
    // Early, so that most of what comes still has a token that counts.
    plan.once(What::KeyRotation, 0.08..0.2);
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

/// Before the mutation was applied, after it, and while it is.
fn gateway_deck() -> Vec<What> {
    vec![
        What::Confirm(Fault::Http(503)),
        What::Confirm(Fault::HttpAfter(502)),
        What::Confirm(Fault::FailsBefore),
        What::Confirm(Fault::FailsAfter),
        What::Confirm(Fault::Hang),
        What::Confirm(Fault::HangAfter),
        What::Confirm(Fault::HangLate(LATE_MS)),
        What::Confirm(Fault::CutBefore),
        What::Confirm(Fault::CutAfter),
        What::Confirm(Fault::CutLate(LATE_MS)),
        What::Confirm(Fault::TruncatedBefore),
        What::Confirm(Fault::TruncatedAfter),
        What::Confirm(Fault::Delay(LATE_MS)),
        What::Confirm(Fault::RateLimited),
        What::Fetch(Fault::Http(503)),
        What::Fetch(Fault::Hang),
        What::Fetch(Fault::TruncatedAfter),
    ]
}

struct Plan {
    length: Duration,
    chance: Rng,
    all: Vec<Planned>,
}

impl Plan {
    /// Fills a lane with one deck after the other until the time is over.
    fn lane(&mut self, mut deck: impl FnMut(&mut Rng) -> Vec<What>) {
        let mut chance = self.chance.fork();
        let mut at = Duration::from_millis(chance.u64(500..3_000));
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
                at += lasts + Duration::from_millis(chance.u64(800..4_000));
            }
        }
    }

    /// Once, at some point between these shares of the length.
    fn once(&mut self, what: What, between: std::ops::Range<f64>) {
        let share = between.start + (between.end - between.start) * self.chance.f64();
        self.all.push(Planned { at: self.length.mul_f64(share), lasts: Duration::ZERO, what });
    }

    /// A process that is frozen for long is left alone, so that it is the one that goes on: the other one of its kind
    /// gets what was meant for it.
    fn in_order(mut self) -> Vec<Planned> {
        let long: Vec<Planned> =
            self.all.iter().filter(|planned| matches!(planned.what, What::FreezeLong(..))).copied().collect();
        for planned in &mut self.all {
            let frozen = |other: &&Planned| {
                planned.meets(other)
                    && other.what.process().is_some_and(|one| Some(one) == planned.what.process())
            };
            if long.iter().any(|other| frozen(&other)) {
                planned.what = match planned.what {
                    What::Kill(kind, number) => What::Kill(kind, 1 - number),
                    What::Terminate(kind, number) => What::Terminate(kind, 1 - number),
                    What::Freeze(kind, number) => What::Freeze(kind, 1 - number),
                    other => other,
                };
            }
        }
        self.all.sort_by_key(|planned| planned.at);
        self.all
    }
}
