//! The circuit breakers of a process, and the probes that say when a dependency answers again.
//!
//! Invariant: a probe asks as little as it can, and only while its breaker is open.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::broker::{Breaker, BreakerRules, Link};
use crate::config::Config;
use crate::confirmer::ClientMonitor;
use crate::ledger::Ledger;
use crate::opencrvs::KeyStore;
use crate::opencrvs::fhir::Gateway;
use crate::pipeline::names::{NID_KINDS, nid_requests};
use crate::telemetry::Metrics;

/// One breaker for each dependency. All roles of a process share them.
#[derive(Debug, Clone)]
pub struct Breakers {
    pub ledger: Breaker,
    /// The ID system's queues.
    pub id_system: Breaker,
    /// The gateway of OpenCRVS.
    pub gateway: Breaker,
    /// The auth service of OpenCRVS, which a gateway may ask about each token.
    pub auth: Breaker,
}

impl Breakers {
    /// Makes the breakers, all of them closed.
    pub fn new(config: &Config, metrics: &Arc<Metrics>) -> Self {
        let config = &config.breaker;
        let rules =
            BreakerRules { failures: config.failures, pause: config.pause, pause_max: config.pause_max };
        let breaker = |dependency| Breaker::new(dependency, rules, Arc::clone(metrics));
        Self {
            ledger: breaker("ledger"),
            id_system: breaker("id_system"),
            gateway: breaker("gateway"),
            auth: breaker("auth"),
        }
    }

    /// Probes the ledger by asking for its clock.
    pub(crate) async fn probe_ledger(self, ledger: Ledger, stop: CancellationToken) {
        let probe = || async { ledger.now().await.is_ok() };
        self.ledger.keep(probe, stop).await;
    }

    /// Probes the ID system through its request queues, which must exist and be at most half full.
    /// If room for one more message were enough, the breaker of a slow vendor would close and open
    /// all the time.
    pub(crate) async fn probe_id_system(self, nid: Link, max_length: u64, stop: CancellationToken) {
        let probe = || async {
            for kind in NID_KINDS {
                match nid.depth(&nid_requests(kind)).await {
                    Ok(depth) if u64::from(depth.ready) <= max_length / 2 => {}
                    Ok(_) | Err(_) => return false,
                }
            }
            true
        };
        self.id_system.keep(probe, stop).await;
    }

    /// Probes the gateway with a request that reads nothing.
    pub(crate) async fn probe_gateway(self, gateway: Gateway, stop: CancellationToken) {
        self.gateway.keep(|| gateway.answers(), stop).await;
    }

    /// Probes auth by fetching its public key and, if the bridge has a client, an access token. If
    /// auth does not answer the second request, the gateway's breaker looks after that.
    pub(crate) async fn probe_auth(
        self,
        keys: Arc<KeyStore>,
        client: Option<Arc<ClientMonitor>>,
        stop: CancellationToken,
    ) {
        let probe = || async {
            let takes_client = match &client {
                Some(client) => {
                    client.system.access_token().await.err().is_none_or(|fault| !fault.is_refusal())
                }
                None => true,
            };
            takes_client && keys.fetch_key().await.is_some()
        };
        self.auth.keep(probe, stop).await;
    }
}
