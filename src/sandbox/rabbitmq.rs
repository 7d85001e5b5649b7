//! A private RabbitMQ node in a directory of its own: for the demo, the sandbox and the tests.
//!
//! It uses the system's package and nothing else of the system's: own ports on the loopback interface, own cookie,
//! own port mapper, own data. The system's node, if there is one, is not touched. With `NIDBRIDGE_RABBITMQ` set it
//! uses another system's package (see `installation`). [`Cluster`] is several of them.
//!
//! Invariant: nothing is left running when we end, however we end (see [`Guardian`]).

mod cluster;
mod installation;
mod launch;

use std::fs;
use std::io;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub use self::cluster::{Cluster, Control};
use self::launch::{Seat, answers, await_epmd, free_ports, furnish, start_epmd, start_server};
use super::guardian::Guardian;
use crate::broker::Topology;

const NODE: &str = "nidbridge@localhost";
const BRIDGE: &str = "nidbridge";
const VENDOR: &str = "vendor";
const OPERATOR: &str = "operator";
const READY: Duration = Duration::from_secs(60);
const STOPPED: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
const LOG_TAIL: usize = 2_000;

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The package is not installed.
    #[error("RabbitMQ is not installed: run `apt-get install -y --no-install-recommends rabbitmq-server`")]
    Missing,
    /// The machine refused something.
    #[error("the private RabbitMQ node: {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the machine said.
        #[source]
        cause: io::Error,
    },
    /// It ended, or did not come up in time.
    #[error("the private RabbitMQ node {what}; its log ends with:\n{tail}")]
    NotReady {
        /// What happened.
        what: &'static str,
        /// The end of its log.
        tail: String,
    },
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    seat: Seat,
    password: SecretString,
    temporary: bool,
    server: Child,
    epmd: Child,
    guardian: Option<Guardian>,
}

impl Node {
    /// Starts a node in a directory, which is made if it is not there, and waits until it can be used.
    ///
    /// # Errors
    /// [`NodeError`] says what is missing, or shows the end of the log.
    pub async fn start(dir: &Path, topologies: &[Topology]) -> Result<Self, NodeError> {
        Self::launch(dir, topologies, false).await
    }

    /// The same, in a directory that goes when we do.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_temporary(dir: &Path, topologies: &[Topology]) -> Result<Self, NodeError> {
        Self::launch(dir, topologies, true).await
    }

    async fn launch(dir: &Path, topologies: &[Topology], temporary: bool) -> Result<Self, NodeError> {
        if !installation::has(launch::SERVER) {
            return Err(NodeError::Missing);
        }
        let ports = free_ports(1).map_err(io_error("there are no free ports"))?;
        let ports = ports.first().copied().ok_or(NodeError::Missing)?;
        let password = SecretString::from(Uuid::new_v4().simple().to_string());
        fs::create_dir_all(dir).map_err(io_error("its directory cannot be made"))?;
        let dir = dir.canonicalize().map_err(io_error("its directory cannot be found"))?;
        let (name, cookie) = (NODE.to_owned(), Uuid::new_v4().simple().to_string());
        let seat = Seat { name, dir, ports, peers: Vec::new(), cookie };
        furnish(&seat, topologies, &password).map_err(io_error("its files cannot be written"))?;
        let epmd = start_epmd(&seat.dir, ports).map_err(io_error("its port mapper cannot be started"))?;
        await_epmd(ports).await;
        let server = start_server(&seat).map_err(io_error("it cannot be started"))?;
        let mut node = Self { seat, password, temporary, server, epmd, guardian: None };
        node.watch()?;
        node.ready().await?;
        Ok(node)
    }

    /// The URL of a vhost, for the bridge.
    pub fn amqp_url(&self, vhost: &str) -> SecretString {
        self.url(BRIDGE, self.seat.ports.amqp, vhost)
    }

    /// The URL of a vhost through another port, such as a proxy's.
    pub fn amqp_url_by(&self, port: u16, vhost: &str) -> SecretString {
        self.url(BRIDGE, port, vhost)
    }

    /// The URL of a vhost, for the vendor.
    pub fn vendor_url(&self, vhost: &str) -> SecretString {
        self.url(VENDOR, self.seat.ports.amqp, vhost)
    }

    /// The port that AMQP is spoken on.
    pub fn amqp_port(&self) -> u16 {
        self.seat.ports.amqp
    }

    /// The port of the management API, on the loopback interface.
    pub fn management_port(&self) -> u16 {
        self.seat.ports.management
    }

    /// Who may use the management API.
    pub fn operator(&self) -> (&'static str, &SecretString) {
        (OPERATOR, &self.password)
    }

    /// The users that [`Node::amqp_url`] and [`Node::vendor_url`] name.
    pub fn users() -> (&'static str, &'static str) {
        (BRIDGE, VENDOR)
    }

    /// What controls the node.
    pub fn control(&self) -> Control {
        Control { seat: self.seat.clone(), dir: self.seat.dir.clone() }
    }

    /// The process of the node itself.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Kills the node as a power cut would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill9(&mut self) -> Result<(), NodeError> {
        self.signal(Signal::KILL)?;
        self.ended().await
    }

    /// Stops the node from doing anything, or lets it go on.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn freeze(&self, frozen: Frozen) -> Result<(), NodeError> {
        match frozen {
            Frozen::Yes => self.signal(Signal::STOP),
            Frozen::No => self.signal(Signal::CONT),
        }
    }

    /// Starts it again with its data, on the same ports; stops it first if it runs.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn restart(&mut self) -> Result<(), NodeError> {
        self.end().await?;
        self.server = start_server(&self.seat).map_err(io_error("it cannot be started again"))?;
        self.watch()?;
        self.ready().await
    }

    /// Stops it cleanly.
    ///
    /// # Errors
    /// When it cannot be stopped; the guardian still ends it when we end.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.end().await?;
        self.epmd.kill().map_err(io_error("its port mapper cannot be stopped"))?;
        self.epmd.wait().map_err(io_error("its port mapper cannot be stopped"))?;
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        if self.temporary {
            fs::remove_dir_all(&self.seat.dir).map_err(io_error("its directory cannot be removed"))?;
        }
        Ok(())
    }

    fn url(&self, user: &str, port: u16, vhost: &str) -> SecretString {
        let vhost = vhost.replace('%', "%25").replace('/', "%2f");
        SecretString::from(format!(
            "amqp://{user}:{}@127.0.0.1:{port}/{vhost}",
            self.password.expose_secret()
        ))
    }

    fn signal(&self, signal: Signal) -> Result<(), NodeError> {
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        let sent = pid.map_or(Err(rustix::io::Errno::SRCH), |pid| kill_process(pid, signal));
        sent.map_err(|cause| NodeError::Io { what: "no signal reaches it", cause: cause.into() })
    }

    async fn end(&mut self) -> Result<(), NodeError> {
        if self.has_ended()? {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + STOPPED;
        while !self.has_ended()? {
            if Instant::now() > deadline {
                return self.kill9().await;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn ended(&mut self) -> Result<(), NodeError> {
        while !self.has_ended()? {
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn has_ended(&mut self) -> Result<bool, NodeError> {
        Ok(self.server.try_wait().map_err(io_error("its end cannot be awaited"))?.is_some())
    }

    /// The guardian knows processes by their numbers, so each new one needs a new guardian.
    fn watch(&mut self) -> Result<(), NodeError> {
        let remove = self.temporary.then_some(self.seat.dir.as_path());
        let guardian = Guardian::watch(&[self.server.id(), self.epmd.id()], remove)
            .map_err(io_error("its guardian cannot be started"))?;
        if let Some(earlier) = self.guardian.replace(guardian) {
            earlier.dismiss();
        }
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), NodeError> {
        let deadline = Instant::now() + READY;
        while !answers(self.seat.ports.amqp) {
            if self.has_ended()? {
                return Err(self.not_ready("ended while it started"));
            }
            if Instant::now() > deadline {
                return Err(self.not_ready("did not come up in time"));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn not_ready(&self, what: &'static str) -> NodeError {
        NodeError::NotReady { what, tail: log_tail(&self.seat) }
    }
}

fn log_tail(seat: &Seat) -> String {
    let logs = [seat.dir.join("log").join(format!("{}.log", seat.name)), seat.dir.join("start.log")];
    let text: String = logs.iter().filter_map(|log| fs::read_to_string(log).ok()).collect();
    text.chars().rev().take(LOG_TAIL).collect::<Vec<_>>().into_iter().rev().collect()
}

/// Whether a node is to be frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// It does nothing until it is let go on.
    Yes,
    /// It goes on.
    No,
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> NodeError {
    move |cause| NodeError::Io { what, cause }
}
