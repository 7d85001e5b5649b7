//! All parts of a run: broker, ledger, both simulated sides, and the bridge between them. Each
//! dependency of the bridge is behind a proxy that can be broken.

use nidbridge::pipeline::names;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{Link, LinkSettings, Topology};
use nidbridge::ledger::{Ledger, LedgerSettings};
use nidbridge::sandbox::nid::{NidSim, VendorSettings};
use nidbridge::sandbox::opencrvs::{Generations, OpencrvsSettings, OpencrvsSim};
use nidbridge::sandbox::population::{Declaration, Mix, Population};
use nidbridge::sandbox::rabbitmq::{Cluster, Control};
use nidbridge::seal::Sealer;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use url::Url;

use super::harness::eventually;
use super::harness::postgres::{self, Cluster as Postgres};
use super::nginx::Nginx;
use super::options::Options;
use super::outage::Outages;
use super::process::Process;
use super::proxy::Proxy;
use super::settings::{ADVANCED, SEAL_KEYS, TOKEN_LIFETIME, vendor};
use super::wiring::{PortRange, Wiring};

/// The longest time that an undisturbed step may take.
pub const SOON: Duration = Duration::from_secs(120);

/// A process and the proxies in front of its dependencies.
pub struct Role {
    pub process: Process,
    pub broker: Proxy,
    pub ledger: Option<Proxy>,
    pub gateway: Option<Proxy>,
}

/// All parts of a run.
pub struct Stage {
    pub dir: PathBuf,
    pub cluster: Mutex<Cluster>,
    pub controls: Vec<Control>,
    pub management: Vec<u16>,
    pub operator: (String, String),
    pub postgres: Mutex<Postgres>,
    pub opencrvs: OpencrvsSim,
    pub nid: NidSim,
    pub vendor_wire: Proxy,
    pub ledger: Ledger,
    pub ledger_url: String,
    pub people: HashMap<String, Declaration>,
    /// The record of the person who is registered before the run; empty until then.
    pub somebody: String,
    pub roles: Vec<Role>,
    pub front: Url,
    pub http: reqwest::Client,
    pub vendor: Link,
    pub nginx: Mutex<Nginx>,
    pub outages: Outages,
}

impl Stage {
    /// Starts all parts; all of them are ready when this returns.
    pub async fn set(options: &Options, dir: &Path) -> Self {
        let (cluster, postgres) = tokio::join!(broker(options, dir), Postgres::start());
        let opencrvs = OpencrvsSim::start(OpencrvsSettings {
            token_lifetime_s: TOKEN_LIFETIME,
            ..OpencrvsSettings::default()
        });
        let opencrvs = opencrvs.await.expect("OpenCRVS");
        let database = postgres.database();
        let ledger_url = postgres::url(postgres.port(), &database);
        let ledger = ledger(&ledger_url).await;
        let mut wiring = Wiring {
            dir: dir.to_owned(),
            nodes: cluster.amqp_ports(),
            gateway: opencrvs.gateway_url(),
            auth: opencrvs.auth_url(),
            country_config: (options.opencrvs != Generations::Fhir).then(|| opencrvs.country_config_url()),
            postgres: postgres.port(),
            database,
            ports: PortRange::new(),
            fronts: Vec::new(),
        };
        let roles = wiring.all(&cluster).await;
        let nginx = Nginx::start(dir, wiring.ports.next(), &wiring.fronts, 10);
        let front = Url::parse(&format!("http://127.0.0.1:{}/", nginx.port)).expect("a URL");
        let vendor_wire = Proxy::before(cluster.amqp_ports(), 1).await.expect("a wire");
        let (vendor, nid) = vendor_side(&cluster, &vendor_wire, options.seed);
        let (user, password) = cluster.operator();
        let operator = (user.to_owned(), password.expose_secret().to_owned());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
        let (management, controls) = (cluster.management_ports(), cluster.controls());
        let stage = Self {
            dir: dir.to_owned(),
            cluster: Mutex::new(cluster),
            controls,
            management,
            operator,
            postgres: Mutex::new(postgres),
            opencrvs,
            nid,
            vendor_wire,
            ledger,
            ledger_url,
            people: people(options),
            somebody: String::new(),
            roles,
            front,
            http,
            vendor,
            nginx: Mutex::new(nginx),
            outages: Outages::default(),
        };
        stage.ready().await;
        stage
    }

    async fn ready(&self) {
        for role in &self.roles {
            let what = format!("{} is ready", role.process.recipe.name);
            eventually(SOON, &what, async || role.process.ready(&self.http).await.then_some(())).await;
        }
        eventually(SOON, "nginx is ready", async || self.nginx.lock().await.answers().then_some(())).await;
    }

    /// The processes of a role.
    pub fn of(&self, role: &str) -> Vec<&Role> {
        self.roles.iter().filter(|one| one.process.recipe.role == role).collect()
    }

    /// How often a text occurs in the logs of a role.
    pub fn said(&self, role: &str, what: &str) -> u64 {
        let logs =
            self.of(role).into_iter().map(|one| self.dir.join(format!("{}.log", one.process.recipe.name)));
        let texts = logs.filter_map(|log| std::fs::read_to_string(log).ok());
        texts.map(|text| text.matches(what).count() as u64).sum()
    }

    /// Calls the management API of the first node that answers.
    pub async fn manage(&self, method: reqwest::Method, path: &str, body: &str) -> Option<String> {
        for port in &self.management {
            let request = self
                .http
                .request(method.clone(), format!("http://127.0.0.1:{port}/api{path}"))
                .basic_auth(&self.operator.0, Some(&self.operator.1))
                .header("content-type", "application/json")
                .timeout(Duration::from_secs(4))
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
    pub async fn strike(self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut ending = Vec::new();
        for mut role in self.roles {
            ending.push(tokio::spawn(async move { role.process.finish().await }));
        }
        for end in ending {
            wrong.extend(end.await.expect("the end of a process"));
        }
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

/// All declarations of the run, by record.
fn people(options: &Options) -> HashMap<String, Declaration> {
    let wanted = usize::try_from(options.registrations).expect("so many");
    let people = Population::new(options.seed, Mix::default()).take(wanted);
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
        who: "the rig".to_owned(),
        create: true,
    };
    let sealer = Sealer::parse(&SecretString::from(SEAL_KEYS)).expect("keys");
    Ledger::open(&settings, &sealer).await.expect("the ledger")
}

fn vendor_side(cluster: &Cluster, wire: &Proxy, seed: u64) -> (Link, NidSim) {
    let url = cluster.vendor_url_by(wire.port(), names::NID_VHOST);
    let settings = LinkSettings {
        apply_topology: false,
        heartbeat: Duration::from_secs(2),
        publish_timeout: Duration::from_secs(3),
        reconnect_max: Duration::from_millis(500),
        ..LinkSettings::new("vendor", url)
    };
    let link =
        Link::open(&settings, Topology::empty(names::NID_VHOST), Arc::new(nidbridge::broker::Unobserved));
    let nid = NidSim::start(VendorSettings { seed, ..vendor() }, &link);
    (link, nid)
}
