//! The files, ports and processes of a private node.
//!
//! Invariant: every listener is on the loopback interface, on a port that was free. Nothing is
//! written outside the node's directory.

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

use super::{BRIDGE, OPERATOR, POLL, VENDOR, installation};
use crate::broker::{Topology, User};
use crate::pipeline::Users;

/// The start script itself, because the wrapper in `/usr/sbin` changes the user and drops the
/// environment.
pub(super) const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Below the range of ports for outgoing connections, so that a port is still free after a restart.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Ports in that range that a RabbitMQ node of the system uses.
const NOT_OURS: [u16; 1] = [25_672];

#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

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

/// Free ports for this many nodes that share a port mapper. Each port is kept bound until all are
/// found.
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

pub(super) fn prepare_directory(
    place: &NodePlace,
    topologies: &[Topology],
    password: &SecretString,
    advanced: &str,
) -> io::Result<()> {
    let dir = place.dir.as_path();
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
    fs::write(dir.join("rabbitmq.conf"), configuration(place))?;
    fs::write(dir.join("advanced.config"), advanced)?;
    let cookie = dir.join("home").join(".erlang.cookie");
    if !cookie.exists() {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(cookie)?;
        file.write_all(place.cookie.as_bytes())?;
    }
    Ok(())
}

/// Names every listener with its address, because plugins listen on all interfaces by default.
fn configuration(place: &NodePlace) -> String {
    let (amqp, management) = (place.ports.amqp, place.ports.management);
    let definitions = place.dir.join("definitions.json");
    let definitions = definitions.display();
    let mut cluster = String::new();
    for (number, peer) in place.peers.iter().enumerate() {
        let number = number + 1;
        cluster.push_str(&format!("cluster_formation.classic_config.nodes.{number} = {peer}\n"));
    }
    if !place.peers.is_empty() {
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

/// Waits for the port mapper. Without it the node would start a port mapper of its own, which would
/// outlive our process.
pub(super) async fn await_epmd(ports: Ports) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, ports.epmd)).is_err() && Instant::now() < deadline {
        sleep(POLL).await;
    }
}

/// Starts the node. With `RUNNING_UNDER_SYSTEMD` the script replaces itself with the node, so that
/// a signal to the process reaches the node.
pub(super) fn start_server(place: &NodePlace) -> io::Result<Child> {
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
pub(super) fn identify<'a>(command: &'a mut Command, place: &NodePlace) -> &'a mut Command {
    command
        .env("HOME", place.dir.join("home"))
        .env("RABBITMQ_NODENAME", &place.name)
        .env("RABBITMQ_CONF_ENV_FILE", place.dir.join("none.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", place.dir.join("enabled_plugins"))
        .env("ERL_EPMD_PORT", place.ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
}

/// Whether the node speaks AMQP. It opens this port last, after it has loaded the definitions.
pub(super) fn answers(port: u16) -> bool {
    let ask = || -> io::Result<usize> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        stream.read(&mut [0_u8; 1])
    };
    ask().is_ok_and(|read| read > 0)
}
