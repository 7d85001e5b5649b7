//! What the roles of one process depend on, with a breaker for each and a probe that asks as little as it can.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::broker::{Breaker, BreakerRules, Link};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::opencrvs::{Gateway, KeyStore};
use crate::pipeline::names::{NID_KINDS, nid_requests};
use crate::telemetry::Metrics;

/// The breakers of a process; its roles share them.
#[derive(Debug, Clone)]
pub struct Breakers {
    /// The ledger: everything needs it.
    pub ledger: Breaker,
    /// The ID system's queues.
    pub id_system: Breaker,
    /// The gateway of OpenCRVS.
    pub gateway: Breaker,
    /// Auth, which a gateway may ask about each token.
    pub auth: Breaker,
}

impl Breakers {
    /// All closed.
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

    /// Probes the ledger by its clock.
    pub(crate) async fn keep_ledger(&self, ledger: &Ledger, stop: CancellationToken) {
        let probe = || async { ledger.now().await.is_ok() };
        self.ledger.clone().keep(probe, stop).await;
    }

    /// Probes the ID system by its queues: they are there, and half empty. With room for just one more, a vendor that
    /// is slow would have us knock at a full queue again and again.
    pub(crate) async fn keep_id_system(&self, nid: &Link, max_length: u64, stop: CancellationToken) {
        let probe = || async {
            for kind in NID_KINDS {
                match nid.depth(&nid_requests(kind)).await {
                    Ok(depth) if u64::from(depth.ready) <= max_length / 2 => {}
                    Ok(_) | Err(_) => return false,
                }
            }
            true
        };
        self.id_system.clone().keep(probe, stop).await;
    }

    /// Probes the gateway by a request that asks for nothing.
    pub(crate) async fn keep_gateway(&self, gateway: &Gateway, stop: CancellationToken) {
        self.gateway.clone().keep(|| gateway.answers(), stop).await;
    }

    /// Probes auth by its public key.
    pub(crate) async fn keep_auth(&self, keys: &KeyStore, stop: CancellationToken) {
        let probe = || async { keys.look().await.is_some() };
        self.auth.clone().keep(probe, stop).await;
    }
}
