//! Starts each process with its ports and its spool, and with a breakable proxy in front of each of
//! its dependencies.

use nidbridge::pipeline::names;
use std::collections::BTreeMap;
use std::path::PathBuf;

use nidbridge::sandbox::rabbitmq::Cluster;
use secrecy::ExposeSecret as _;

use super::harness::postgres;
use super::process::{Process, Recipe};
use super::proxy::Proxy;
use super::settings::{events, shared};
use super::stage::Role;

/// The addresses and directories with which the processes and their proxies are started.
pub struct Wiring {
    pub dir: PathBuf,
    pub nodes: Vec<u16>,
    pub gateway: String,
    pub auth: String,
    /// URL of the country's configuration service, if the run has records of the events generation.
    pub country_config: Option<String>,
    pub postgres: u16,
    pub database: String,
    pub ports: PortRange,
    /// The ports of the fronts.
    pub fronts: Vec<u16>,
}

impl Wiring {
    pub async fn all(&mut self, cluster: &Cluster) -> Vec<Role> {
        let mut roles = Vec::new();
        for role in ["front", "worker", "confirmer"] {
            for number in 1..=2 {
                roles.push(self.role(role, number, cluster).await);
            }
        }
        roles
    }

    async fn role(&mut self, role: &'static str, number: usize, cluster: &Cluster) -> Role {
        let name = format!("{role}{number}");
        let admin = self.ports.next();
        let wire = async |servers: Vec<u16>| Proxy::before(servers, number).await.expect("a wire");
        let broker = wire(self.nodes.clone()).await;
        let ledger = if role == "front" { None } else { Some(wire(vec![self.postgres]).await) };
        let gateway = if role == "confirmer" { Some(wire(vec![port(&self.gateway)]).await) } else { None };
        let mut environment: BTreeMap<String, String> = shared();
        environment.extend(self.country_config.as_deref().map(events).unwrap_or_default());
        let mut set = |name: &str, value: String| drop(environment.insert(name.to_owned(), value));
        let by = |vhost| cluster.amqp_url_by(broker.port(), vhost).expose_secret().to_owned();
        set("AMQP_URL", by(names::BRIDGE_VHOST));
        set("NID_AMQP_URL", by(names::NID_VHOST));
        set("ADMIN_LISTEN", format!("127.0.0.1:{admin}"));
        set("AUTH_URL", self.auth.clone());
        if let Some(wire) = &ledger {
            set("LEDGER_URL", postgres::url(wire.port(), &self.database));
        }
        if let Some(wire) = &gateway {
            set("GATEWAY_URL", format!("http://127.0.0.1:{}", wire.port()));
        }
        if role == "front" {
            let own = self.dir.join(&name);
            let port = self.ports.next();
            self.fronts.push(port);
            set("FRONT_LISTEN", format!("127.0.0.1:{port}"));
            set("FRONT_EVENTS", self.country_config.is_some().to_string());
            set("FRONT_SPOOL", own.join("spool").display().to_string());
            set("FRONT_KEY_CACHE", own.join("key.pem").display().to_string());
            std::fs::create_dir_all(own.join("spool")).expect("a spool");
        }
        let recipe = Recipe { name, role, environment, admin };
        Role { process: Process::start(recipe, &self.dir), broker, ledger, gateway }
    }
}

fn port(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

/// Ports below the range from which the system assigns ports, so that nothing else takes the port
/// of a process that is down.
pub struct PortRange(u16);

impl PortRange {
    pub fn new() -> Self {
        Self(12_000 + fastrand::u16(..400) * 20)
    }

    /// The next free port.
    pub fn next(&mut self) -> u16 {
        loop {
            self.0 += 1;
            if std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, self.0)).is_ok() {
                return self.0;
            }
        }
    }
}
