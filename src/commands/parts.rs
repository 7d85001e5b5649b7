//! The parts that the roles are put together from, each made from its slice of the configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use url::Url;

use super::Failure;
use crate::broker::names::AMQP_SYSTEM;
use crate::broker::{Link, LinkSettings, Topology, TopologySettings};
use crate::config::Config;
use crate::ledger::{Ledger, LedgerError, LedgerSettings};
use crate::opencrvs::ClientSettings;
use crate::seal::Sealer;
use crate::telemetry::Metrics;

/// How long a step waits for the ledger before the message goes back to wait in its queue.
const LEDGER_WAIT: Duration = Duration::from_secs(10);

pub(super) fn topology_settings(config: &Config) -> TopologySettings {
    TopologySettings::new(&config.broker, &config.confirm)
}

/// The longest time that a message may wait in a queue of ours by design.
pub(super) fn longest_delay(config: &Config) -> Duration {
    let settings = topology_settings(config);
    let steps = settings.retry_steps.iter().copied();
    steps.chain([settings.confirm_after, config.confirm.quarantine]).max().unwrap_or_default()
}

/// Our vhost and the vendor's.
pub(super) fn topologies(config: &Config) -> [Topology; 2] {
    let settings = topology_settings(config);
    [Topology::bridge(&settings, &[AMQP_SYSTEM]), Topology::national_id(&settings)]
}

/// Our own vhost.
pub(super) fn bridge_link(config: &Config, name: &'static str, metrics: &Arc<Metrics>) -> Link {
    let [topology, _] = topologies(config);
    Link::open(&LinkSettings::bridge(name, &config.broker), topology, Arc::clone(metrics))
}

/// The vendor's vhost.
pub(super) fn nid_link(config: &Config, name: &'static str, metrics: &Arc<Metrics>) -> Link {
    let [_, topology] = topologies(config);
    Link::open(&LinkSettings::national_id(name, &config.broker), topology, Arc::clone(metrics))
}

pub(super) fn sealer(config: &Config) -> anyhow::Result<Arc<Sealer>> {
    Ok(Arc::new(Sealer::parse(&config.seal_keys).context("SEAL_KEYS cannot be used")?))
}

pub(super) async fn ledger(config: &Config, role: &str, sealer: &Sealer) -> Result<Ledger, Failure> {
    let settings = LedgerSettings {
        url: config.ledger.url.clone(),
        connections: config.ledger.connections,
        timeout: LEDGER_WAIT,
        who: format!("{role} {}", uuid::Uuid::new_v4().simple()),
    };
    Ledger::open(&settings, sealer).await.map_err(|fault| {
        let transient = fault.is_transient();
        let fault = anyhow::Error::new(fault).context("LEDGER_URL (ledger.url): the ledger cannot be opened");
        if transient { Failure::Unavailable(fault) } else { Failure::Failed(fault) }
    })
}

/// A fault of the ledger in the middle of a command.
pub(super) fn ledger_away(fault: LedgerError) -> Failure {
    let transient = fault.is_transient();
    let fault = anyhow::Error::new(fault).context("the ledger");
    if transient { Failure::Unavailable(fault) } else { Failure::Failed(fault) }
}

pub(super) fn client_settings(config: &Config, url: &Url) -> ClientSettings {
    ClientSettings {
        url: url.clone(),
        timeout: config.opencrvs.timeout,
        connect_timeout: config.opencrvs.connect_timeout,
    }
}
