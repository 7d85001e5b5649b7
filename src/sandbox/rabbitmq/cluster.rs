//! Several private nodes that form one cluster: for what only a cluster can do wrong.
//!
//! Nodes of a cluster share a port mapper and a cookie; each has a directory, ports and a process of its own.
//!
//! Invariant: as of a single node. One guardian knows all processes of now; it is renewed with each new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::launch::{
    self, Seat, answers, await_epmd, free_ports, furnish, identify, start_epmd, start_server,
};
use super::{
    BRIDGE, Frozen, LOOK, NodeError, OPERATOR, READY, STOPPED, VENDOR, installation, io_error, log_tail,
};
use crate::broker::Topology;
use crate::sandbox::guardian::Guardian;

const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

/// A running cluster; some of its nodes may be down.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    password: SecretString,
    members: Vec<Member>,
    epmd: Child,
    guardian: Option<Guardian>,
}

/// What controls a node.
#[derive(Debug, Clone)]
pub struct Control {
    pub(super) seat: Seat,
    pub(super) dir: PathBuf,
}

impl Control {
    /// The command line of `rabbitmqctl`, without what is to be done.
    pub fn command(&self) -> Command {
        let mut command = installation::command(CONTROL, &self.seat.dir);
        identify(&mut command, &self.seat).args(["-n", &self.seat.name]).current_dir(&self.dir);
        command.stdin(Stdio::null());
        command
    }
}

#[derive(Debug)]
struct Member {
    seat: Seat,
    server: Child,
}

impl Cluster {
    /// Starts so many nodes at once, and waits until all of them can be used. The first one brings users, vhosts and
    /// queues; a queue that is declared before the others have joined has one member only, so give it none. `advanced` is
    /// what all of them have as their `advanced.config`.
    ///
    /// # Errors
    /// [`NodeError`] says what is missing, or shows the end of a log.
    pub async fn start(
        dir: &Path,
        nodes: usize,
        topologies: &[Topology],
        advanced: &str,
    ) -> Result<Self, NodeError> {
        if !installation::has(launch::SERVER) {
            return Err(NodeError::Missing);
        }
        let ports = free_ports(nodes).map_err(io_error("there are no free ports"))?;
        let Some(first) = ports.first().copied() else {
            return Err(io_error("there are no free ports")(io::ErrorKind::AddrInUse.into()));
        };
        fs::create_dir_all(dir).map_err(io_error("its directory cannot be made"))?;
        let dir = dir.canonicalize().map_err(io_error("its directory cannot be found"))?;
        let password = SecretString::from(Uuid::new_v4().simple().to_string());
        let cookie = Uuid::new_v4().simple().to_string();
        let names: Vec<String> = (1..=nodes).map(|number| format!("node{number}@localhost")).collect();
        let peers = if nodes > 1 { names.clone() } else { Vec::new() };
        let epmd = start_epmd(&dir, first).map_err(io_error("its port mapper cannot be started"))?;
        await_epmd(first).await;
        let mut cluster = Self { dir, password, members: Vec::new(), epmd, guardian: None };
        cluster.watch()?;
        for (name, ports) in names.iter().zip(ports) {
            let dir = cluster.dir.join(name.split('@').next().unwrap_or(name));
            let seat = Seat { name: name.clone(), dir, ports, peers: peers.clone(), cookie: cookie.clone() };
            let topologies = if cluster.members.is_empty() { topologies } else { &[] };
            furnish(&seat, topologies, &cluster.password)
                .and_then(|()| fs::write(seat.dir.join("advanced.config"), advanced))
                .map_err(io_error("its files cannot be written"))?;
            let server = start_server(&seat).map_err(io_error("it cannot be started"))?;
            cluster.members.push(Member { seat, server });
            cluster.watch()?;
        }
        for member in &mut cluster.members {
            member.ready().await?;
        }
        Ok(cluster)
    }

    /// How many nodes it has.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// The ports that AMQP is spoken on, one for each node.
    pub fn amqp_ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.seat.ports.amqp).collect()
    }

    /// The ports of the management API, one for each node.
    pub fn management_ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.seat.ports.management).collect()
    }

    /// The name of a node.
    pub fn name(&self, node: usize) -> Option<&str> {
        self.members.get(node).map(|member| member.seat.name.as_str())
    }

    /// What the nodes know each other by.
    pub fn cookie(&self) -> Option<&str> {
        self.members.first().map(|member| member.seat.cookie.as_str())
    }

    /// The URL of a vhost through a port, for the bridge.
    pub fn amqp_url_by(&self, port: u16, vhost: &str) -> SecretString {
        self.url(BRIDGE, port, vhost)
    }

    /// The URL of a vhost through a port, for the vendor.
    pub fn vendor_url_by(&self, port: u16, vhost: &str) -> SecretString {
        self.url(VENDOR, port, vhost)
    }

    /// Who may use the management API.
    pub fn operator(&self) -> (&'static str, &SecretString) {
        (OPERATOR, &self.password)
    }

    /// The users that [`Cluster::amqp_url_by`] and [`Cluster::vendor_url_by`] name.
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

    /// Stops a node from doing anything, or lets it go on.
    ///
    /// # Errors
    /// When it is not there.
    pub fn freeze(&mut self, node: usize, frozen: Frozen) -> Result<(), NodeError> {
        let signal = match frozen {
            Frozen::Yes => Signal::STOP,
            Frozen::No => Signal::CONT,
        };
        self.member(node)?.signal(signal)
    }

    /// Starts a node again with its data, and waits until it can be used.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn restart(&mut self, node: usize) -> Result<(), NodeError> {
        let member = self.member(node)?;
        member.end(Signal::TERM).await?;
        member.server = start_server(&member.seat).map_err(io_error("it cannot be started again"))?;
        self.watch()?;
        self.member(node)?.ready().await
    }

    /// What controls each node, whoever else has the cluster at the time.
    pub fn controls(&self) -> Vec<Control> {
        let of = |member: &Member| Control { seat: member.seat.clone(), dir: self.dir.clone() };
        self.members.iter().map(of).collect()
    }

    /// Ends all of it, at once: there is nothing in it that anybody wants.
    ///
    /// # Errors
    /// When a process cannot be ended; the guardian still ends it when we end.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        for member in &mut self.members {
            member.end(Signal::KILL).await?;
        }
        self.epmd.kill().map_err(io_error("its port mapper cannot be stopped"))?;
        self.epmd.wait().map_err(io_error("its port mapper cannot be stopped"))?;
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        Ok(())
    }

    fn member(&mut self, node: usize) -> Result<&mut Member, NodeError> {
        self.members.get_mut(node).ok_or(NodeError::Missing)
    }

    fn url(&self, user: &str, port: u16, vhost: &str) -> SecretString {
        let password = self.password.expose_secret();
        SecretString::from(format!("amqp://{user}:{password}@127.0.0.1:{port}/{vhost}"))
    }

    fn watch(&mut self) -> Result<(), NodeError> {
        let mut processes: Vec<u32> = self.members.iter().map(|member| member.server.id()).collect();
        processes.push(self.epmd.id());
        let guardian =
            Guardian::watch(&processes, None).map_err(io_error("its guardian cannot be started"))?;
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
        let deadline = Instant::now() + STOPPED;
        while !self.has_ended()? {
            if Instant::now() > deadline {
                self.signal(Signal::KILL)?;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), NodeError> {
        // Nodes of a cluster wait for each other.
        let deadline = Instant::now() + READY * 3;
        while !answers(self.seat.ports.amqp) {
            if self.has_ended()? {
                return Err(NodeError::NotReady {
                    what: "ended while it started",
                    tail: log_tail(&self.seat),
                });
            }
            if Instant::now() > deadline {
                let what = "did not come up in time";
                return Err(NodeError::NotReady { what, tail: log_tail(&self.seat) });
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}
