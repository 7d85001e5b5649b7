//! Everything that the demo runs: the node, both simulated sides and the bridge between them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Accounts;
use super::settings::{ENVIRONMENT, Surroundings};
use crate::admin::{self, Readiness};
use crate::broker::Link;
use crate::config::{self, Part, Sources};
use crate::domain::State;
use crate::ledger::Ledger;
use crate::pipeline::names;
use crate::roles::{Breakers, Failure, Process, all, parts};
use crate::sandbox::nid::{NidSim, VendorSettings, vendor_link};
use crate::sandbox::opencrvs::{Generations, OpencrvsSettings, OpencrvsSim};
use crate::sandbox::rabbitmq::Cluster;
use crate::telemetry::Metrics;

/// How long a registrar stays assigned to an event of 2.1 after a failed trigger. Until then, core
/// lets nobody answer.
const REGISTRAR_STAYS: Duration = Duration::from_secs(3);

pub(super) struct DemoWorld {
    pub(super) front: Url,
    seed: u64,
    pub(super) opencrvs: OpencrvsSim,
    nid: NidSim,
    vendor: Link,
    ledger: Ledger,
    admin: String,
    dir: PathBuf,
    node: Cluster,
    stop: CancellationToken,
    bridge: JoinHandle<Result<(), Failure>>,
}

impl DemoWorld {
    pub(super) async fn start(seed: u64, generations: Generations, wait: &str) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("nidbridge-demo-{}", uuid::Uuid::new_v4().simple()));
        // The node's guardian removes this directory however the demo ends, so all files of the
        // demo are in it.
        let tool = config::load(&Sources::default(), Part::Tool).context("the defaults")?.config;
        let node = Cluster::start_temporary(&dir, &parts::topologies(&tool)).await?;
        let settings = OpencrvsSettings { release: generations.release(), ..OpencrvsSettings::default() };
        let opencrvs = OpencrvsSim::start(settings).await?;
        opencrvs.faults().latency(Duration::from_millis(20));
        // Core saw the triggers fail whose answer was lost, so their registrars stay assigned.
        opencrvs.behave(|behaviour| behaviour.registrar_leaves_after = Some(REGISTRAR_STAYS));
        let surroundings = Surroundings { node: &node, opencrvs: &opencrvs, generations, wait, dir: &dir };
        let (config, needs_client) = (surroundings.configuration()?, surroundings.needs_client());
        let vendor = vendor_link("vendor", node.vendor_url(names::NID_VHOST));
        let nid = NidSim::start(VendorSettings { seed, ..VendorSettings::lively() }, &vendor);
        let listener = TcpListener::bind(config.front.listen).await.context("a port for the front")?;
        let console = TcpListener::bind(config.admin.listen).await.context("a port for /metrics")?;
        let front = Url::parse(&format!("http://{}/", listener.local_addr()?))?;
        let admin = format!("http://{}", console.local_addr()?);
        let stop = CancellationToken::new();
        let (metrics, readiness) = (Arc::new(Metrics::new()), Readiness::new());
        tokio::spawn(admin::serve(console, Arc::clone(&metrics), readiness.clone(), stop.clone()));
        let sealer = parts::sealer(&config)?;
        let ledger = parts::ledger(&config, "demo", &sealer).await?;
        let bridge = tokio::spawn({
            let stop = stop.clone();
            let breakers = Breakers::new(&config, &metrics);
            let process = Process { config: Arc::new(config), metrics, breakers, readiness, stop };
            async move { all::serve_on(listener, process).await }
        });
        if needs_client {
            // As at the provisioning of OpenCRVS. The country config of the demo has no clients of
            // its own.
            let announced = opencrvs.announce_ready(&front).await?;
            anyhow::ensure!(
                !opencrvs.clients().is_empty(),
                "the bridge has no client in OpenCRVS: {announced:?}"
            );
        }
        Ok(Self { front, seed, opencrvs, nid, vendor, ledger, admin, dir, node, stop, bridge })
    }

    pub(super) fn description(&self) -> String {
        let (user, password) = self.node.operator();
        format!(
            "The bridge runs, all of it on this machine and of this process only:\
             \n  front            {}event-registration, /trigger/events/…\
             \n  metrics          {}/metrics, /readyz\
             \n  OpenCRVS (made up)  auth {}, gateway {}\
             \n  RabbitMQ         http://127.0.0.1:{} (user {user}, password {})\
             \n  a vendor's side  {}\
             \n  ledger           {}\
             \n  an operator's    . {}; nidbridge attempts list\
             \n\nRegistrars register births, deaths and marriages; some answers are lost and they submit again. The ID\
             \nsystem rejects one in ten, repeats itself, asks to be asked later and writes nonsense now and then.\
             \nCtrl-C ends it.\n",
            self.front,
            self.admin,
            self.opencrvs.auth_url(),
            self.opencrvs.gateway_url(),
            self.node.management_ports().first().copied().unwrap_or_default(),
            password.expose_secret(),
            self.node.vendor_url(names::NID_VHOST).expose_secret(),
            self.dir.join("ledger.db").display(),
            self.dir.join(ENVIRONMENT).display(),
        )
    }

    pub(super) async fn accounts(&self, elapsed: Duration) -> anyhow::Result<Accounts> {
        let attempts = self.ledger.summaries().await.context("the ledger")?;
        let told = |state| matches!(state, State::Parked | State::Expired);
        let parked: BTreeSet<String> =
            attempts.into_iter().filter(|one| told(one.state)).map(|one| one.record.to_string()).collect();
        let nid = self.nid.state();
        Ok(self.opencrvs.inspect(|records| Accounts::of(records, &nid, &parked, (self.seed, elapsed))))
    }

    /// The reason why the bridge has stopped by itself, if it has.
    pub(super) fn fault(&self) -> Option<&'static str> {
        self.bridge.is_finished().then_some("the bridge has stopped; run with LOG_FILTER=info to see why")
    }

    /// Stops all parts in the order in which the data flows.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.bridge.await.context("the bridge")??;
        self.nid.stop().await;
        self.vendor.close().await;
        self.ledger.close().await;
        self.node.stop().await?;
        // The node's guardian may already have removed the directory.
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir).context("the demo's directory cannot be removed")?;
        }
        Ok(())
    }
}
