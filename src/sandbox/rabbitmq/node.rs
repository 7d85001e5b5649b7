//! One node: its process, and the control of it.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::launch::Ports;
use super::{NodeError, POLL, installation, io_error};

/// The start script itself, because the wrapper in `/usr/sbin` changes the user and drops the
/// environment.
pub(super) const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
/// Long, because nodes of a cluster wait for each other.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Time after which a node that was asked to stop is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Number of characters of the log that an error shows.
const LOG_TAIL: usize = 2_000;

/// Name, directory and ports of one node.
#[derive(Debug, Clone)]
pub(super) struct NodePlace {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) ports: Ports,
    /// All nodes of the cluster, including this one; empty for a node without a cluster.
    pub(super) peers: Vec<String>,
    /// The Erlang cookie: a secret that all nodes of a cluster share.
    pub(super) cookie: String,
}

impl NodePlace {
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log").join(format!("{}.log", self.name))
    }
}

/// Controls a node with `rabbitmqctl`.
#[derive(Debug, Clone)]
pub struct Control(pub(super) NodePlace);

impl Control {
    /// `rabbitmqctl` with the options that select the node; the caller adds the subcommand.
    pub fn command(&self) -> Command {
        let place = &self.0;
        let mut command = installation::command(CONTROL, &place.dir);
        identify(&mut command, place).args(["-n", &place.name]).current_dir(&place.dir).stdin(Stdio::null());
        command
    }
}

/// A node that was started; its process may have ended.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) place: NodePlace,
    pub(super) server: Child,
}

impl Member {
    /// Starts the node. Call [`Member::ready`] to wait until it accepts connections.
    pub(super) fn start(place: NodePlace) -> Result<Self, NodeError> {
        let server = start(&place).map_err(io_error("it cannot be started"))?;
        Ok(Self { place, server })
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), NodeError> {
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        let sent = pid.map_or(Err(rustix::io::Errno::SRCH), |pid| kill_process(pid, signal));
        sent.map_err(|cause| NodeError::Io { what: "no signal reaches it", cause: cause.into() })
    }

    fn has_ended(&mut self) -> Result<bool, NodeError> {
        Ok(self.server.try_wait().map_err(io_error("its end cannot be awaited"))?.is_some())
    }

    pub(super) async fn end(&mut self, signal: Signal) -> Result<(), NodeError> {
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

    pub(super) async fn ready(&mut self) -> Result<(), NodeError> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(self.place.ports.amqp) {
            if self.has_ended()? {
                return Err(self.not_ready("ended while it started"));
            }
            if Instant::now() > deadline {
                return Err(self.not_ready("did not come up in time"));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    fn not_ready(&self, what: &'static str) -> NodeError {
        let logs = [self.place.log(), self.place.dir.join("start.log")];
        let text: String = logs.iter().filter_map(|log| fs::read_to_string(log).ok()).collect();
        let from = text.char_indices().rev().nth(LOG_TAIL).map_or(0, |(from, _)| from);
        NodeError::NotReady { what, tail: text.get(from..).unwrap_or_default().to_owned() }
    }
}

/// Starts the node. With `RUNNING_UNDER_SYSTEMD` the script replaces itself with the node, so that
/// a signal to the process reaches the node.
fn start(place: &NodePlace) -> io::Result<Child> {
    let (dir, ports) = (place.dir.as_path(), place.ports);
    let log = OpenOptions::new().create(true).append(true).open(dir.join("start.log"))?;
    let mut command = installation::command(SERVER, dir);
    identify(&mut command, place)
        .env("RABBITMQ_MNESIA_BASE", dir.join("db"))
        .env("RABBITMQ_LOG_BASE", dir.join("log"))
        .env("RABBITMQ_PID_FILE", dir.join("pid"))
        .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", dir.join("advanced.config"))
        .env("RABBITMQ_CONFIG_FILES", dir.join("conf.d"))
        .env("RABBITMQ_GENERATED_CONFIG_DIR", dir.join("gen"))
        .env("RABBITMQ_FEATURE_FLAGS_FILE", dir.join("db").join("feature_flags"))
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
        )
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

/// The environment that a node and its control must share.
fn identify<'a>(command: &'a mut Command, place: &NodePlace) -> &'a mut Command {
    command
        .env("HOME", place.dir.join("home"))
        .env("RABBITMQ_NODENAME", &place.name)
        .env("RABBITMQ_CONF_ENV_FILE", place.dir.join("none.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", place.dir.join("enabled_plugins"))
        .env("ERL_EPMD_PORT", place.ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
}

/// Whether the node speaks AMQP. It opens this port last, after it has loaded the definitions.
fn answers(port: u16) -> bool {
    let ask = || -> io::Result<usize> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        stream.read(&mut [0_u8; 1])
    };
    ask().is_ok_and(|read| read > 0)
}
