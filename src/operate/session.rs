//! The session of a command: the settings, the stop token, and the ledger and the broker links that
//! the command opens.
//!
//! The ledger and the links are opened only when the command asks for them.
//!
//! Invariant: whatever a command has opened is closed when the command ends, even if it fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

use crate::broker::{Link, LinkState, Reached, Topology};
use crate::config::Config;
use crate::ledger::{Ledger, LedgerError};
use crate::pipeline::{DeploymentCheck, Member, NextHop};
use crate::roles::parts::BrokerEndpoint;
use crate::roles::{Failure, parts, start};
use crate::seal::Sealer;
use crate::telemetry::Metrics;

/// How long a command waits for a broker that is away.
const BROKER_WAIT: Duration = Duration::from_secs(15);
/// Pause between two attempts to reach the broker.
const BROKER_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Session {
    pub(super) config: Arc<Config>,
    /// Cancelled by SIGTERM and Ctrl-C. The command then ends, at the latest after the current
    /// item.
    pub(super) stop: CancellationToken,
    ledger: Option<Ledger>,
    links: Vec<Link>,
}

/// Runs a command that needs the keys (`SEAL_KEYS`), as every command does that opens the ledger.
///
/// # Errors
/// The failure of `body`, or what is wrong with the settings.
pub(super) async fn with_keys(
    name: &'static str,
    file: Option<PathBuf>,
    body: impl AsyncFnOnce(&mut Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    start::operation(name, file, async |config, stop| Session::run(config, stop, body).await).await
}

/// Runs a command that needs no keys: it only talks to the broker.
///
/// # Errors
/// As [`with_keys`].
pub(super) async fn without_keys(
    name: &'static str,
    file: Option<PathBuf>,
    body: impl AsyncFnOnce(&mut Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    start::tool(name, file, async |config, stop| Session::run(config, stop, body).await).await
}

impl Session {
    async fn run(
        config: Arc<Config>,
        stop: CancellationToken,
        body: impl AsyncFnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut session = Self { config, stop, ledger: None, links: Vec::new() };
        let done = body(&mut session).await;
        session.close().await;
        done
    }

    pub(super) fn sealer(&self) -> Result<Arc<Sealer>, Failure> {
        Ok(parts::sealer(&self.config)?)
    }

    /// Opens the ledger, which must exist. The history records every change under the name `who`.
    pub(super) async fn ledger(&mut self, who: &str) -> Result<Ledger, Failure> {
        let ledger = parts::operators_ledger(&self.config, who, &*self.sealer()?).await?;
        self.ledger = Some(ledger.clone());
        Ok(ledger)
    }

    /// Connects to the bridge's own vhost.
    pub(super) async fn bridge_link(&mut self) -> Result<Link, Failure> {
        let [endpoint, _] = parts::broker_endpoints(&self.config, "operator");
        let [topology, _] = parts::topologies(&self.config);
        self.link(&endpoint, topology).await
    }

    /// Connects to the bridge's own vhost, to write there. A broker that serves another ledger, or
    /// other sealing keys, is refused.
    pub(super) async fn writing_link(&mut self, ledger: &Ledger) -> Result<Link, Failure> {
        let check = DeploymentCheck::new(Member::Operator(ledger.deployment().to_owned()), &*self.sealer()?);
        let [endpoint, _] = parts::broker_endpoints(&self.config, "operator");
        let [topology, _] = parts::topologies(&self.config);
        reach(&endpoint).await?;
        let metrics = Arc::new(Metrics::new());
        let link = Link::open_behind(Some(check.gate()), &endpoint.settings, topology, metrics);
        self.links.push(link.clone());
        tokio::select! {
            connected = connected(&link, endpoint.setting) => connected.map(|()| link),
            why = check.refused() => Err(Failure::Misconfigured(anyhow!(why).context("nothing was done"))),
        }
    }

    /// Connects to the vhost of the National ID system.
    pub(super) async fn nid_link(&mut self) -> Result<Link, Failure> {
        let [_, endpoint] = parts::broker_endpoints(&self.config, "operator_nid");
        let [_, topology] = parts::topologies(&self.config);
        self.link(&endpoint, topology).await
    }

    /// Connects to a vhost. Waits for a broker that is away. A broker that refuses the connection
    /// means that the settings are wrong.
    pub(super) async fn link(
        &mut self,
        endpoint: &BrokerEndpoint,
        topology: Topology,
    ) -> Result<Link, Failure> {
        reach(endpoint).await?;
        let link = Link::open(&endpoint.settings, topology, Arc::new(Metrics::new()));
        self.links.push(link.clone());
        connected(&link, endpoint.setting).await.map(|()| link)
    }

    /// Keeps a link that the command opened itself, so that it is closed with the others.
    pub(super) fn keep(&mut self, link: &Link) {
        self.links.push(link.clone());
    }

    /// Connects to the bridge's vhost, to publish the next message of attempts.
    pub(super) async fn next_hop(&mut self, ledger: &Ledger) -> Result<NextHop, Failure> {
        let link = self.writing_link(ledger).await?;
        let settings = parts::topology_settings(&self.config);
        Ok(NextHop::new(ledger.clone(), link.publisher(), &settings))
    }

    /// Fails once the command is told to stop.
    pub(super) fn check_stop(&self) -> Result<(), Failure> {
        if self.stop.is_cancelled() { Err(stopped()) } else { Ok(()) }
    }

    async fn close(self) {
        for link in self.links {
            link.close().await;
        }
        if let Some(ledger) = self.ledger {
            ledger.close().await;
        }
    }
}

/// Runs `work` until it ends or the command is told to stop.
pub(super) async fn unless_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = stop.cancelled() => Err(stopped()),
    }
}

fn stopped() -> Failure {
    Failure::Later(anyhow!("stopped before the end: run it again"))
}

async fn connected(link: &Link, setting: &'static str) -> Result<(), Failure> {
    if link.connected(BROKER_WAIT).await {
        return Ok(());
    }
    match link.state().borrow().clone() {
        LinkState::Connected => Err(away(setting, "it was connected too late")),
        LinkState::Refused(why) => Err(Failure::Misconfigured(anyhow!("{setting}: {why}"))),
        LinkState::Blocked(why) | LinkState::Away(why) => Err(away(setting, &why)),
    }
}

/// Waits for a broker that is away. Fails at once if the broker refuses the connection.
async fn reach(endpoint: &BrokerEndpoint) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        match endpoint.settings.reach().await {
            Reached::Yes => return Ok(()),
            Reached::Refused(why) => return Err(refused(endpoint, &why)),
            Reached::Away(why) if begun.elapsed() > BROKER_WAIT => return Err(away(endpoint.setting, &why)),
            Reached::Away(_) => tokio::time::sleep(BROKER_PAUSE).await,
        }
    }
}

/// Fails only if the broker refuses the connection, not if it is away.
pub(super) async fn not_refused(endpoint: &BrokerEndpoint) -> Result<(), Failure> {
    match endpoint.settings.reach().await {
        Reached::Refused(why) => Err(refused(endpoint, &why)),
        Reached::Yes | Reached::Away(_) => Ok(()),
    }
}

fn refused(endpoint: &BrokerEndpoint, why: &str) -> Failure {
    Failure::Misconfigured(anyhow!("{}: {why}", endpoint.setting))
}

fn away(setting: &str, why: &str) -> Failure {
    Failure::Unavailable(anyhow!("{setting}: the broker cannot be used: {why}").context("nothing was done"))
}

/// The ledger failed in the middle of a command.
impl From<LedgerError> for Failure {
    fn from(fault: LedgerError) -> Self {
        let transient = fault.is_transient();
        let fault = anyhow::Error::new(fault).context("the ledger");
        if transient { Self::Unavailable(fault) } else { Self::Failed(fault) }
    }
}
