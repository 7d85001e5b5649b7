//! Starts each process of the bridge with its ports and its spool, and with a breakable proxy in
//! front of each of its dependencies.

use std::path::PathBuf;

use nidbridge::pipeline::names;
use nidbridge::sandbox::opencrvs::OpencrvsSim;
use nidbridge::sandbox::rabbitmq::Cluster;
use secrecy::ExposeSecret as _;
use url::Url;

use super::client::BridgeClient;
use super::harness::ChaosProxy;
use super::harness::ports::free_port;
use super::harness::postgres;
use super::process::{Process, Recipe};
use super::rig::Role;
use super::settings::{events, shared};

pub const FRONT: &str = "front";
pub const WORKER: &str = "worker";
pub const CONFIRMER: &str = "confirmer";
/// The roles, each of which runs as two processes.
pub const ROLES: [&str; 3] = [FRONT, WORKER, CONFIRMER];

/// What the processes and their proxies are started with.
pub struct Starter<'a> {
    pub dir: PathBuf,
    pub cluster: &'a Cluster,
    pub opencrvs: &'a OpencrvsSim,
    /// Whether the run has records of the events generation.
    pub events: bool,
    /// The bridge's client in OpenCRVS.
    pub client: Option<&'a BridgeClient>,
    /// Port of the database server.
    pub postgres: u16,
    pub database: String,
    /// The ports of the fronts.
    pub fronts: [u16; 2],
}

impl Starter<'_> {
    pub async fn start_all(&self) -> Vec<Role> {
        let mut roles = Vec::new();
        for role in ROLES {
            for number in 1..=2 {
                roles.push(self.start(role, number).await);
            }
        }
        roles
    }

    async fn start(&self, role: &'static str, number: usize) -> Role {
        let name = format!("{role}{number}");
        let proxy = async |servers: Vec<u16>| ChaosProxy::before_any(servers, number).await;
        let broker = proxy(self.cluster.amqp_ports()).await;
        let ledger = if role == FRONT { None } else { Some(proxy(vec![self.postgres]).await) };
        let gateway = Url::parse(&self.opencrvs.gateway_url()).expect("a URL").port().expect("a port");
        let gateway = if role == CONFIRMER { Some(proxy(vec![gateway]).await) } else { None };
        let mut environment = shared();
        if self.events {
            environment.extend(events(&self.opencrvs.country_config_url()));
        }
        if let Some(client) = self.client {
            let settings = client.settings(self.opencrvs).into_iter();
            environment.extend(settings.map(|(name, value)| (name.to_owned(), value)));
        }
        let mut set = |name: &str, value: String| drop(environment.insert(name.to_owned(), value));
        let broker_url = |vhost| self.cluster.amqp_url_by(broker.port(), vhost).expose_secret().to_owned();
        set("AMQP_URL", broker_url(names::BRIDGE_VHOST));
        set("NID_AMQP_URL", broker_url(names::NID_VHOST));
        set("AUTH_URL", self.opencrvs.auth_url());
        let admin = free_port();
        set("ADMIN_LISTEN", format!("127.0.0.1:{admin}"));
        if let Some(proxy) = &ledger {
            set("LEDGER_URL", postgres::url(proxy.port(), &self.database));
        }
        // The worker reads each registration before it asks the ID system.
        set("GATEWAY_URL", self.opencrvs.gateway_url());
        if let Some(proxy) = &gateway {
            set("GATEWAY_URL", format!("http://127.0.0.1:{}", proxy.port()));
        }
        if role == FRONT {
            let dir = self.dir.join(&name);
            set("FRONT_LISTEN", format!("127.0.0.1:{}", self.fronts[number - 1]));
            set("FRONT_EVENTS", self.events.to_string());
            set("FRONT_SPOOL", dir.join("spool").display().to_string());
            set("FRONT_KEY_CACHE", dir.join("key.pem").display().to_string());
            std::fs::create_dir_all(dir.join("spool")).expect("a spool");
        }
        let recipe = Recipe { name, role, environment, admin };
        Role { process: Process::start(recipe, &self.dir), broker, ledger, gateway }
    }
}
