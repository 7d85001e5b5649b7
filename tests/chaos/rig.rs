//! All parts of a run: broker, ledger, both simulated sides, and the bridge between them. Each
//! dependency of the bridge is behind a proxy that can be broken.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use nidbridge::broker::{Link, LinkSettings, Topology};
use nidbridge::ledger::{Ledger, LedgerSettings};
use nidbridge::pipeline::names;
use nidbridge::sandbox::nid::{NidSim, VendorSettings};
use nidbridge::sandbox::opencrvs::{Generations, OpencrvsSettings, OpencrvsSim};
use nidbridge::sandbox::population::{Declaration, Population};
use nidbridge::sandbox::rabbitmq::{Cluster, Control};
use nidbridge::seal::Sealer;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use url::Url;

use super::client::{self, BridgeClient};
use super::faults::Target;
use super::harness::nginx::Nginx;
use super::harness::ports::free_port;
use super::harness::postgres::{self, Cluster as Postgres};
use super::harness::{ChaosProxy, eventually};
use super::odd::{self, Invented};
use super::options::Options;
use super::outage::Disturbances;
use super::process::Process;
use super::roles::Starter;
use super::settings::{self, ADVANCED, SEAL_KEYS, TOKEN_LIFETIME};

/// The longest time that an undisturbed step may take.
pub const SOON: Duration = Duration::from_secs(120);

/// A process and the proxies in front of its dependencies.
pub struct Role {
    pub process: Process,
    pub broker: ChaosProxy,
    pub ledger: Option<ChaosProxy>,
    pub gateway: Option<ChaosProxy>,
}

/// All parts of a run.
pub struct Rig {
    pub dir: PathBuf,
    pub cluster: Mutex<Cluster>,
    pub controls: Vec<Control>,
    management: Vec<u16>,
    operator: (&'static str, SecretString),
    pub postgres: Mutex<Postgres>,
    pub opencrvs: OpencrvsSim,
    /// Whether registrations come with tokens that an operator can replace.
    pub has_tokens: bool,
    /// `None` if the release of the run has no clients.
    pub client: Option<BridgeClient>,
    pub nid: NidSim,
    pub vendor: Link,
    pub vendor_proxy: ChaosProxy,
    pub ledger: Ledger,
    pub ledger_url: String,
    pub people: HashMap<String, Declaration>,
    /// The record of the person who is registered before the run; empty until then.
    pub id_owner: String,
    pub roles: Vec<Role>,
    pub nginx: Mutex<Nginx>,
    /// URL of the bridge: nginx in front of the fronts.
    pub front: Url,
    http: reqwest::Client,
    pub disturbances: Disturbances,
    /// The records that OpenCRVS never had.
    pub invented: Invented,
    pub seed: u64,
    pub generations: Generations,
}

impl Rig {
    /// Starts all parts; all of them are ready when this returns.
    pub async fn start(options: &Options, dir: &Path) -> Self {
        let (cluster, postgres) = tokio::join!(broker(options, dir), Postgres::start());
        let opencrvs = opencrvs(options).await;
        let client = BridgeClient::create(options, &opencrvs, dir);
        let database = postgres.database();
        let ledger_url = postgres::url(postgres.port(), &database);
        let ledger = ledger(&ledger_url).await;
        let fronts = [free_port(), free_port()];
        let starter = Starter {
            dir: dir.to_owned(),
            cluster: &cluster,
            opencrvs: &opencrvs,
            events: options.opencrvs.has_events(),
            client: client.as_ref(),
            postgres: postgres.port(),
            database,
            fronts,
        };
        let roles = starter.start_all().await;
        let nginx = if client.is_some() {
            // The configuration recommends this where the bridge's client may search.
            let undecided = |shipped: &str| shipped.replace("#return 202;", "return 202;");
            Nginx::start_changed(dir, free_port(), &fronts, 10, undecided)
        } else {
            Nginx::start(dir, free_port(), &fronts, 10)
        };
        let vendor_proxy = ChaosProxy::before_any(cluster.amqp_ports(), 1).await;
        let vendor = vendor_link(&cluster, &vendor_proxy);
        let (user, password) = cluster.operator();
        let rig = Self {
            dir: dir.to_owned(),
            controls: cluster.controls(),
            management: cluster.management_ports(),
            operator: (user, password.clone()),
            cluster: Mutex::new(cluster),
            postgres: Mutex::new(postgres),
            opencrvs,
            has_tokens: options.opencrvs != Generations::V2_1,
            client,
            nid: NidSim::start(VendorSettings { seed: options.seed, ..settings::vendor() }, &vendor),
            vendor,
            vendor_proxy,
            ledger,
            ledger_url,
            people: people(options),
            id_owner: String::new(),
            roles,
            front: Url::parse(&format!("http://127.0.0.1:{}/", nginx.port)).expect("a URL"),
            nginx: Mutex::new(nginx),
            http: reqwest::Client::builder().timeout(Duration::from_secs(4)).build().expect("a client"),
            disturbances: Disturbances::default(),
            invented: Invented::default(),
            seed: options.seed,
            generations: options.opencrvs,
        };
        rig.ready().await;
        rig
    }

    async fn ready(&self) {
        for role in &self.roles {
            let what = format!("{} is ready", role.process.recipe.name);
            eventually(SOON, &what, async || role.process.is_ready().then_some(())).await;
        }
        eventually(SOON, "nginx is ready", async || self.nginx.lock().await.answers().then_some(())).await;
    }

    /// The processes of a role.
    pub fn of(&self, role: &str) -> Vec<&Role> {
        self.roles.iter().filter(|one| one.process.recipe.role == role).collect()
    }

    /// The process that a fault was drawn for.
    pub fn process(&self, target: Target) -> &Role {
        self.of(target.role)[target.number]
    }

    /// How often a text occurs in the logs of a role.
    pub fn logged(&self, role: &str, text: &str) -> u64 {
        let logs = self.of(role).into_iter().map(|one| format!("{}.log", one.process.recipe.name));
        occurrences(logs.map(|log| self.dir.join(log)), text)
    }

    /// Calls the management API of the first node that answers; returns the body of a success.
    pub async fn manage(&self, method: reqwest::Method, path: &str, body: &str) -> Option<String> {
        let (user, password) = &self.operator;
        for port in &self.management {
            let request = self
                .http
                .request(method.clone(), format!("http://127.0.0.1:{port}/api{path}"))
                .basic_auth(user, Some(password.expose_secret()))
                .header("content-type", "application/json")
                .body(body.to_owned());
            if let Ok(answer) = request.send().await
                && answer.status().is_success()
            {
                return answer.text().await.ok();
            }
        }
        None
    }

    /// Stops all parts; returns a description of each that did not end as it should.
    pub async fn stop(mut self) -> Vec<String> {
        let ends = join_all(self.roles.iter_mut().map(|role| role.process.finish())).await;
        let mut wrong: Vec<String> = ends.into_iter().flatten().collect();
        self.nid.stop().await;
        self.vendor.close().await;
        self.ledger.close().await;
        if let Err(error) = self.cluster.into_inner().stop().await {
            wrong.push(format!("the broker: {error}"));
        }
        self.postgres.into_inner().stop().await;
        wrong
    }
}

async fn opencrvs(options: &Options) -> OpencrvsSim {
    let release = options.opencrvs.release();
    let settings =
        OpencrvsSettings { token_lifetime_s: TOKEN_LIFETIME, release, ..OpencrvsSettings::default() };
    let opencrvs = OpencrvsSim::start(settings).await.expect("OpenCRVS");
    client::prepare(options, &opencrvs);
    opencrvs
}

/// How often a text occurs in these files.
pub fn occurrences(files: impl Iterator<Item = PathBuf>, text: &str) -> u64 {
    let contents = files.filter_map(|file| std::fs::read_to_string(file).ok());
    contents.map(|content| content.matches(text).count() as u64).sum()
}

/// All declarations of the run, by record.
fn people(options: &Options) -> HashMap<String, Declaration> {
    let wanted = usize::try_from(options.registrations).expect("so many");
    let people = Population::new(options.seed, odd::mix(options)).take(wanted);
    people.map(|declaration| (declaration.record.clone(), declaration)).collect()
}

/// Starts the cluster with users and vhosts only. The roles declare the queues when all nodes have
/// joined, so that each queue has a member on every node.
async fn broker(options: &Options, dir: &Path) -> Cluster {
    let vhosts = [names::BRIDGE_VHOST, names::NID_VHOST].map(Topology::empty);
    let started = Cluster::start(&dir.join("rabbitmq"), usize::from(options.nodes), &vhosts, ADVANCED).await;
    let cluster = started.unwrap_or_else(|error| panic!("{error}"));
    let (vhost, (_, vendor)) = (names::NID_VHOST, Cluster::users());
    let requests = "^nid\\.requests\\.(birth|death)$";
    for words in [
        ["set_permissions", "-p", vhost, vendor, "^$", "^nid\\.replies$", requests],
        ["set_topic_permissions", "-p", vhost, vendor, "nid.replies", "^reply\\.", "^$"],
    ] {
        let mut command = cluster.controls()[0].command();
        let done = command.args(words).output().expect("rabbitmqctl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    cluster
}

async fn ledger(url: &str) -> Ledger {
    let settings = LedgerSettings {
        url: SecretString::from(url),
        connections: 4,
        timeout: Duration::from_secs(20),
        stamp_tolerance: Duration::from_secs(300),
        who: "the rig".to_owned(),
        create: true,
    };
    let sealer = Sealer::parse(&SecretString::from(SEAL_KEYS)).expect("keys");
    Ledger::open(&settings, &sealer).await.expect("the ledger")
}

fn vendor_link(cluster: &Cluster, proxy: &ChaosProxy) -> Link {
    let settings = LinkSettings {
        apply_topology: false,
        heartbeat: Duration::from_secs(2),
        publish_timeout: Duration::from_secs(3),
        reconnect_max: Duration::from_millis(500),
        ..LinkSettings::new("vendor", cluster.vendor_url_by(proxy.port(), names::NID_VHOST))
    };
    Link::open(&settings, Topology::empty(names::NID_VHOST), Arc::new(nidbridge::broker::Unobserved))
}
