//! One or more private nodes that form one cluster.
//!
//! The nodes of a cluster share a port mapper and a cookie. Each node has its own directory, ports
//! and process.
//!
//! Invariant: no process is left running when ours ends. One guardian watches all current processes
//! by their ids, so it is replaced whenever a process is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use rustix::process::Signal;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::launch::{await_epmd, free_ports, prepare_directory, start_epmd};
use super::node::{Control, Member, NodePlace, SERVER};
use super::{BRIDGE, NodeError, OPERATOR, VENDOR, installation, io_error};
use crate::broker::Topology;
use crate::pipeline::Role;
use crate::sandbox::guardian::Guardian;

/// Retry interval of dead-lettering, shortened from three minutes: a message that a full queue
/// refused is offered to the queue again after 5 s, because a private node is short-lived.
const ADVANCED: &str = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n";

/// A running cluster, in which some nodes may be down.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    password: SecretString,
    members: Vec<Member>,
    epmd: Child,
    guardian: Option<Guardian>,
    /// Whether the directory is removed with the cluster.
    temporary: bool,
}

struct Setup<'a> {
    nodes: usize,
    topologies: &'a [Topology],
    advanced: &'a str,
    temporary: bool,
}

impl Cluster {
    /// Starts this many nodes at once, and waits until all are ready. The first node creates users,
    /// vhosts and queues. A queue that is declared before the other nodes have joined has only one
    /// member, so pass topologies without queues for more than one node. `advanced` is the
    /// `advanced.config` of all nodes.
    pub async fn start(
        dir: &Path,
        nodes: usize,
        topologies: &[Topology],
        advanced: &str,
    ) -> Result<Self, NodeError> {
        Self::launch(dir, Setup { nodes, topologies, advanced, temporary: false }).await
    }

    /// Starts one node in a directory that is removed when our process ends.
    pub async fn start_temporary(dir: &Path, topologies: &[Topology]) -> Result<Self, NodeError> {
        Self::launch(dir, Setup { nodes: 1, topologies, advanced: ADVANCED, temporary: true }).await
    }

    async fn launch(dir: &Path, setup: Setup<'_>) -> Result<Self, NodeError> {
        if !installation::has(SERVER) {
            return Err(NodeError::Missing);
        }
        let ports = free_ports(setup.nodes).map_err(io_error("there are no free ports"))?;
        let first = *ports.first().ok_or(NodeError::NoSuchNode)?;
        fs::create_dir_all(dir).map_err(io_error("its directory cannot be made"))?;
        let dir = dir.canonicalize().map_err(io_error("its directory cannot be found"))?;
        let [password, cookie] = [(); 2].map(|()| Uuid::new_v4().simple().to_string());
        let name = |number: usize| format!("node{number}@localhost");
        let peers: Vec<String> = (1..=setup.nodes).map(name).filter(|_| setup.nodes > 1).collect();
        let epmd = start_epmd(&dir, first).map_err(io_error("its port mapper cannot be started"))?;
        let mut cluster = Self {
            dir,
            password: SecretString::from(password),
            members: Vec::new(),
            epmd,
            guardian: None,
            temporary: setup.temporary,
        };
        cluster.watch()?;
        await_epmd(first).await;
        for (number, ports) in (1..).zip(ports) {
            let (dir, peers, cookie) =
                (cluster.dir.join(format!("node{number}")), peers.clone(), cookie.clone());
            let place = NodePlace { name: name(number), dir, ports, peers, cookie };
            let topologies = if number == 1 { setup.topologies } else { &[] };
            prepare_directory(&place, topologies, &cluster.password, setup.advanced)
                .map_err(io_error("its files cannot be written"))?;
            cluster.members.push(Member::start(place)?);
            cluster.watch()?;
        }
        for member in &mut cluster.members {
            member.ready().await?;
        }
        Ok(cluster)
    }

    /// Number of nodes, running or not.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    pub fn name(&self, node: usize) -> Option<&str> {
        self.members.get(node).map(|member| member.place.name.as_str())
    }

    /// The Erlang cookie that all nodes share.
    pub fn cookie(&self) -> Option<&str> {
        self.members.first().map(|member| member.place.cookie.as_str())
    }

    /// The AMQP port of each node.
    pub fn amqp_ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.place.ports.amqp).collect()
    }

    /// The port of the management API of each node, on the loopback interface.
    pub fn management_ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.place.ports.management).collect()
    }

    /// The URL of a vhost on the first node, for the bridge.
    pub fn amqp_url(&self, vhost: &str) -> SecretString {
        self.amqp_url_by(self.first_port(), vhost)
    }

    /// The URL of a vhost through a port, such as that of a proxy, for the bridge.
    pub fn amqp_url_by(&self, port: u16, vhost: &str) -> SecretString {
        self.url(BRIDGE, port, vhost)
    }

    /// The URL of a vhost on the first node, for the vendor.
    pub fn vendor_url(&self, vhost: &str) -> SecretString {
        self.vendor_url_by(self.first_port(), vhost)
    }

    /// The URL of a vhost through a port, for the vendor.
    pub fn vendor_url_by(&self, port: u16, vhost: &str) -> SecretString {
        self.url(VENDOR, port, vhost)
    }

    /// The URL of a vhost on the first node, for a role with its own permissions.
    pub fn role_url(&self, role: Role, vhost: &str) -> SecretString {
        self.url(&Self::user_of(role), self.first_port(), vhost)
    }

    /// Name and password of the user of the management API.
    pub fn operator(&self) -> (&'static str, &SecretString) {
        (OPERATOR, &self.password)
    }

    /// The names of the users in [`Cluster::amqp_url`] and [`Cluster::vendor_url`].
    pub fn users() -> (&'static str, &'static str) {
        (BRIDGE, VENDOR)
    }

    /// The name of the user in [`Cluster::role_url`].
    pub fn user_of(role: Role) -> String {
        format!("{BRIDGE}-{}", role.name())
    }

    /// Kills a node as a power cut would.
    pub async fn kill9(&mut self, node: usize) -> Result<(), NodeError> {
        self.member(node)?.end(Signal::KILL).await
    }

    /// Stops a node cleanly, or kills it when it does not stop in time.
    pub async fn terminate(&mut self, node: usize) -> Result<(), NodeError> {
        self.member(node)?.end(Signal::TERM).await
    }

    /// Freezes a node: it does nothing until it is unfrozen.
    pub fn freeze(&mut self, node: usize) -> Result<(), NodeError> {
        self.member(node)?.signal(Signal::STOP)
    }

    pub fn unfreeze(&mut self, node: usize) -> Result<(), NodeError> {
        self.member(node)?.signal(Signal::CONT)
    }

    /// Starts a node again with its data on the same ports, and waits until it is ready. Stops it
    /// first if it runs.
    pub async fn restart(&mut self, node: usize) -> Result<(), NodeError> {
        let member = self.member(node)?;
        member.end(Signal::TERM).await?;
        *member = Member::start(member.place.clone())?;
        self.watch()?;
        self.member(node)?.ready().await
    }

    /// The log file of each node.
    pub fn logs(&self) -> Vec<PathBuf> {
        self.members.iter().map(|member| member.place.log()).collect()
    }

    /// One control for each node. The controls work even while another task has exclusive access to
    /// the cluster.
    pub fn controls(&self) -> Vec<Control> {
        self.members.iter().map(|member| Control(member.place.clone())).collect()
    }

    /// Kills all nodes; their data is no longer needed. If a process cannot be ended, the guardian
    /// still ends it when our process ends.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        for member in &mut self.members {
            member.end(Signal::KILL).await?;
        }
        self.epmd.kill().map_err(io_error("its port mapper cannot be stopped"))?;
        self.epmd.wait().map_err(io_error("its port mapper cannot be stopped"))?;
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        if self.temporary {
            fs::remove_dir_all(&self.dir).map_err(io_error("its directory cannot be removed"))?;
        }
        Ok(())
    }

    fn member(&mut self, node: usize) -> Result<&mut Member, NodeError> {
        self.members.get_mut(node).ok_or(NodeError::NoSuchNode)
    }

    fn first_port(&self) -> u16 {
        self.members.first().map_or(0, |member| member.place.ports.amqp)
    }

    fn url(&self, user: &str, port: u16, vhost: &str) -> SecretString {
        let vhost = vhost.replace('%', "%25").replace('/', "%2f");
        let password = self.password.expose_secret();
        SecretString::from(format!("amqp://{user}:{password}@127.0.0.1:{port}/{vhost}"))
    }

    fn watch(&mut self) -> Result<(), NodeError> {
        let processes = self.members.iter().map(|member| member.server.id());
        let processes: Vec<u32> = processes.chain([self.epmd.id()]).collect();
        let remove = self.temporary.then_some(self.dir.as_path());
        let guardian =
            Guardian::watch(&processes, remove).map_err(io_error("its guardian cannot be started"))?;
        if let Some(earlier) = self.guardian.replace(guardian) {
            earlier.dismiss();
        }
        Ok(())
    }
}
