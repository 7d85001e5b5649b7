//! The parts that the roles are put together from, each made from its slice of the configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use url::Url;

use super::Failure;
use crate::alert::{AlertRules, Alerts, Parking, Places, Webhook};
use crate::broker::{Link, LinkSettings, Topology};
use crate::config::{AlertConfig, Config};
use crate::ledger::{Ledger, LedgerError, LedgerSettings};
use crate::opencrvs::events::IdentifierField;
use crate::opencrvs::{ClientSettings, KeyStore, KeyStoreSettings, TokenExchange};
use crate::pipeline::names::{self, AMQP_SYSTEM};
use crate::pipeline::{TopologySettings, settings, topology};
use crate::seal::Sealer;
use crate::telemetry::Metrics;

/// How long a step waits for the ledger before the message goes back to wait in its queue.
const LEDGER_WAIT: Duration = Duration::from_secs(10);

pub(crate) fn topology_settings(config: &Config) -> TopologySettings {
    TopologySettings::new(&config.broker, &config.confirm, &config.front.wait)
}

/// The longest time that a message may wait in a queue of ours by design.
pub(crate) fn longest_delay(config: &Config) -> Duration {
    let settings = topology_settings(config);
    let steps = settings.retry_steps.iter().copied();
    steps.chain([settings.confirm_after, config.confirm.quarantine]).max().unwrap_or_default()
}

/// Our vhost and the vendor's, as the URLs name them.
pub(crate) fn topologies(config: &Config) -> [Topology; 2] {
    let settings = topology_settings(config);
    let [bridge, national_id] = doors(config, "topology");
    [
        within_vhost(topology::bridge(&settings, &[AMQP_SYSTEM]), &bridge),
        within_vhost(topology::national_id(&settings), &national_id),
    ]
}

/// The parking places of both vhosts, and the place of what no queue takes.
pub(crate) fn parking_places(config: &Config) -> [Vec<String>; 2] {
    topologies(config).map(|topology| {
        let kept = |name: &&str| names::work_queue_of(name).is_some() || *name == names::UNROUTED;
        topology.queue_names().filter(kept).map(str::to_owned).collect()
    })
}

fn within_vhost(topology: Topology, door: &Door) -> Topology {
    match door.settings.vhost() {
        Some(vhost) => topology.in_vhost(vhost),
        None => topology,
    }
}

/// A vhost, and the setting that leads there.
pub(crate) struct Door {
    pub(crate) setting: &'static str,
    pub(crate) settings: LinkSettings,
}

/// Ours and the vendor's.
pub(crate) fn doors(config: &Config, name: &'static str) -> [Door; 2] {
    [
        Door { setting: "AMQP_URL (broker.url)", settings: settings::bridge_link(name, &config.broker) },
        Door {
            setting: "NID_AMQP_URL (broker.nid_url)",
            settings: settings::national_id_link(name, &config.broker),
        },
    ]
}

/// Our own vhost.
pub(crate) fn bridge_link(config: &Config, name: &'static str, metrics: &Arc<Metrics>) -> Link {
    let [topology, _] = topologies(config);
    Link::open(&settings::bridge_link(name, &config.broker), topology, Arc::clone(metrics))
}

/// The vendor's vhost.
pub(crate) fn nid_link(config: &Config, name: &'static str, metrics: &Arc<Metrics>) -> Link {
    let [_, topology] = topologies(config);
    Link::open(&settings::national_id_link(name, &config.broker), topology, Arc::clone(metrics))
}

pub(crate) fn sealer(config: &Config) -> anyhow::Result<Arc<Sealer>> {
    Ok(Arc::new(Sealer::parse(&config.seal_keys).context("SEAL_KEYS cannot be used")?))
}

pub(crate) async fn ledger(config: &Config, role: &str, sealer: &Sealer) -> Result<Ledger, Failure> {
    open_ledger(config, role, sealer, true).await
}

/// The same for a command, which finds a ledger or fails.
pub(crate) async fn operators_ledger(
    config: &Config,
    command: &str,
    sealer: &Sealer,
) -> Result<Ledger, Failure> {
    open_ledger(config, command, sealer, false).await
}

async fn open_ledger(config: &Config, role: &str, sealer: &Sealer, create: bool) -> Result<Ledger, Failure> {
    let settings = LedgerSettings {
        url: config.ledger.url.clone(),
        connections: config.ledger.connections,
        timeout: LEDGER_WAIT,
        who: format!("{role} {}", uuid::Uuid::new_v4().simple()),
        create,
    };
    Ledger::open(&settings, sealer).await.map_err(|fault| {
        if matches!(fault, LedgerError::Key(_)) {
            let fault = anyhow::Error::new(fault).context("SEAL_KEYS (seal.keys) is not of this ledger");
            return Failure::Misconfigured(fault);
        }
        let transient = fault.is_transient();
        let why = if create {
            "LEDGER_URL (ledger.url): the ledger cannot be opened"
        } else {
            "LEDGER_URL (ledger.url): there is no ledger that can be opened; name the one that the roles have"
        };
        let fault = anyhow::Error::new(fault).context(why);
        if transient { Failure::Unavailable(fault) } else { Failure::Failed(fault) }
    })
}

pub(crate) fn client_settings(config: &Config, url: &Url) -> ClientSettings {
    ClientSettings {
        url: url.clone(),
        timeout: config.opencrvs.timeout,
        connect_timeout: config.opencrvs.connect_timeout,
    }
}

/// Auth's key and its token exchange, for whoever renews or replaces tokens.
pub(crate) fn auth(config: &Config) -> Result<(KeyStore, TokenExchange), Failure> {
    let auth = client_settings(config, &config.opencrvs.auth_url);
    let exchange = TokenExchange::new(&auth).context("the client of auth's token exchange")?;
    let keys = KeyStoreSettings { auth, refetch: config.opencrvs.key_refetch, cache: None };
    Ok((KeyStore::new(keys).context("the client of auth")?, exchange))
}

/// What calls an operator.
pub(crate) fn alerts(config: &Config, ledger: &Ledger, metrics: &Arc<Metrics>) -> Result<Alerts, Failure> {
    let AlertConfig { webhook, secret, timeout, interval, give_up_after } = config.alert.clone();
    let webhook = webhook.map(|url| Webhook::new(url, secret, timeout)).transpose();
    Ok(Alerts {
        ledger: ledger.clone(),
        webhook: webhook.context("the client of the webhook")?,
        metrics: Arc::clone(metrics),
        rules: AlertRules { interval, call: timeout, most_old: give_up_after, keep: config.retention.sealed },
    })
}

/// The field that gets an issued ID in the events generation, if one is configured.
pub(crate) fn identifier_field(config: &Config) -> Result<Option<IdentifierField>, Failure> {
    let (Some(name), Some(url)) = (&config.confirm.identifier_field, &config.opencrvs.country_config_url)
    else {
        return Ok(None);
    };
    let country = client_settings(config, url);
    let field = IdentifierField::new(&country, name.clone(), config.confirm.field_recheck);
    Ok(Some(field.context("the country configuration's client")?))
}

/// What looks after the parking places of both vhosts; nobody is to be called without a webhook.
pub(crate) fn parking(config: &Config, ledger: &Ledger, bridge: &Link, nid: &Link) -> Option<Parking> {
    let links = [bridge.clone(), nid.clone()];
    let places = links.into_iter().zip(parking_places(config));
    config.alert.webhook.is_some().then(|| Parking {
        ledger: ledger.clone(),
        places: places.map(|(link, queues)| Places { link, queues }).collect(),
        interval: config.alert.interval,
    })
}
