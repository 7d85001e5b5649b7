//! The readiness of a process: a set of named conditions that must all be met.
//!
//! Invariant: a condition counts as met only after its owner has said so. Draining is never undone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::broker::{Breaker, LinkState};
use crate::domain::escaped;

/// The readiness of one process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    conditions: BTreeMap<&'static str, Status>,
    breakers: BTreeMap<&'static str, Breaker>,
    warnings: BTreeMap<&'static str, String>,
    draining: bool,
}

#[derive(Debug)]
enum Status {
    Met,
    /// Not met, and why if its owner has said so.
    Unmet(Option<String>),
    Link(watch::Receiver<LinkState>),
}

impl Status {
    fn is_met(&self) -> bool {
        match self {
            Self::Met => true,
            Self::Unmet(_) => false,
            Self::Link(state) => state.borrow().is_connected(),
        }
    }

    fn why(&self) -> Option<String> {
        match self {
            Self::Met => None,
            Self::Unmet(why) => why.clone(),
            Self::Link(state) => state.borrow().why_not().map(str::to_owned),
        }
    }
}

/// A condition, for the part of the process that knows whether it is met.
#[derive(Debug, Clone)]
pub struct Condition {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Creates a set without conditions, so the process is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition that is not met yet.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.lock().conditions.insert(name, Status::Unmet(None));
        Condition { name, readiness: self.clone() }
    }

    /// Adds a condition that is met while a link to the broker is connected.
    pub fn add_link(&self, name: &'static str, state: watch::Receiver<LinkState>) {
        self.lock().conditions.insert(name, Status::Link(state));
    }

    /// Adds breakers whose state is shown. The process stays ready while a breaker is open, because
    /// a restart would not help.
    pub fn add_breakers(&self, breakers: &[&Breaker]) {
        let of = breakers.iter().map(|breaker| (breaker.dependency(), (*breaker).clone()));
        self.lock().breakers.extend(of);
    }

    /// Something that an operator should know of, although the process stays ready.
    pub fn warning(&self, name: &'static str) -> Warning {
        Warning { name, readiness: self.clone() }
    }

    /// The warnings that are in force, by name.
    pub fn warnings(&self) -> BTreeMap<&'static str, String> {
        self.lock().warnings.clone()
    }

    /// Marks the process as draining and therefore not ready: it finishes the work that it has and
    /// begins nothing new.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// The conditions that are not met, and `draining` during a drain. If there are none, the
    /// process is ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let state = self.lock();
        let missing = state.conditions.iter().filter(|(_, status)| !status.is_met()).map(|(name, _)| *name);
        state.draining.then_some("draining").into_iter().chain(missing).collect()
    }

    /// Why conditions are not met, by name, as far as that is known.
    pub fn reasons(&self) -> BTreeMap<&'static str, String> {
        let state = self.lock();
        state
            .conditions
            .iter()
            .filter_map(|(name, status)| Some((*name, escaped(&status.why()?).into_owned())))
            .collect()
    }

    /// The dependencies whose breaker is open.
    pub fn open_breakers(&self) -> Vec<&'static str> {
        let state = self.lock();
        state.breakers.iter().filter(|(_, breaker)| breaker.is_open()).map(|(name, _)| *name).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment, so a thread that panicked has left nothing half
        // done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    pub fn set(&self, met: bool) {
        self.put(if met { Status::Met } else { Status::Unmet(None) });
    }

    /// Says that the condition is not met, and why. `/readyz` shows the reason.
    pub fn unmet(&self, why: &str) {
        self.put(Status::Unmet(Some(why.to_owned())));
    }

    fn put(&self, status: Status) {
        self.readiness.lock().conditions.insert(self.name, status);
    }
}

/// A warning, for the part of the process that knows whether it is in force.
#[derive(Debug, Clone)]
pub struct Warning {
    name: &'static str,
    readiness: Readiness,
}

impl Warning {
    pub fn raise(&self, why: &str) {
        self.readiness.lock().warnings.insert(self.name, why.to_owned());
    }

    pub fn clear(&self) {
        self.readiness.lock().warnings.remove(self.name);
    }
}
