//! Private nodes that form one cluster.
//!
//! The nodes of a cluster share a port mapper and a cookie. Each node has its own directory, ports
//! and process.
//!
//! Invariant: no process is left running when ours ends. One guardian watches all current processes
//! by their ids, so it is replaced whenever a process is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::launch::{
    self, NodePlace, answers, await_epmd, free_ports, identify, prepare_directory, start_epmd, start_server,
};
use super::{BRIDGE, Frozen, NodeError, OPERATOR, POLL, VENDOR, installation, io_error};
use crate::broker::Topology;
use crate::sandbox::guardian::Guardian;

const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
/// Retry interval of dead-lettering, shortened from three minutes: a message that a full queue
/// refused is offered to the queue again after 5 s, because a private node is short-lived.
const ADVANCED: &str = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n";
/// Long, because nodes of a cluster wait for each other.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Time after which a node that was asked to stop is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Number of characters of the log that an error shows.
const LOG_TAIL: usize = 2_000;

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

/// Controls a node with `rabbitmqctl`.
#[derive(Debug, Clone)]
pub struct Control {
    place: NodePlace,
    dir: PathBuf,
}

impl Control {
    /// `rabbitmqctl` with the options that select the node; the caller adds the subcommand.
    pub fn command(&self) -> Command {
        let mut command = installation::command(CONTROL, &self.place.dir);
        identify(&mut command, &self.place).args(["-n", &self.place.name]).current_dir(&self.dir);
        command.stdin(Stdio::null());
        command
    }
}

#[derive(Debug)]
struct Member {
    place: NodePlace,
    server: Child,
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
    ///
    /// # Errors
    /// [`NodeError`] says what is missing, or shows the end of a log.
    pub async fn start(
        dir: &Path,
        nodes: usize,
        topologies: &[Topology],
        advanced: &str,
    ) -> Result<Self, NodeError> {
        Self::launch(dir, Setup { nodes, topologies, advanced, temporary: false }).await
    }

    /// Starts one node in a directory that is removed when our process ends.
    pub(super) async fn start_temporary(dir: &Path, topologies: &[Topology]) -> Result<Self, NodeError> {
        Self::launch(dir, Setup { nodes: 1, topologies, advanced: ADVANCED, temporary: true }).await
    }

    async fn launch(dir: &Path, setup: Setup<'_>) -> Result<Self, NodeError> {
        if !installation::has(launch::SERVER) {
            return Err(NodeError::Missing);
        }
        let ports = free_ports(setup.nodes).map_err(io_error("there are no free ports"))?;
        let Some(first) = ports.first().copied() else { return Err(NodeError::NoSuchNode) };
        fs::create_dir_all(dir).map_err(io_error("its directory cannot be made"))?;
        let dir = dir.canonicalize().map_err(io_error("its directory cannot be found"))?;
        let [password, cookie] = [(); 2].map(|()| Uuid::new_v4().simple().to_string());
        let names: Vec<String> = (1..=setup.nodes).map(|number| format!("node{number}@localhost")).collect();
        let peers = if names.len() > 1 { names.clone() } else { Vec::new() };
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
        for (name, ports) in names.into_iter().zip(ports) {
            let dir = cluster.dir.join(name.split('@').next().unwrap_or(&name));
            let place = NodePlace { name, dir, ports, peers: peers.clone(), cookie: cookie.clone() };
            let topologies = if cluster.members.is_empty() { setup.topologies } else { &[] };
            prepare_directory(&place, topologies, &cluster.password, setup.advanced)
                .map_err(io_error("its files cannot be written"))?;
            let server = start_server(&place).map_err(io_error("it cannot be started"))?;
            cluster.members.push(Member { place, server });
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

    /// The management API port of each node.
    pub fn management_ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.place.ports.management).collect()
    }

    /// The URL of a vhost through a port, for the bridge.
    pub fn amqp_url_by(&self, port: u16, vhost: &str) -> SecretString {
        self.url(BRIDGE, port, vhost)
    }

    /// The URL of a vhost through a port, for the vendor.
    pub fn vendor_url_by(&self, port: u16, vhost: &str) -> SecretString {
        self.url(VENDOR, port, vhost)
    }

    /// Name and password of the user of the management API.
    pub fn operator(&self) -> (&'static str, &SecretString) {
        (OPERATOR, &self.password)
    }

    /// The names of the users in [`Cluster::amqp_url_by`] and [`Cluster::vendor_url_by`].
    pub fn users() -> (&'static str, &'static str) {
        (BRIDGE, VENDOR)
    }

    /// Kills a node as a power cut would.
    ///
    /// # Errors
    /// When there is no such node, or it cannot be killed.
    pub async fn kill9(&mut self, node: usize) -> Result<(), NodeError> {
        self.member(node)?.end(Signal::KILL).await
    }

    /// Stops a node cleanly, or kills it when it does not stop in time.
    ///
    /// # Errors
    /// When there is no such node, or it cannot be killed.
    pub async fn terminate(&mut self, node: usize) -> Result<(), NodeError> {
        self.member(node)?.end(Signal::TERM).await
    }

    /// Freezes a node, or lets it continue.
    ///
    /// # Errors
    /// When there is no such node, or its process has ended.
    pub fn freeze(&mut self, node: usize, frozen: Frozen) -> Result<(), NodeError> {
        let signal = match frozen {
            Frozen::Yes => Signal::STOP,
            Frozen::No => Signal::CONT,
        };
        self.member(node)?.signal(signal)
    }

    /// Starts a node again with its data, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn restart(&mut self, node: usize) -> Result<(), NodeError> {
        let member = self.member(node)?;
        member.end(Signal::TERM).await?;
        member.server = start_server(&member.place).map_err(io_error("it cannot be started again"))?;
        self.watch()?;
        self.member(node)?.ready().await
    }

    /// One control for each node. The controls work even while another task has exclusive access to
    /// the cluster.
    pub fn controls(&self) -> Vec<Control> {
        let of = |member: &Member| Control { place: member.place.clone(), dir: self.dir.clone() };
        self.members.iter().map(of).collect()
    }

    /// Kills all nodes; their data is no longer needed.
    ///
    /// # Errors
    /// When a process cannot be ended; the guardian still ends it when our process ends.
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

    fn url(&self, user: &str, port: u16, vhost: &str) -> SecretString {
        let vhost = vhost.replace('%', "%25").replace('/', "%2f");
        let password = self.password.expose_secret();
        SecretString::from(format!("amqp://{user}:{password}@127.0.0.1:{port}/{vhost}"))
    }

    fn watch(&mut self) -> Result<(), NodeError> {
        let mut processes: Vec<u32> = self.members.iter().map(|member| member.server.id()).collect();
        processes.push(self.epmd.id());
        let remove = self.temporary.then_some(self.dir.as_path());
        let guardian =
            Guardian::watch(&processes, remove).map_err(io_error("its guardian cannot be started"))?;
        if let Some(earlier) = self.guardian.replace(guardian) {
            earlier.dismiss();
        }
        Ok(())
    }
}

impl Member {
    fn signal(&self, signal: Signal) -> Result<(), NodeError> {
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        let sent = pid.map_or(Err(rustix::io::Errno::SRCH), |pid| kill_process(pid, signal));
        sent.map_err(|cause| NodeError::Io { what: "no signal reaches it", cause: cause.into() })
    }

    fn has_ended(&mut self) -> Result<bool, NodeError> {
        Ok(self.server.try_wait().map_err(io_error("its end cannot be awaited"))?.is_some())
    }

    async fn end(&mut self, signal: Signal) -> Result<(), NodeError> {
        if self.has_ended()? {
            return Ok(());
        }
        self.signal(signal)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !self.has_ended()? {
            if Instant::now() > deadline {
                self.signal(Signal::KILL)?;
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), NodeError> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(self.place.ports.amqp) {
            let what = match (self.has_ended()?, Instant::now() > deadline) {
                (true, _) => "ended while it started",
                (false, true) => "did not come up in time",
                (false, false) => {
                    sleep(POLL).await;
                    continue;
                }
            };
            return Err(NodeError::NotReady { what, tail: log_tail(&self.place) });
        }
        Ok(())
    }
}

fn log_tail(place: &NodePlace) -> String {
    let logs = [place.dir.join("log").join(format!("{}.log", place.name)), place.dir.join("start.log")];
    let text: String = logs.iter().filter_map(|log| fs::read_to_string(log).ok()).collect();
    text.chars().rev().take(LOG_TAIL).collect::<Vec<_>>().into_iter().rev().collect()
}
