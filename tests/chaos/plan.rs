//! The schedule: which fault comes when, and for how long. It depends only on the seed, the length
//! of the run, the number of nodes and the generations.
//!
//! Invariant: the schedule contains no fault against which the protocol cannot protect. The only
//! such fault is a mutation that OpenCRVS applies later than the quarantine after its intent,
//! whatever delays the mutation; see the [catalogue](super::catalogue).

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use nidbridge::sandbox::opencrvs::{Calls, Fault as CallFault, Generations, Share};

use super::catalogue::{Times, lanes};
use super::faults::{Affects, Fault, Target};
use super::options::Options;
use super::settings::QUARANTINE;

/// How late a late mutation is applied: one minute divided by twenty.
const LATE_MS: u64 = 3_000;

/// A fault with its target, start and duration.
#[derive(Clone, Copy)]
pub struct Planned {
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
    pub target: Target,
}

impl Planned {
    pub fn name(&self) -> String {
        self.fault.name.replace("{role}", self.target.role).replace("{mode}", self.target.mode.name())
    }

    fn meets(&self, other: &Self) -> bool {
        // A process that was killed is down for a few seconds longer.
        let ends = |one: &Self| one.at + one.lasts + Duration::from_secs(5);
        self.at <= ends(other) && other.at <= ends(self)
    }

    /// Whether it freezes a process for longer than the quarantine.
    fn is_long_freeze(&self) -> bool {
        matches!(self.fault.affects, Affects::Process(_)) && self.lasts > QUARANTINE
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { role, number, .. } = self.target;
        match self.fault.affects {
            Affects::Fixed | Affects::Processes(_) | Affects::Connections([], _) => {
                write!(f, "{}", self.name())
            }
            Affects::Node => write!(f, "{} node{}", self.name(), number + 1),
            Affects::Process(_) | Affects::Connections(..) => {
                write!(f, "{} {role}{}", self.name(), number + 1)
            }
        }
    }
}

/// The schedule of a run with these options, in order of time.
pub fn schedule(options: &Options) -> Vec<Planned> {
    let chance = Rng::with_seed(options.seed.rotate_left(29) ^ 0x6368_616f_7321);
    let mut plan =
        Plan { length: options.length(), nodes: usize::from(options.nodes), chance, all: Vec::new() };
    if options.calm {
        return plan.all;
    }
    for lane in lanes(plan.nodes, options) {
        match lane.times {
            Times::Pause(seconds) => plan.repeat(seconds, &lane.faults),
            Times::Once(between) => plan.once(&between, &lane.faults),
        }
    }
    let mut schedule = plan.in_order();
    schedule.retain(|planned| options.chooses(&planned.name()));
    schedule
}

struct Plan {
    length: Duration,
    nodes: usize,
    chance: Rng,
    all: Vec<Planned>,
}

impl Plan {
    /// Schedules all faults in random order, again and again until the end of the run.
    fn repeat(&mut self, pause_s: Range<u64>, faults: &[Fault]) {
        let mut chance = self.chance.fork();
        let mut at = Duration::from_millis(chance.u64(500..500 + pause_s.end * 500));
        loop {
            let draw = |fault: &Fault| (*fault, fault.affects.draw(&mut chance, self.nodes));
            let mut drawn: Vec<(Fault, Target)> = faults.iter().map(draw).collect();
            chance.shuffle(&mut drawn);
            for (fault, target) in drawn {
                let lasts = Duration::from_millis(chance.u64(fault.lasts_ms(target)));
                if at + lasts > self.length {
                    return;
                }
                self.all.push(Planned { at, lasts, fault, target });
                at += lasts + Duration::from_millis(chance.u64(pause_s.start * 1_000..pause_s.end * 1_000));
            }
        }
    }

    /// Schedules each fault once, at a random point between these shares of the length.
    fn once(&mut self, between: &Range<f64>, faults: &[Fault]) {
        for fault in faults {
            let share = between.start + (between.end - between.start) * self.chance.f64();
            let at = self.length.mul_f64(share);
            let target = fault.affects.draw(&mut self.chance, self.nodes);
            let lasts = Duration::from_millis(*fault.lasts_ms(target).start());
            self.all.push(Planned { at, lasts, fault: *fault, target });
        }
    }

    /// Returns the schedule in order of time. A process that is frozen for long gets no other
    /// fault, so that the same process continues afterwards: such faults go to the other process of
    /// its role, and a fault of both processes is dropped.
    fn in_order(mut self) -> Vec<Planned> {
        let long: Vec<Planned> =
            self.all.iter().filter(|planned| planned.is_long_freeze()).copied().collect();
        for planned in self.all.iter_mut().filter(|planned| !planned.is_long_freeze()) {
            let same = |frozen: &Planned| frozen.meets(planned) && frozen.target == planned.target;
            if matches!(planned.fault.affects, Affects::Process(_)) && long.iter().any(same) {
                planned.target.number = 1 - planned.target.number;
            }
        }
        self.all.retain(|planned| {
            let frozen =
                |frozen: &Planned| frozen.meets(planned) && frozen.target.role == planned.target.role;
            !(matches!(planned.fault.affects, Affects::Processes(_)) && long.iter().any(frozen))
        });
        self.all.sort_by_key(|planned| planned.at);
        self.all
    }
}

/// Faults that single calls of the gateway meet at random, beside the schedule: before the mutation
/// is applied, after it, and while it is applied.
pub fn shares(options: &Options) -> Vec<Share> {
    let write = [
        CallFault::http(503),
        CallFault::http_after(502),
        CallFault::FAILS_BEFORE,
        CallFault::FAILS_AFTER,
        CallFault::HANG,
        CallFault::HANG_AFTER,
        CallFault::hang_late(LATE_MS),
        CallFault::CUT_BEFORE,
        CallFault::CUT_AFTER,
        CallFault::cut_late(LATE_MS),
        CallFault::TRUNCATED_BEFORE,
        CallFault::TRUNCATED_AFTER,
        CallFault::delay(LATE_MS),
        CallFault::RATE_LIMITED,
        CallFault::NOT_JSON,
    ];
    let fetch = [CallFault::http(503), CallFault::HANG, CallFault::CUT_BEFORE, CallFault::TRUNCATED_BEFORE];
    let reads = fetch;
    let key = [CallFault::http(503), CallFault::NOT_JSON, CallFault::TRUNCATED_BEFORE];
    // With both generations, each has only half of the calls. The share is higher then, so that
    // every kind of fault still occurs.
    let of_writes = if options.opencrvs == Generations::Mixed { 0.02 } else { 0.012 };
    let share = |calls, of: f64| move |fault: &CallFault| Share::of(calls, *fault, of);
    let fhir =
        write.iter().map(share(Calls::Confirm, of_writes)).chain(fetch.iter().map(share(Calls::Fetch, 0.01)));
    let events = write.iter().map(share(Calls::Action, of_writes));
    let client = reads
        .iter()
        .flat_map(|fault| [Share::of(Calls::Read, *fault, 0.02), Share::of(Calls::Search, *fault, 0.05)])
        .chain([CallFault::http(503), CallFault::NOT_JSON].map(|fault| Share::of(Calls::Token, fault, 0.2)));
    let of_both = key.iter().map(share(Calls::Key, 0.1));
    let fhir = fhir.filter(|_| options.opencrvs.has_fhir());
    let events = events.filter(|_| options.opencrvs.has_events());
    let client = client.filter(|_| options.has_client());
    fhir.chain(events).chain(client).chain(of_both).collect()
}
