//! The parts that the roles are put together from, each made from its slice of the configuration.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use url::Url;

use super::Failure;
use crate::alert::{AlertRules, Alerts, Parking, Places, Webhook};
use crate::broker::names::{self, AMQP_SYSTEM};
use crate::broker::{Link, LinkSettings, LinkState, Reached, Topology, TopologySettings, WorkQueue};
use crate::config::{AlertConfig, Config, Sources};
use crate::ledger::{Ledger, LedgerError, LedgerSettings};
use crate::opencrvs::events::IdentifierField;
use crate::opencrvs::{ClientSettings, KeyStore, KeyStoreSettings, TokenExchange};
use crate::pipeline::{NextHop, Queues};
use crate::seal::Sealer;
use crate::telemetry::Metrics;

/// How long the broker may take to be there.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks whether it is.
const PAUSE: Duration = Duration::from_millis(500);
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
        within_vhost(Topology::bridge(&settings, &[AMQP_SYSTEM]), &bridge),
        within_vhost(Topology::national_id(&settings), &national_id),
    ]
}

/// The parking places of both vhosts, and the place of what no queue takes.
pub(crate) fn parking_places(config: &Config) -> [Vec<String>; 2] {
    topologies(config).map(|topology| {
        let kept = |name: &&str| names::work_of(name).is_some() || *name == names::UNROUTED;
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
        Door { setting: "AMQP_URL (broker.url)", settings: LinkSettings::bridge(name, &config.broker) },
        Door {
            setting: "NID_AMQP_URL (broker.nid_url)",
            settings: LinkSettings::national_id(name, &config.broker),
        },
    ]
}

impl Door {
    /// Waits for a broker that is away; a refusal ends it at once.
    pub(crate) async fn opens(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            match self.settings.reach().await {
                Reached::Yes => return Ok(()),
                Reached::Refused(why) => {
                    return Err(Failure::Misconfigured(anyhow!("{}: {why}", self.setting)));
                }
                Reached::Away(why) if begun.elapsed() > PATIENCE => return Err(away(self.setting, &why)),
                Reached::Away(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Ends at once where the broker refuses us; one that is away is another matter.
    pub(crate) async fn is_not_barred(&self) -> Result<(), Failure> {
        match self.settings.reach().await {
            Reached::Refused(why) => Err(Failure::Misconfigured(anyhow!("{}: {why}", self.setting))),
            Reached::Yes | Reached::Away(_) => Ok(()),
        }
    }
}

fn away(setting: &str, why: &str) -> Failure {
    Failure::Unavailable(anyhow!("{setting}: the broker cannot be used: {why}").context("nothing was done"))
}

/// Our own vhost.
pub(crate) fn bridge_link(config: &Config, name: &'static str, metrics: &Arc<Metrics>) -> Link {
    let [topology, _] = topologies(config);
    Link::open(&LinkSettings::bridge(name, &config.broker), topology, Arc::clone(metrics))
}

/// The vendor's vhost.
pub(crate) fn nid_link(config: &Config, name: &'static str, metrics: &Arc<Metrics>) -> Link {
    let [_, topology] = topologies(config);
    Link::open(&LinkSettings::national_id(name, &config.broker), topology, Arc::clone(metrics))
}

/// What publishes the next hop of an attempt.
pub(crate) fn next_hop(config: &Config, ledger: &Ledger, link: &Link) -> NextHop {
    let settings = topology_settings(config);
    let queues = Queues {
        requests: WorkQueue::requests(&settings, AMQP_SYSTEM),
        outcomes: WorkQueue::outcomes(&settings),
    };
    NextHop::new(ledger.clone(), link.publisher(), settings.confirm_after, queues)
}

/// Our own vhost for a command that does one thing and ends; connected.
pub(crate) async fn operators_link(config: &Config) -> Result<Link, Failure> {
    let [door, _] = doors(config, "operator");
    let [topology, _] = topologies(config);
    connected(&door, topology).await
}

/// The vendor's vhost for such a command.
pub(crate) async fn operators_nid_link(config: &Config) -> Result<Link, Failure> {
    let [_, door] = doors(config, "operator_nid");
    let [_, topology] = topologies(config);
    connected(&door, topology).await
}

/// Goes through a door.
pub(crate) async fn connected(door: &Door, topology: Topology) -> Result<Link, Failure> {
    door.opens().await?;
    let link = Link::open(&door.settings, topology, Arc::new(Metrics::new()));
    if link.connected(PATIENCE).await {
        return Ok(link);
    }
    let why = match link.state().borrow().clone() {
        LinkState::Connected => "it came too late".to_owned(),
        LinkState::Blocked(why) | LinkState::Away(why) => why,
    };
    link.close().await;
    Err(away(door.setting, &why))
}

/// Who runs this, for the history: the account's name, as far as the environment has it.
pub(crate) fn account() -> String {
    let environment = Sources::of_process(None).environment;
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| environment.get(name).cloned());
    let name = name.filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
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

/// A fault of the ledger in the middle of a command.
pub(crate) fn ledger_away(fault: LedgerError) -> Failure {
    let transient = fault.is_transient();
    let fault = anyhow::Error::new(fault).context("the ledger");
    if transient { Failure::Unavailable(fault) } else { Failure::Failed(fault) }
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
