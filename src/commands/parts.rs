//! The parts that the roles are put together from, each made from its slice of the configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use url::Url;

use crate::broker::names::AMQP_SYSTEM;
use crate::broker::{ConsumerSettings, Link, LinkSettings, Topology, TopologySettings, WorkQueue};
use crate::config::Config;
use crate::console::Readiness;
use crate::ledger::{Ledger, LedgerSettings};
use crate::opencrvs::ClientSettings;
use crate::seal::Sealer;
use crate::telemetry::Metrics;

/// How long a step waits for the ledger before the message goes back to wait in its queue.
const LEDGER_WAIT: Duration = Duration::from_secs(10);

/// Nothing is written to OpenCRVS sooner after the acceptance: by then our own answer has long arrived.
pub(super) fn confirm_after(config: &Config) -> Duration {
    config.broker.publish_timeout + config.confirm.delay
}

pub(super) fn topology_settings(config: &Config) -> TopologySettings {
    TopologySettings {
        retry_steps: config.broker.retry_steps.clone(),
        confirm_after: confirm_after(config),
        max_length: config.broker.max_length,
        delivery_limit: config.broker.delivery_limit,
    }
}

/// Our own vhost.
pub(super) fn bridge_link(config: &Config, role: &str) -> Link {
    let topology = Topology::bridge(&topology_settings(config), &[AMQP_SYSTEM]);
    Link::open(&link_settings(config, role, config.broker.url.clone()), topology)
}

/// The vendor's vhost.
pub(super) fn nid_link(config: &Config, role: &str) -> Link {
    let topology = Topology::national_id(&topology_settings(config));
    Link::open(&link_settings(config, role, config.broker.nid_url.clone()), topology)
}

fn link_settings(config: &Config, role: &str, url: SecretString) -> LinkSettings {
    LinkSettings {
        heartbeat: config.broker.heartbeat,
        publish_timeout: config.broker.publish_timeout,
        channels: config.broker.channels,
        reconnect_max: config.broker.reconnect_max,
        apply_topology: config.broker.apply_topology,
        ..LinkSettings::new(role, url)
    }
}

pub(super) fn consumer_settings(config: &Config, prefetch: u16) -> ConsumerSettings {
    ConsumerSettings { prefetch, drain: config.broker.drain, ..ConsumerSettings::default() }
}

pub(super) fn outcomes(config: &Config) -> WorkQueue {
    WorkQueue::outcomes(&topology_settings(config))
}

pub(super) fn sealer(config: &Config) -> anyhow::Result<Arc<Sealer>> {
    let sealer = Sealer::parse(&config.seal_keys).context("SEAL_KEYS cannot be used")?;
    Ok(Arc::new(sealer))
}

pub(super) async fn ledger(config: &Config, role: &str, sealer: &Sealer) -> anyhow::Result<Ledger> {
    let settings = LedgerSettings {
        url: config.ledger.url.clone(),
        connections: config.ledger.connections,
        timeout: LEDGER_WAIT,
        who: format!("{role} {}", uuid::Uuid::new_v4().simple()),
    };
    Ledger::open(&settings, sealer).await.context("the ledger cannot be opened")
}

pub(super) fn client_settings(config: &Config, url: &Url) -> ClientSettings {
    ClientSettings {
        url: url.clone(),
        timeout: config.opencrvs.timeout,
        connect_timeout: config.opencrvs.connect_timeout,
    }
}

/// Keeps a condition of a process at what its link says.
pub(super) fn watch_link(readiness: &Readiness, name: &'static str, link: &Link, metrics: &Arc<Metrics>) {
    let (condition, mut state, metrics) = (readiness.condition(name), link.state(), Arc::clone(metrics));
    tokio::spawn(async move {
        loop {
            let connected = state.borrow_and_update().is_connected();
            condition.set(connected);
            metrics.broker_connected(name, connected);
            // The link is gone when nobody tells any more.
            if state.changed().await.is_err() {
                return;
            }
        }
    });
}
