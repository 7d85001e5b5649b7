//! Counts the requests of each caller, so that one of them cannot keep out the others.
//!
//! Invariant: a place is given back when its request ends, however it ends. A caller without a
//! request takes up no memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The requests that each caller has at the moment.
#[derive(Debug)]
pub(super) struct Callers<K: Eq + Hash> {
    running: Arc<Mutex<HashMap<K, usize>>>,
    /// Maximum number of requests of one caller at the same time.
    limit: usize,
}

/// The place of one request. Dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Place<K: Eq + Hash> {
    running: Arc<Mutex<HashMap<K, usize>>>,
    caller: K,
}

impl<K: Eq + Hash + Clone> Callers<K> {
    pub(super) fn new(limit: usize) -> Self {
        Self { running: Arc::default(), limit: limit.max(1) }
    }

    /// `None` if the caller has as many requests as it may have.
    pub(super) fn enter(&self, caller: &K) -> Option<Place<K>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(caller.clone()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { running: Arc::clone(&self.running), caller: caller.clone() })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_its_limit_and_another_has_its_own() {
        let callers = Callers::new(2);
        let places = [callers.enter(&"a").unwrap(), callers.enter(&"a").unwrap()];
        assert!(callers.enter(&"a").is_none());
        let other = callers.enter(&"b").unwrap();
        drop(places);
        assert!(callers.enter(&"a").is_some());
        drop(other);
        assert!(callers.running.lock().unwrap().is_empty());
    }
}
