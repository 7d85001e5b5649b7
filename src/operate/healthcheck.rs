//! `nidbridge healthcheck`: whether the process beside us lives, for images without a shell.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::config::{self, Part, Sources};
use crate::roles::Failure;

const PATIENCE: Duration = Duration::from_secs(2);
/// A status line is much shorter.
const ANSWER: u64 = 4_096;

pub(crate) fn run(file: Option<PathBuf>) -> Result<(), Failure> {
    let listen = config::load(&Sources::of_process(file), Part::Tool)?.config.admin.listen;
    let address = reachable(listen);
    let status = ask(address).with_context(|| format!("no answer from {address} (ADMIN_LISTEN)"))?;
    if status.contains(" 200 ") {
        Ok(())
    } else {
        Err(Failure::Failed(anyhow!("{address} answers: {status}")))
    }
}

/// Where a listener on all addresses is reached from the same container.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}
