//! What the services of the events generation share, apart from the records: the release, the
//! switches, the system clients, and the calls so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::behaviour::EventsBehaviour;
use super::clients::Clients;
use super::credential::Credential;
use super::release::Release;

#[derive(Debug, Default)]
pub(in crate::sandbox::opencrvs) struct EventsState {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) release: Release,
    /// Records of older releases have been migrated to this one.
    pub(super) oldest: Release,
    pub(super) behaviour: EventsBehaviour,
    pub(super) clients: Clients,
    /// Number of calls by procedure and credential.
    pub(super) calls: BTreeMap<(String, Credential), u64>,
    pub(super) token_requests: TokenRequests,
}

/// The requests for a client's token so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct TokenRequests {
    /// All of them.
    pub asked: u64,
    pub given: u64,
    /// Refused because of the id or the secret.
    pub refused: u64,
    /// Requests with credentials in the query string, refused or not.
    pub in_query: u64,
}

impl EventsState {
    pub(in crate::sandbox::opencrvs) fn new(release: Release) -> Self {
        let inner = Inner { release, oldest: Release::V1_9, ..Inner::default() };
        Self { inner: Mutex::new(inner) }
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(in crate::sandbox::opencrvs) fn release(&self) -> Release {
        self.with(|state| state.release)
    }

    /// The release by which an event is handled that was submitted in this one, if it is known.
    pub(super) fn release_since(&self, submitted: Option<Release>) -> Release {
        self.with(|state| submitted.map_or(state.release, |release| release.max(state.oldest)))
    }

    pub(super) fn behaviour(&self) -> EventsBehaviour {
        self.with(|state| state.behaviour.clone())
    }

    pub(super) fn count_call(&self, procedure: &str, credential: Credential) {
        self.with(|state| {
            *state.calls.entry((procedure.to_owned(), credential)).or_default() += 1;
        });
    }
}
