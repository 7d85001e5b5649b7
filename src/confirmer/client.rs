//! The bridge's own client in OpenCRVS, with what the confirmer knows of it: what it may do, and
//! which alerts about it are open.
//!
//! A background task probes the client: at the start, after OpenCRVS refused one of its calls, and
//! at intervals while it may not answer. The probe sends an acceptance for an event that does not
//! exist.
//!
//! Invariant: the probe changes nothing in OpenCRVS, and its result ends no attempt. The result
//! only decides which credential is tried first, whether action tokens are renewed, and whether
//! OpenCRVS is searched for unheard registrations.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::domain::{ClientStanding, EventKind};
use crate::opencrvs::events::EventsClient;
use crate::opencrvs::{AccessToken, Right, SystemClient};

pub struct ClientMonitor {
    pub system: SystemClient,
    /// Time between two probes.
    interval: Duration,
    last_probe: Mutex<Option<ProbeResult>>,
    probe_requested: Notify,
    /// Scopes that the client has used since this process last reported a fault of its
    /// configuration. No alert about them is open.
    proven: Mutex<BTreeSet<String>>,
}

/// The result of the last probe.
#[derive(Clone)]
struct ProbeResult {
    /// Whether this release lets the client accept an action. `None` if the probe got no clear
    /// response.
    may_accept: Option<bool>,
    /// The access token of the probe, with its scopes.
    token: AccessToken,
}

impl std::fmt::Debug for ClientMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientMonitor").field("may_accept", &self.may_accept()).finish_non_exhaustive()
    }
}

impl ClientMonitor {
    pub fn new(system: SystemClient, interval: Duration) -> Self {
        Self {
            system,
            interval,
            last_probe: Mutex::new(None),
            probe_requested: Notify::new(),
            proven: Mutex::default(),
        }
    }

    /// What is known of a right of the client for a kind of event.
    pub(super) fn standing(&self, right: Right, kind: &EventKind) -> ClientStanding {
        match self.last_probe() {
            Some(ProbeResult { may_accept: Some(may_accept), token }) => {
                if may_accept && token.may(right, kind) {
                    ClientStanding::May
                } else {
                    ClientStanding::MayNot
                }
            }
            Some(ProbeResult { may_accept: None, .. }) | None => ClientStanding::Unknown,
        }
    }

    /// Whether this release lets the client answer.
    pub(super) fn may_answer(&self) -> bool {
        self.may_accept() == Some(true)
    }

    /// Requests another probe, because OpenCRVS refused a call for lack of a right.
    pub(super) fn request_probe(&self) {
        self.probe_requested.notify_one();
    }

    /// Remembers that a fault of the client's configuration was reported: of one scope, or of all.
    pub(super) fn alert_reported(&self, scope: Option<&str>) {
        let mut proven = unpoisoned(&self.proven);
        match scope {
            Some(scope) => {
                proven.remove(scope);
            }
            None => proven.clear(),
        }
    }

    /// Remembers that the client has used this scope. Returns whether alerts may be open that this
    /// use settles: at the first use after the start of this process, because a process that has
    /// ended may have raised them, and at the first use after each report.
    pub(super) fn first_use_since_alert(&self, scope: &str) -> bool {
        unpoisoned(&self.proven).insert(scope.to_owned())
    }

    /// Probes the client until `stop` is cancelled.
    pub async fn watch(&self, events: &EventsClient, stop: &CancellationToken) {
        let watching = async {
            loop {
                self.probe(events).await;
                tokio::time::sleep(self.interval).await;
                if self.may_answer() {
                    self.probe_requested.notified().await;
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
        if let Some(last) = self.last_probe() {
            self.system.refused(&last.token).await;
        }
        // The fault of a missing token is logged where the token is fetched.
        let Ok(token) = self.system.access_token().await else { return };
        let may_accept = match events.may_accept(&token).await {
            Ok(may_accept) => Some(may_accept),
            Err(fault) => {
                tracing::warn!(error = %fault, "it is not known whether OpenCRVS lets the client answer: the probe is repeated");
                None
            }
        };
        match may_accept {
            Some(may_accept) if self.may_accept() != Some(may_accept) => {
                let with = if may_accept { "the client" } else { "the tokens of the registrations" };
                tracing::info!(may_accept, "the client was probed: OpenCRVS takes answers with {with}");
            }
            Some(_) | None => {}
        }
        *unpoisoned(&self.last_probe) = Some(ProbeResult { may_accept, token });
    }

    fn may_accept(&self) -> Option<bool> {
        self.last_probe()?.may_accept
    }

    fn last_probe(&self) -> Option<ProbeResult> {
        unpoisoned(&self.last_probe).clone()
    }
}

/// Locks a mutex under which every change is a single call, so a thread that panicked has left
/// nothing half done.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
