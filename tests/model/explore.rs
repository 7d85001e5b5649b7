//! Explores every reachable state, breadth first, and finds the shortest path to a violation.
//!
//! A state from which no end can be reached without a further fault is also a violation. To find
//! such states, the checker follows the edges backwards, so an off-the-shelf checker cannot be
//! used.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

pub use jiff::Timestamp;

use nidbridge::domain::State;

use super::rules::Rules;
use super::steps::{self, Step};
use super::world::{Scope, World, Wrong};

/// A model: its states, and the steps between them.
pub trait Model {
    type World: Copy + Eq + Hash;
    type Step: Copy + Debug;
    type Wrong: Copy;

    /// A state from which no end can be reached without a further fault.
    const NEVER_ENDS: Self::Wrong;

    fn start(&self) -> Self::World;

    fn successors(&self, world: &Self::World, out: &mut Vec<(Self::Step, Self::World)>);

    /// One representative for all states that differ only in details on which nothing depends.
    fn canonical(&self, world: Self::World) -> Self::World;

    /// The violation of a state, if there is one.
    fn wrong(&self, world: &Self::World) -> Option<Self::Wrong>;

    /// Whether the step is a fault. Progress must not depend on faults.
    fn is_fault(&self, step: Self::Step, before: &Self::World) -> bool;

    fn is_over(&self, world: &Self::World) -> bool;
}

/// The model of the whole pipeline with the FHIR generation.
pub struct Pipeline<'a> {
    pub scope: &'a Scope,
    pub rules: Rules,
}

impl Model for Pipeline<'_> {
    type World = World;
    type Step = Step;
    type Wrong = Wrong;

    const NEVER_ENDS: Wrong = Wrong::NeverEnds;

    fn start(&self) -> World {
        World::start(self.scope)
    }

    fn successors(&self, world: &World, out: &mut Vec<(Step, World)>) {
        steps::successors(world, self.scope, self.rules, out);
    }

    fn canonical(&self, world: World) -> World {
        world.canonical(self.scope)
    }

    fn wrong(&self, world: &World) -> Option<Wrong> {
        world.fault(self.scope)
    }

    fn is_fault(&self, step: Step, before: &World) -> bool {
        step.is_fault(before)
    }

    fn is_over(&self, world: &World) -> bool {
        world.is_over()
    }
}

/// A fast hash for small values.
#[derive(Default)]
pub struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

pub fn digest<T: Hash>(value: &T) -> u64 {
    let mut hasher = FastHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

pub struct Explored<M: Model> {
    /// All states that were reached.
    pub worlds: Vec<M::World>,
    /// The violation and the path to it.
    pub found: Option<(M::Wrong, Vec<M::Step>)>,
}

impl Explored<Pipeline<'_>> {
    /// The attempt states that were reached.
    pub fn reached(&self) -> Vec<State> {
        let has = |state: &State| {
            let row = |world: &World| world.ledger.rows.iter().flatten().any(|row| row.state == *state);
            self.worlds.iter().any(row)
        };
        State::ALL.into_iter().filter(has).collect()
    }
}

struct Graph<'a, M: Model> {
    model: &'a M,
    worlds: Vec<M::World>,
    /// For each state, the state from which it was first reached.
    previous: Vec<u32>,
    /// Steps without a fault, backwards: (to, from).
    progress: Vec<(u32, u32)>,
}

/// Explores everything; stops at the first violation.
pub fn explore<M: Model>(model: &M) -> Explored<M> {
    let start = model.canonical(model.start());
    let mut seen: HashMap<M::World, u32, BuildHasherDefault<FastHasher>> = HashMap::default();
    seen.insert(start, 0);
    let mut graph = Graph { model, worlds: vec![start], previous: vec![0], progress: Vec::new() };
    let mut next = Vec::new();
    let mut at = 0;
    while at < graph.worlds.len() {
        next.clear();
        model.successors(&graph.worlds[at], &mut next);
        for (step, world) in &next {
            let world = model.canonical(*world);
            let fresh = graph.worlds.len() as u32;
            let to = *seen.entry(world).or_insert(fresh);
            if to == fresh {
                graph.worlds.push(world);
                graph.previous.push(at as u32);
                if let Some(wrong) = model.wrong(&world) {
                    let found = Some((wrong, graph.path(to)));
                    return Explored { worlds: graph.worlds, found };
                }
            }
            if !model.is_fault(*step, &graph.worlds[at]) && to != at as u32 {
                graph.progress.push((to, at as u32));
            }
        }
        at += 1;
    }
    let found = graph.dead_end().map(|at| (M::NEVER_ENDS, graph.path(at)));
    Explored { worlds: graph.worlds, found }
}

impl<M: Model> Graph<'_, M> {
    /// The path to a state. It is computed again from the start, so that each confirmer keeps its
    /// index along the path.
    fn path(&self, mut at: u32) -> Vec<M::Step> {
        let mut through = Vec::new();
        while at != 0 {
            through.push(at);
            at = self.previous[at as usize];
        }
        let mut world = self.model.start();
        let mut path = Vec::new();
        for at in through.into_iter().rev() {
            let mut next = Vec::new();
            self.model.successors(&world, &mut next);
            let goal = self.worlds[at as usize];
            let (step, to) = next.into_iter().find(|(_, to)| self.model.canonical(*to) == goal).unwrap();
            path.push(step);
            world = to;
        }
        path
    }

    /// The first state from which no end can be reached.
    fn dead_end(&mut self) -> Option<u32> {
        self.progress.sort_unstable();
        let mut ends = vec![false; self.worlds.len()];
        let mut todo: Vec<u32> = Vec::new();
        for (at, world) in self.worlds.iter().enumerate() {
            if self.model.is_over(world) {
                ends[at] = true;
                todo.push(at as u32);
            }
        }
        while let Some(to) = todo.pop() {
            let first = self.progress.partition_point(|edge| edge.0 < to);
            for (_, from) in self.progress[first..].iter().take_while(|edge| edge.0 == to) {
                if !std::mem::replace(&mut ends[*from as usize], true) {
                    todo.push(*from);
                }
            }
        }
        ends.iter().position(|ends| !ends).map(|at| at as u32)
    }
}
