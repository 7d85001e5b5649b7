//! The parts that the roles are put together from, each made from its slice of the configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use url::Url;

use super::Failure;
use crate::alert::{AlertRules, Alerts, Webhook};
use crate::broker::names::AMQP_SYSTEM;
use crate::broker::{Link, LinkSettings, LinkState, Topology, TopologySettings, WorkQueue};
use crate::config::{AlertConfig, Config, Sources};
use crate::ledger::{Ledger, LedgerError, LedgerSettings};
use crate::opencrvs::{ClientSettings, KeyStore, KeyStoreSettings, TokenExchange};
use crate::seal::Sealer;
use crate::telemetry::Metrics;
use crate::worker::{NextHop, Queues};

/// How long the broker may take to be there.
const PATIENCE: Duration = Duration::from_secs(15);
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

/// What publishes the next hop of an attempt.
pub(super) fn next_hop(config: &Config, ledger: &Ledger, link: &Link) -> NextHop {
    let settings = topology_settings(config);
    let queues = Queues {
        requests: WorkQueue::requests(&settings, AMQP_SYSTEM),
        outcomes: WorkQueue::outcomes(&settings),
    };
    NextHop::new(ledger.clone(), link.publisher(), settings.confirm_after, queues)
}

/// Our own vhost for a command that does one thing and ends; connected.
pub(super) async fn operators_link(config: &Config) -> Result<Link, Failure> {
    let link = bridge_link(config, "operator", &Arc::new(Metrics::new()));
    if link.connected(PATIENCE).await {
        return Ok(link);
    }
    let why = match link.state().borrow().clone() {
        LinkState::Connected => "it came too late".to_owned(),
        LinkState::Blocked(why) | LinkState::Away(why) => why,
    };
    link.close().await;
    Err(Failure::Unavailable(anyhow!("the broker cannot be used: {why}").context("nothing was done")))
}

/// Who runs this, for the history: the account's name, as far as the environment has it.
pub(super) fn account() -> String {
    let environment = Sources::of_process(None).environment;
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| environment.get(name).cloned());
    let name = name.filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
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
    Ledger::open(&settings, sealer).await.map_err(|fault| match fault {
        LedgerError::Key(_) => Failure::Misconfigured(
            anyhow::Error::new(fault).context("SEAL_KEYS (seal.keys) is not of this ledger"),
        ),
        fault => {
            let transient = fault.is_transient();
            let fault =
                anyhow::Error::new(fault).context("LEDGER_URL (ledger.url): the ledger cannot be opened");
            if transient { Failure::Unavailable(fault) } else { Failure::Failed(fault) }
        }
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

/// Auth's key and its token exchange, for whoever renews or replaces tokens.
pub(super) fn auth(config: &Config) -> Result<(KeyStore, TokenExchange), Failure> {
    let auth = client_settings(config, &config.opencrvs.auth_url);
    let exchange = TokenExchange::new(&auth).context("the client of auth's token exchange")?;
    let keys = KeyStoreSettings { auth, refetch: config.opencrvs.key_refetch, cache: None };
    Ok((KeyStore::new(keys).context("the client of auth")?, exchange))
}

/// What calls an operator.
pub(super) fn alerts(config: &Config, ledger: &Ledger, metrics: &Arc<Metrics>) -> Result<Alerts, Failure> {
    let AlertConfig { webhook, secret, timeout, interval, give_up_after } = config.alert.clone();
    let webhook = webhook.map(|url| Webhook::new(url, secret, timeout)).transpose();
    Ok(Alerts {
        ledger: ledger.clone(),
        webhook: webhook.context("the client of the webhook")?,
        metrics: Arc::clone(metrics),
        rules: AlertRules { interval, call: timeout, most_old: give_up_after, keep: config.retention.sealed },
    })
}
