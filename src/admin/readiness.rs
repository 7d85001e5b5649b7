//! Whether a process can do its work, as a set of named conditions.
//!
//! Invariant: a condition holds only after its owner has said so; draining is never undone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::broker::{Breaker, LinkState};

/// The conditions of one process; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    conditions: BTreeMap<&'static str, Holds>,
    breakers: BTreeMap<&'static str, Breaker>,
    draining: bool,
}

#[derive(Debug)]
enum Holds {
    Told(bool),
    Link(watch::Receiver<LinkState>),
}

impl Holds {
    fn now(&self) -> bool {
        match self {
            Self::Told(holds) => *holds,
            Self::Link(state) => state.borrow().is_connected(),
        }
    }
}

/// One of them, for whoever knows whether it holds.
#[derive(Debug, Clone)]
pub struct Condition {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// No conditions, so ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// A condition that does not hold yet.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.known().conditions.insert(name, Holds::Told(false));
        Condition { name, readiness: self.clone() }
    }

    /// A condition that holds while a link to the broker is connected.
    pub fn link(&self, name: &'static str, state: watch::Receiver<LinkState>) {
        self.known().conditions.insert(name, Holds::Link(state));
    }

    /// What the process depends on. While it is left alone the process stays ready: a restart would help nobody.
    pub fn depends_on(&self, breakers: &[&Breaker]) {
        let of = breakers.iter().map(|breaker| (breaker.dependency(), (*breaker).clone()));
        self.known().breakers.extend(of);
    }

    /// From now on the process finishes what it has and takes nothing new.
    pub fn drain(&self) {
        self.known().draining = true;
    }

    /// What stands in the way; empty is ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let known = self.known();
        let missing = known.conditions.iter().filter(|(_, holds)| !holds.now()).map(|(name, _)| *name);
        known.draining.then_some("draining").into_iter().chain(missing).collect()
    }

    /// What is left alone, because it is out of order.
    pub fn left_alone(&self) -> Vec<&'static str> {
        let known = self.known();
        known.breakers.iter().filter(|(_, breaker)| breaker.is_open()).map(|(name, _)| *name).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // every change is one assignment, so a thread that panicked has left nothing half done
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    /// It holds, or not any more.
    pub fn set(&self, holds: bool) {
        self.readiness.known().conditions.insert(self.name, Holds::Told(holds));
    }
}
