//! From settings to what the broker's parts are made of.

use crate::broker::{LinkSettings, Topology, TopologySettings, names};
use crate::config::Config;

/// What of the settings shapes exchanges and queues.
pub fn topology_settings(config: &Config) -> TopologySettings {
    TopologySettings {
        retry_steps: config.broker.retry_steps.clone(),
        confirm_after: config.broker.publish_timeout + config.confirm.delay,
        max_length: config.broker.max_length,
        delivery_limit: config.broker.delivery_limit,
    }
}

/// Our vhost and the vendor's.
pub fn topologies(config: &Config) -> [Topology; 2] {
    let settings = topology_settings(config);
    [Topology::bridge(&settings, &[names::AMQP_SYSTEM]), Topology::national_id(&settings)]
}

/// How a role reaches a vhost.
pub fn link(config: &Config, role: &str, topology: &Topology) -> LinkSettings {
    let broker = &config.broker;
    let url = if topology.vhost() == names::NID_VHOST { &broker.nid_url } else { &broker.url };
    LinkSettings {
        heartbeat: broker.heartbeat,
        publish_timeout: broker.publish_timeout,
        channels: broker.channels,
        reconnect_max: broker.reconnect_max,
        apply_topology: broker.apply_topology,
        ..LinkSettings::new(role, url.clone())
    }
}
