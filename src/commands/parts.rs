//! The parts that the roles are put together from, each made from its slice of the configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;

use crate::broker::names::AMQP_SYSTEM;
use crate::broker::{ConsumerSettings, Link, LinkSettings, Topology, TopologySettings, WorkQueue};
use crate::config::Config;
use crate::ledger::{Ledger, LedgerSettings};
use crate::seal::Sealer;

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
    Link::open(link_settings(config, role, config.broker.url.clone()), topology)
}

/// The vendor's vhost.
pub(super) fn nid_link(config: &Config, role: &str) -> Link {
    let topology = Topology::national_id(&topology_settings(config));
    Link::open(link_settings(config, role, config.broker.nid_url.clone()), topology)
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
        timeout: config.ledger.timeout,
        who: format!("{role} {}", uuid::Uuid::new_v4().simple()),
    };
    Ledger::open(&settings, sealer).await.context("the ledger cannot be opened")
}
