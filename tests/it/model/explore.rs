//! Explores every reachable state, breadth first, and finds the shortest path to a violation.
//!
//! A state from which no end can be reached without a further fault is also a violation. To find
//! such states, the checker follows the edges backwards, so an off-the-shelf checker cannot be
//! used.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

pub use jiff::Timestamp;

use nidbridge::domain::State;

use super::rules::Rules;
use super::steps::{Step, successors};
use super::world::{Scope, World, Wrong};

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

pub struct Explored {
    pub states: usize,
    /// The attempt states that were reached.
    pub reached: Vec<State>,
    /// The violation and the path to it.
    pub found: Option<(Wrong, Vec<Step>)>,
}

struct Graph {
    worlds: Vec<World>,
    /// For each state, the state from which it was first reached.
    previous: Vec<u32>,
    /// Steps without a fault, backwards: (to, from).
    progress: Vec<(u32, u32)>,
}

/// Explores everything; stops at the first violation.
pub fn explore(scope: &Scope, rules: Rules) -> Explored {
    let start = World::start(scope).canonical(scope);
    let mut seen: HashMap<World, u32, BuildHasherDefault<FastHasher>> = HashMap::default();
    seen.insert(start, 0);
    let mut graph = Graph { worlds: vec![start], previous: vec![0], progress: Vec::new() };
    let mut next = Vec::new();
    let mut at = 0;
    while at < graph.worlds.len() {
        next.clear();
        successors(&graph.worlds[at], scope, rules, &mut next);
        for (step, world) in &next {
            let world = world.canonical(scope);
            let fresh = graph.worlds.len() as u32;
            let to = *seen.entry(world).or_insert(fresh);
            if to == fresh {
                graph.worlds.push(world);
                graph.previous.push(at as u32);
                if let Some(wrong) = world.fault(scope) {
                    let found = Some((wrong, graph.path(to, scope, rules)));
                    return Explored { states: graph.worlds.len(), reached: graph.reached(), found };
                }
            }
            if !step.is_fault(&graph.worlds[at]) && to != at as u32 {
                graph.progress.push((to, at as u32));
            }
        }
        at += 1;
    }
    let found = graph.dead_end().map(|at| (Wrong::NeverEnds, graph.path(at, scope, rules)));
    Explored { states: graph.worlds.len(), reached: graph.reached(), found }
}

impl Graph {
    /// The path to a state. It is computed again from the start, so that each confirmer keeps its
    /// index along the path.
    fn path(&self, mut at: u32, scope: &Scope, rules: Rules) -> Vec<Step> {
        let mut through = Vec::new();
        while at != 0 {
            through.push(at);
            at = self.previous[at as usize];
        }
        let mut world = World::start(scope);
        let mut path = Vec::new();
        for at in through.into_iter().rev() {
            let mut next = Vec::new();
            successors(&world, scope, rules, &mut next);
            let goal = self.worlds[at as usize];
            let (step, to) = next.into_iter().find(|(_, to)| to.canonical(scope) == goal).unwrap();
            path.push(step);
            world = to;
        }
        path
    }

    fn reached(&self) -> Vec<State> {
        let has = |state: &State| {
            let row = |world: &World| world.ledger.rows.iter().flatten().any(|row| row.state == *state);
            self.worlds.iter().any(row)
        };
        State::ALL.into_iter().filter(has).collect()
    }

    /// The first state from which no end can be reached.
    fn dead_end(&mut self) -> Option<u32> {
        self.progress.sort_unstable();
        let mut ends = vec![false; self.worlds.len()];
        let mut todo: Vec<u32> = Vec::new();
        for (at, world) in self.worlds.iter().enumerate() {
            if world.is_over() {
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
