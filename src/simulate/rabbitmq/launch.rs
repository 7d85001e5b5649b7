//! The files, ports and processes of a private node.
//!
//! Invariant: every listener is on the loopback interface, on a port that nobody used; nothing outside the node's
//! directory is written.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{BRIDGE, LOOK, NODE, OPERATOR, VENDOR, installation};
use crate::broker::{Topology, User, Users, definitions};

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

/// Four ports that nobody listens on, held until all are found.
pub(super) fn free_ports() -> io::Result<Ports> {
    let mut held: Vec<(u16, TcpListener)> = Vec::new();
    for _ in 0..1_000 {
        if let [(amqp, _), (management, _), (distribution, _), (epmd, _)] = *held.as_slice() {
            return Ok(Ports { amqp, management, distribution, epmd });
        }
        let port = fastrand::u16(PORTS);
        if NOT_OURS.contains(&port) {
            continue;
        }
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|listener| (port, listener)));
    }
    Err(io::ErrorKind::AddrInUse.into())
}

pub(super) fn furnish(
    dir: &Path,
    ports: Ports,
    topologies: &[Topology],
    password: &SecretString,
) -> io::Result<()> {
    for part in ["db", "log", "home"] {
        fs::create_dir_all(dir.join(part))?;
    }
    for private in [dir, &dir.join("home")] {
        fs::set_permissions(private, fs::Permissions::from_mode(0o700))?;
    }
    let user = |name: &str| User::new(name, password.clone());
    let users = Users { bridge: user(BRIDGE), vendor: user(VENDOR), administrator: Some(user(OPERATOR)) };
    let made = definitions(topologies, &users).ok_or_else(|| io::Error::other("there is no randomness"))?;
    fs::write(dir.join("definitions.json"), made.to_string())?;
    fs::write(dir.join("enabled_plugins"), "[rabbitmq_management].\n")?;
    fs::write(dir.join("rabbitmq.conf"), configuration(dir, ports))?;
    let cookie = dir.join("home").join(".erlang.cookie");
    if !cookie.exists() {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(cookie)?;
        file.write_all(Uuid::new_v4().simple().to_string().as_bytes())?;
    }
    Ok(())
}

/// Every listener is named with its address, because plugins listen on all interfaces unless told otherwise.
fn configuration(dir: &Path, ports: Ports) -> String {
    let (amqp, management) = (ports.amqp, ports.management);
    let definitions = dir.join("definitions.json");
    let definitions = definitions.display();
    format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         load_definitions = {definitions}\n\
         log.console = false\n\
         log.file.level = info\n\
         vm_memory_high_watermark.absolute = 1GB\n\
         disk_free_limit.absolute = 50MB\n\
         raft.wal_max_size_bytes = 64000000\n"
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
pub(super) fn start_server(dir: &Path, ports: Ports) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(dir.join("start.log"))?;
    installation::command(SERVER, dir)
        .env("HOME", dir.join("home"))
        .env("RABBITMQ_NODENAME", NODE)
        .env("RABBITMQ_CONF_ENV_FILE", dir.join("none.conf"))
        .env("RABBITMQ_MNESIA_BASE", dir.join("db"))
        .env("RABBITMQ_LOG_BASE", dir.join("log"))
        .env("RABBITMQ_PID_FILE", dir.join("pid"))
        .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", dir.join("advanced.config"))
        .env("RABBITMQ_CONFIG_FILES", dir.join("conf.d"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
        .env("RABBITMQ_GENERATED_CONFIG_DIR", dir.join("gen"))
        .env("RABBITMQ_FEATURE_FLAGS_FILE", dir.join("db").join("feature_flags"))
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("ERL_EPMD_PORT", ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
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
