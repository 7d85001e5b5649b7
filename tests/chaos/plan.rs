//! The schedule: which fault comes when, and for how long. A function of the seed and the length of the run.
//!
//! Each lane is a row of faults one after the other, and all lanes run at the same time, so that faults meet. What
//! must not meet is in one lane: no two nodes of the broker are away at once, for two of three are a majority.
//!
//! Invariant: nothing is scheduled that the protocol cannot rule out. That is a mutation that OpenCRVS applies later than
//! the quarantine after its intent, in whatever way it comes about; see [`What::FreezeLong`] and [`What::span`].

use std::time::Duration;

use fastrand::Rng;

/// One kind of fault. Numbers are those of processes of a kind, or of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    Kill(Kind, usize),
    Terminate(Kind, usize),
    /// Longer than a lease, much shorter than the quarantine.
    Freeze(Kind, usize),
    /// Longer than lease and quarantine together. A confirmer's connections to the gateway are dead when it goes on, as
    /// they are in the field after so long; else a write that it was about to send would come later than the quarantine.
    FreezeLong(Kind, usize),
}

/// A kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Front,
    Worker,
    Confirmer,
}

impl Kind {
    /// The name of the role.
    pub fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Worker => "worker",
            Self::Confirmer => "confirmer",
        }
    }
}

impl What {
    /// The name in counters.
    pub fn name(self) -> String {
        match self {
            Self::Kill(kind, _) => format!("kill9_{}", kind.name()),
            Self::Terminate(kind, _) => format!("sigterm_{}", kind.name()),
            Self::Freeze(kind, _) => format!("sigstop_{}", kind.name()),
            Self::FreezeLong(kind, _) => format!("sigstop_{}_beyond_quarantine", kind.name()),
        }
    }

    /// Between how many milliseconds it lasts.
    fn span(self) -> (u64, u64) {
        match self {
            Self::Kill(..) | Self::Terminate(..) => (0, 0),
            Self::Freeze(..) => (3_500, 9_000),
            Self::FreezeLong(..) => (35_000, 38_000),
        }
    }
}

/// A fault with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub at: Duration,
    pub lasts: Duration,
    pub what: What,
}

/// The schedule of a run of this length, in order of time.
pub fn schedule(seed: u64, length: Duration, _nodes: usize) -> Vec<Planned> {
    let mut chance = Rng::with_seed(seed.rotate_left(29) ^ 0x6368_616f_7321);
    let mut all = Vec::new();
    for kind in [Kind::Front, Kind::Worker, Kind::Confirmer] {
        let draw: &dyn Fn(&mut Rng) -> Vec<What> = &|chance| {
            let mut one = || chance.usize(..2);
            vec![What::Kill(kind, one())]
        };
        lane(&mut all, chance.fork(), length, draw);
    }
    all.sort_by_key(|planned| planned.at);
    all
}

/// Fills a lane with one deck after the other until the time is over.
fn lane(all: &mut Vec<Planned>, mut chance: Rng, length: Duration, deck: &dyn Fn(&mut Rng) -> Vec<What>) {
    let mut at = Duration::from_millis(chance.u64(500..3_000));
    loop {
        let mut cards = deck(&mut chance);
        chance.shuffle(&mut cards);
        for what in cards {
            let (least, most) = what.span();
            let lasts = Duration::from_millis(chance.u64(least..=most));
            if at + lasts > length {
                return;
            }
            all.push(Planned { at, lasts, what });
            at += lasts + Duration::from_millis(chance.u64(800..4_000));
        }
    }
}
