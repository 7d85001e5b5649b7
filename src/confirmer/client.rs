//! The bridge's own client in OpenCRVS, as the confirmer knows it: what it may do, and the access
//! token for the next call.
//!
//! A task probes it: at the start, after OpenCRVS refused a call of it, and every few minutes
//! while the client may not answer. The probe accepts an action of an event that does not exist.
//!
//! Invariant: the probe changes nothing in OpenCRVS. What it finds only decides which credential is
//! tried first, so a wrong finding costs a call and no record.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::domain::{Cause, ClientStanding, EventKind};
use crate::opencrvs::events::EventsClient;
use crate::opencrvs::{AccessToken, Right, SystemClient};

pub struct ClientSide {
    pub system: SystemClient,
    /// Time between two probes.
    interval: Duration,
    known: Mutex<Option<Finding>>,
    doubted: Notify,
    /// Alerts about the configuration that this process has seen, and the scope that each names.
    alerts: Mutex<BTreeSet<Reported>>,
}

/// An alert about the configuration: its cause, and the scope that the client lacks.
type Reported = (Cause, Option<String>);

/// The result of the last probe.
#[derive(Clone)]
struct Finding {
    /// Whether this release lets the client accept an action. `None` if the probe got no clear
    /// response.
    may_accept: Option<bool>,
    /// The access token of the probe, with its scopes.
    token: AccessToken,
}

impl std::fmt::Debug for ClientSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSide").field("may_accept", &self.may_accept()).finish_non_exhaustive()
    }
}

impl ClientSide {
    pub fn new(system: SystemClient, interval: Duration) -> Self {
        Self { system, interval, known: Mutex::new(None), doubted: Notify::new(), alerts: Mutex::default() }
    }

    /// What is known of a right of the client for a kind of event.
    pub(super) fn standing(&self, right: Right, kind: &EventKind) -> ClientStanding {
        match self.finding() {
            Some(Finding { may_accept: Some(may_accept), token }) => {
                if may_accept && token.may(right, kind) {
                    ClientStanding::May
                } else {
                    ClientStanding::MayNot
                }
            }
            Some(Finding { may_accept: None, .. }) | None => ClientStanding::Unknown,
        }
    }

    /// Whether this release lets the client answer.
    pub(super) fn may_answer(&self) -> bool {
        self.may_accept() == Some(true)
    }

    /// Reports that OpenCRVS refused a call for lack of a right, so that the client is probed again.
    pub(super) fn doubt(&self) {
        self.doubted.notify_one();
    }

    pub(super) fn reported(&self, cause: Cause, scope: Option<String>) {
        unpoisoned(&self.alerts).insert((cause, scope));
    }

    /// Removes the alerts that do not apply any more once the client has used this scope.
    pub(super) fn take_settled(&self, scope: &str) -> Vec<Reported> {
        let of_call = |named: &Option<String>| named.as_deref().is_none_or(|named| named == scope);
        unpoisoned(&self.alerts).extract_if(.., |(_, named)| of_call(named)).collect()
    }

    /// Probes the client until `stop` is cancelled.
    pub async fn watch(&self, events: &EventsClient, stop: &CancellationToken) {
        let watching = async {
            loop {
                self.probe(events).await;
                tokio::time::sleep(self.interval).await;
                if self.may_answer() {
                    self.doubted.notified().await;
                }
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop.cancelled() => {}
        }
    }

    /// Probes once, with a fresh access token, because scopes may have been added to the client.
    async fn probe(&self, events: &EventsClient) {
        if let Some(last) = self.finding() {
            self.system.refused(&last.token).await;
        }
        // The fault of a missing token is logged where the token is fetched.
        let Ok(token) = self.system.access_token().await else { return };
        let may_accept = match events.may_accept(&token).await {
            Ok(may_accept) => Some(may_accept),
            Err(fault) => {
                tracing::warn!(error = %fault, "what the client may do in OpenCRVS is not known");
                None
            }
        };
        match may_accept {
            Some(may_accept) if self.may_accept() != Some(may_accept) => {
                tracing::info!(may_accept, "the client was probed: whether OpenCRVS lets it answer");
            }
            Some(_) | None => {}
        }
        *self.lock() = Some(Finding { may_accept, token });
    }

    fn may_accept(&self) -> Option<bool> {
        self.finding()?.may_accept
    }

    fn finding(&self) -> Option<Finding> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Finding>> {
        unpoisoned(&self.known)
    }
}

/// Locks a mutex under which every change is a single call, so a thread that panicked has left
/// nothing half done.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
