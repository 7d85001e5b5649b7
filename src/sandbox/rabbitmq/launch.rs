//! The files, ports and processes of a private node.
//!
//! Invariant: every listener is on the loopback interface, on a port that nobody used; nothing outside the node's
//! directory is written.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, sleep};

use super::{BRIDGE, LOOK, OPERATOR, VENDOR, installation};
use crate::broker::{Topology, User};
use crate::pipeline::Users;

/// What a full queue refused is given to it again after 5 s instead of three minutes: a private node is short-lived.
const ADVANCED: &str = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n";
/// The start script itself: the one in `/usr/sbin` changes the user and drops the environment.
pub(super) const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Below what the system gives to outgoing connections, so that a port is still free after a restart.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// The ports of a system's node that lie in that range.
const NOT_OURS: [u16; 1] = [25_672];

#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

/// What tells one node from another.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) ports: Ports,
    /// The nodes that it forms a cluster with, itself among them; empty for a node of its own.
    pub(super) peers: Vec<String>,
    /// What all nodes of a cluster know and nobody else does.
    pub(super) cookie: String,
}

/// Ports for so many nodes that share a port mapper, all of which nobody listens on, held until all are found.
pub(super) fn free_ports(nodes: usize) -> io::Result<Vec<Ports>> {
    let mut held: Vec<(u16, TcpListener)> = Vec::new();
    for _ in 0..1_000 {
        if held.len() == nodes * 3 + 1 {
            let numbers: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
            let [epmd, rest @ ..] = numbers.as_slice() else { break };
            let of = |own: &[u16]| match *own {
                [amqp, management, distribution] => {
                    Some(Ports { amqp, management, distribution, epmd: *epmd })
                }
                _ => None,
            };
            return Ok(rest.chunks(3).filter_map(of).collect());
        }
        let port = fastrand::u16(PORTS);
        if NOT_OURS.contains(&port) {
            continue;
        }
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|listener| (port, listener)));
    }
    Err(io::ErrorKind::AddrInUse.into())
}

pub(super) fn furnish(seat: &Seat, topologies: &[Topology], password: &SecretString) -> io::Result<()> {
    let dir = seat.dir.as_path();
    for part in ["db", "log", "home"] {
        fs::create_dir_all(dir.join(part))?;
    }
    for private in [dir, &dir.join("home")] {
        fs::set_permissions(private, fs::Permissions::from_mode(0o700))?;
    }
    let user = |name: &str| User::new(name, password.clone());
    let users = Users { bridge: user(BRIDGE), vendor: user(VENDOR), administrator: Some(user(OPERATOR)) };
    let made = users.definitions(topologies).ok_or_else(|| io::Error::other("there is no randomness"))?;
    fs::write(dir.join("definitions.json"), made.to_string())?;
    fs::write(dir.join("enabled_plugins"), "[rabbitmq_management].\n")?;
    fs::write(dir.join("rabbitmq.conf"), configuration(seat))?;
    fs::write(dir.join("advanced.config"), ADVANCED)?;
    let cookie = dir.join("home").join(".erlang.cookie");
    if !cookie.exists() {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(cookie)?;
        file.write_all(seat.cookie.as_bytes())?;
    }
    Ok(())
}

/// Every listener is named with its address, because plugins listen on all interfaces unless told otherwise.
fn configuration(seat: &Seat) -> String {
    let (amqp, management) = (seat.ports.amqp, seat.ports.management);
    let definitions = seat.dir.join("definitions.json");
    let definitions = definitions.display();
    let mut cluster = String::new();
    for (number, peer) in seat.peers.iter().enumerate() {
        let number = number + 1;
        cluster.push_str(&format!("cluster_formation.classic_config.nodes.{number} = {peer}\n"));
    }
    if !seat.peers.is_empty() {
        cluster.push_str(
            "cluster_formation.peer_discovery_backend = classic_config\n\
             cluster_partition_handling = pause_minority\n",
        );
    }
    format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         load_definitions = {definitions}\n\
         log.console = false\n\
         log.file.level = info\n\
         vm_memory_high_watermark.absolute = 1GB\n\
         disk_free_limit.absolute = 50MB\n\
         raft.wal_max_size_bytes = 64000000\n\
         {cluster}"
    )
}

pub(super) fn start_epmd(dir: &Path, ports: Ports) -> io::Result<Child> {
    let program =
        ["/usr/bin/epmd", "/usr/lib/erlang/bin/epmd"].into_iter().find(|path| installation::has(path));
    installation::command(program.unwrap_or("epmd"), dir)
        .args(["-port", &ports.epmd.to_string()])
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Were it late, the node would start a port mapper of its own, which stays behind.
pub(super) async fn await_epmd(ports: Ports) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, ports.epmd)).is_err() && Instant::now() < deadline {
        sleep(LOOK).await;
    }
}

/// With `RUNNING_UNDER_SYSTEMD` the script becomes the node, so that a signal to the process reaches it.
pub(super) fn start_server(seat: &Seat) -> io::Result<Child> {
    let (dir, ports) = (seat.dir.as_path(), seat.ports);
    let log = OpenOptions::new().create(true).append(true).open(dir.join("start.log"))?;
    let mut command = installation::command(SERVER, dir);
    identify(&mut command, seat)
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

/// What a node and whoever controls it have to agree on.
pub(super) fn identify<'a>(command: &'a mut Command, seat: &Seat) -> &'a mut Command {
    command
        .env("HOME", seat.dir.join("home"))
        .env("RABBITMQ_NODENAME", &seat.name)
        .env("RABBITMQ_CONF_ENV_FILE", seat.dir.join("none.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", seat.dir.join("enabled_plugins"))
        .env("ERL_EPMD_PORT", seat.ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
}

/// Whether AMQP is spoken: the node opens its port after everything else, definitions included.
pub(super) fn answers(port: u16) -> bool {
    let ask = || -> io::Result<usize> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        stream.read(&mut [0_u8; 1])
    };
    ask().is_ok_and(|read| read > 0)
}
