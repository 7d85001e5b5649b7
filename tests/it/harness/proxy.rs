//! A TCP proxy that can break its connections, block either direction, and be restored.
//!
//! Data that a blocked direction holds back is not lost but late, as on a real network: it arrives
//! when the direction is restored, unless the sender's end of the connection was reset by then.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Open,
    /// Connections break, and every new one is closed as soon as it is accepted.
    Cut,
    /// Connections stay open, and nothing is forwarded.
    Blackhole,
    /// Nothing is forwarded to the server.
    BlackholeOut,
    /// Nothing is forwarded to the client.
    BlackholeIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cut => "cut",
            Self::Blackhole => "blackhole",
            Self::BlackholeOut => "blackhole_out",
            Self::BlackholeIn => "blackhole_in",
        }
    }

    fn blocks(self, direction: Direction) -> bool {
        match self {
            Self::Open | Self::Cut => false,
            Self::Blackhole => true,
            Self::BlackholeOut => direction == Direction::ToServer,
            Self::BlackholeIn => direction == Direction::ToClient,
        }
    }
}

/// A proxy for one or more ports of this machine.
pub struct ChaosProxy {
    port: u16,
    mode: watch::Sender<Mode>,
    disturbed: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl ChaosProxy {
    pub async fn before(server: u16) -> Self {
        Self::before_any(vec![server], 0).await
    }

    /// The first connection goes to the server with the index `first`, and each further one to the
    /// next server that accepts it.
    pub async fn before_any(servers: Vec<u16>, first: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port for the proxy");
        let port = listener.local_addr().expect("the proxy's address").port();
        let (mode, seen) = watch::channel(Mode::Open);
        let disturbed = Arc::new(AtomicU64::new(0));
        let connections = Connections { mode: seen, disturbed: Arc::clone(&disturbed) };
        let task = tokio::spawn(serve(listener, servers, first, connections));
        Self { port, mode, disturbed, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    pub fn blackhole(&self) {
        self.set(Mode::Blackhole);
    }

    pub fn restore(&self) {
        self.set(Mode::Open);
    }

    /// Number of connections that were broken or blocked so far.
    pub fn disturbed(&self) -> u64 {
        self.disturbed.load(Ordering::Relaxed)
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

#[derive(Clone)]
struct Connections {
    mode: watch::Receiver<Mode>,
    disturbed: Arc<AtomicU64>,
}

async fn serve(listener: TcpListener, servers: Vec<u16>, first: usize, connections: Connections) {
    let next = AtomicUsize::new(first);
    while let Ok((client, _)) = listener.accept().await {
        if *connections.mode.borrow() == Mode::Cut {
            connections.disturbed.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let Some(server) = connect(&servers, &next).await else { continue };
        // Small frames must not wait for each other.
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        drop(tokio::spawn(connections.clone().forward(Direction::ToServer, from_client, to_server)));
        drop(tokio::spawn(connections.clone().forward(Direction::ToClient, from_server, to_client)));
    }
}

async fn connect(servers: &[u16], next: &AtomicUsize) -> Option<TcpStream> {
    for _ in servers {
        let port = *servers.get(next.fetch_add(1, Ordering::Relaxed) % servers.len())?;
        let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        if let Ok(Ok(server)) = tokio::time::timeout(Duration::from_secs(2), connecting).await {
            return Some(server);
        }
    }
    None
}

impl Connections {
    async fn forward(mut self, direction: Direction, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            let mode = *self.mode.borrow_and_update();
            if mode == Mode::Cut {
                self.disturbed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if mode.blocks(direction) {
                self.disturbed.fetch_add(1, Ordering::Relaxed);
                if self.mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let read = tokio::select! {
                changed = self.mode.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                read = from.read(&mut buffer) => read,
            };
            match read {
                Ok(read) if read > 0 && to.write_all(&buffer[..read]).await.is_ok() => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}
