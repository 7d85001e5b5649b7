//! `nidbridge healthcheck`: asks the process in the same container whether it is alive, for images
//! without a shell.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::config::{self, Part, Sources};
use crate::roles::Failure;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of the response that is read, in bytes. A status line is much shorter.
const MAX_RESPONSE: u64 = 4_096;

pub(crate) fn run(file: Option<PathBuf>) -> Result<(), Failure> {
    let listen = config::load(&Sources::of_process(file), Part::Tool)?.config.admin.listen;
    let address = reachable(listen);
    let status = status_line(address).with_context(|| format!("no answer from {address} (ADMIN_LISTEN)"))?;
    match status.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok()) {
        Some(200) => Ok(()),
        Some(_) | None => Err(Failure::Failed(anyhow!("{address} answers: {status}"))),
    }
}

/// The address at which the same container reaches a listener: loopback for a listener on all
/// addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Requests `/livez` and returns the first line of the response.
fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).lines().next().unwrap_or_default().to_owned())
}
