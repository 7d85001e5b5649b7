//! Faults as data: their durations, what they affect and what they do. Causes the faults of the
//! schedule, and counts their effects.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join_all};
use tokio::time::{Instant, sleep_until};

use super::harness::Mode;
use super::plan::Planned;
use super::rig::Rig;

/// How many times, at most, a fault is repeated if it has never had an effect.
const REPEATS: usize = 3;

/// A row of the [catalogue](super::catalogue).
#[derive(Clone, Copy)]
pub struct Fault {
    /// The name in the report, with `{role}` and `{mode}` for those of the target.
    pub name: &'static str,
    pub affects: Affects,
    /// Duration in milliseconds. The duration of broken connections depends on their mode.
    pub lasts_ms: (u64, u64),
    pub action: &'static dyn Action,
}

pub trait Action {
    /// Causes the fault, waits for its duration and undoes it; returns the number of its effects.
    fn run<'a>(&'a self, rig: &'a Rig, target: Target, lasts: Duration) -> LocalBoxFuture<'a, u64>;
}

impl<F: AsyncFn(&Rig, Target, Duration) -> u64> Action for F {
    fn run<'a>(&'a self, rig: &'a Rig, target: Target, lasts: Duration) -> LocalBoxFuture<'a, u64> {
        self(rig, target, lasts).boxed_local()
    }
}

/// What a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affects {
    /// What its name says.
    Fixed,
    /// One of the two processes of a role.
    Process(&'static str),
    /// Both processes of a role.
    Processes(&'static str),
    /// One node of the broker.
    Node,
    /// The connections of a process of one of these roles, or of the ID system if there are none,
    /// in one of these modes.
    Connections(&'static [&'static str], &'static [Mode]),
}

/// The process or node that a fault was drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub role: &'static str,
    /// Index of the process of its role, or of the node.
    pub number: usize,
    pub mode: Mode,
}

impl Affects {
    pub fn draw(self, chance: &mut Rng, nodes: usize) -> Target {
        let mut target = Target { role: "", number: 0, mode: Mode::Open };
        match self {
            Self::Fixed => {}
            Self::Process(role) => (target.role, target.number) = (role, chance.usize(..2)),
            Self::Processes(role) => target.role = role,
            Self::Node => target.number = chance.usize(..nodes),
            Self::Connections(roles, modes) => {
                if !roles.is_empty() {
                    (target.role, target.number) = (pick(chance, roles), chance.usize(..2));
                }
                target.mode = pick(chance, modes);
            }
        }
        target
    }
}

fn pick<T: Copy>(chance: &mut Rng, from: &[T]) -> T {
    if let [only] = from { *only } else { *chance.choice(from).expect("something to pick from") }
}

impl Fault {
    pub fn lasts_ms(&self, target: Target) -> RangeInclusive<u64> {
        let (least, most) = match (self.affects, target.mode) {
            (Affects::Connections(..), Mode::Cut) => (200, 1_500),
            (Affects::Connections(..), _) => (2_000, 7_000),
            _ => self.lasts_ms,
        };
        least..=most
    }
}

/// How often each fault has had an effect, and a log of the faults.
#[derive(Debug)]
pub struct Effects {
    counts: Mutex<BTreeMap<String, u64>>,
    log: File,
}

impl Effects {
    pub fn new(dir: &Path) -> Self {
        Self { counts: Mutex::default(), log: File::create(dir.join("faults.log")).expect("a log") }
    }

    fn add(&self, fault: String, effects: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(fault).or_default() += effects;
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Causes all faults of the schedule; returns when every fault has ended.
pub async fn carry_out(rig: &Rig, schedule: &[Planned], effects: &Effects) {
    let begun = Instant::now();
    let one = async |planned: &Planned| {
        effects.add(planned.name(), 0);
        sleep_until(begun + planned.at).await;
        let (from, started) = (begun.elapsed().as_secs_f64(), jiff::Timestamp::now());
        let met = planned.fault.action.run(rig, planned.target, planned.lasts).await;
        let (now, to) = (jiff::Timestamp::now(), begun.elapsed().as_secs_f64());
        rig.disturbances.add(planned.name(), started, now);
        writeln!(&effects.log, "{now} {from:>6.1} s to {to:>6.1} s  effects {met:>3}  {planned}")
            .expect("a log");
        effects.add(planned.name(), met);
    };
    join_all(schedule.iter().map(one)).await;
    // A fault may have no effect because of another fault, such as a process that was frozen at the
    // time. It is then repeated.
    for _ in 0..REPEATS {
        for (name, _) in effects.counts().into_iter().filter(|(_, effects)| *effects == 0) {
            let planned = schedule.iter().find(|planned| planned.name() == name);
            one(planned.expect("what was planned")).await;
        }
    }
}
