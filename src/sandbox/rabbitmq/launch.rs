//! The files and ports of private nodes, and the port mapper through which they find each other.
//!
//! Invariant: every listener is on the loopback interface, on a port that was free. Nothing is
//! written outside the node's directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, sleep};

use super::node::NodePlace;
use super::{BRIDGE, Cluster, OPERATOR, POLL, VENDOR, installation};
use crate::broker::{Topology, User};
use crate::pipeline::{Role, Users};

/// Below the range of ports for outgoing connections, so that a port is still free after a restart.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// The port in that range that a RabbitMQ node of the system uses.
const NOT_OURS: u16 = 25_672;

#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

/// Free ports for this many nodes that share a port mapper. Each port is kept bound until all are
/// found.
pub(super) fn free_ports(nodes: usize) -> io::Result<Vec<Ports>> {
    let tried = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(1_000);
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let bound = tried.filter(|port| *port != NOT_OURS).filter_map(bind).take(nodes * 3 + 1);
    let bound: Vec<TcpListener> = bound.collect();
    let numbers: Vec<u16> =
        bound.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<io::Result<_>>()?;
    let Some((epmd, own)) = numbers.split_first().filter(|(_, own)| own.len() == nodes * 3) else {
        return Err(io::ErrorKind::AddrInUse.into());
    };
    let of =
        |&[amqp, management, distribution]: &[u16; 3]| Ports { amqp, management, distribution, epmd: *epmd };
    Ok(own.as_chunks().0.iter().map(of).collect())
}

/// Writes the configuration of a node, and the definitions that it loads.
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
    let roles = Role::ALL.map(|role| (role, user(&Cluster::user_of(role)))).into();
    let users =
        Users { bridge: user(BRIDGE), vendor: user(VENDOR), roles, administrator: Some(user(OPERATOR)) };
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
    let peers = (1..).zip(&place.peers);
    let peers =
        peers.map(|(number, peer)| format!("cluster_formation.classic_config.nodes.{number} = {peer}\n"));
    let mut cluster: String = peers.collect();
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
