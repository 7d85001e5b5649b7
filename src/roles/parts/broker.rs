//! The two vhosts of the broker: how to reach them, and what must be declared in them.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Link, LinkSettings, Topology};
use crate::config::Config;
use crate::pipeline::names::{self, AMQP_SYSTEM};
use crate::pipeline::{DeploymentCheck, TopologySettings, settings, topology};
use crate::telemetry::Metrics;

/// The setting of our own vhost.
pub(crate) const BRIDGE_URL: &str = "AMQP_URL (broker.url)";
/// The setting of the vendor's vhost.
pub(crate) const NID_URL: &str = "NID_AMQP_URL (broker.nid_url)";

/// A vhost, and the setting that holds its URL.
pub(crate) struct BrokerEndpoint {
    /// The setting as `VARIABLE (file.key)`, for error texts.
    pub(crate) setting: &'static str,
    pub(crate) settings: LinkSettings,
}

/// Our own vhost and the vendor's. `name` names the connections on the broker.
pub(crate) fn broker_endpoints(config: &Config, name: &'static str) -> [BrokerEndpoint; 2] {
    [
        BrokerEndpoint { setting: BRIDGE_URL, settings: settings::bridge_link(name, &config.broker) },
        BrokerEndpoint { setting: NID_URL, settings: settings::national_id_link(name, &config.broker) },
    ]
}

pub(crate) fn topology_settings(config: &Config) -> TopologySettings {
    TopologySettings::new(&config.broker, &config.confirm, &config.front.wait)
}

/// The topologies of our own vhost and of the vendor's, with the vhost names from the URLs.
pub(crate) fn topologies(config: &Config) -> [Topology; 2] {
    let settings = topology_settings(config);
    let [bridge, national_id] = broker_endpoints(config, "topology");
    [
        within_vhost(topology::bridge(&settings, &[AMQP_SYSTEM]), &bridge),
        within_vhost(topology::national_id(&settings), &national_id),
    ]
}

fn within_vhost(topology: Topology, endpoint: &BrokerEndpoint) -> Topology {
    match endpoint.settings.vhost() {
        Some(vhost) => topology.in_vhost(vhost),
        None => topology,
    }
}

/// The parking queues of both vhosts, and the queue of messages that could not be routed.
pub(crate) fn parking_queues(config: &Config) -> [Vec<String>; 2] {
    topologies(config).map(|topology| {
        let is_parking = |name: &&str| names::work_queue_of(name).is_some() || *name == names::UNROUTED;
        topology.queue_names().filter(is_parking).map(str::to_owned).collect()
    })
}

/// The longest delay that one of our messages can be given.
pub(crate) fn longest_delay(config: &Config) -> Duration {
    let settings = topology_settings(config);
    let steps = settings.retry_steps.iter().copied();
    steps.chain([settings.confirm_after, config.confirm.quarantine]).max().unwrap_or_default()
}

/// A link of a role to our own vhost. It is connected only while the role belongs to this broker.
pub(crate) fn member_link(
    config: &Config,
    name: &'static str,
    metrics: &Arc<Metrics>,
    check: &Arc<DeploymentCheck>,
) -> Link {
    let [topology, _] = topologies(config);
    let settings = settings::bridge_link(name, &config.broker);
    Link::open_behind(Some(check.gate()), &settings, topology, Arc::clone(metrics))
}

/// A link to the vendor's vhost.
pub(crate) fn nid_link(config: &Config, name: &'static str, metrics: &Arc<Metrics>) -> Link {
    let [_, topology] = topologies(config);
    Link::open(&settings::national_id_link(name, &config.broker), topology, Arc::clone(metrics))
}
