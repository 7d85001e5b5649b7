//! A TCP proxy in front of one or more ports. Either direction of its connections can be broken.
//!
//! Data that a broken direction holds back is not lost but late, as on a real network: it arrives
//! when the direction is restored, unless the sender's end of the connection was reset by then.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Open,
    /// Connections break, and every new one is closed at once.
    Cut,
    /// Nothing passes to the server.
    DeafServer,
    /// Nothing passes back to the client.
    DeafClient,
    /// Nothing passes at all.
    Blackhole,
}

/// The direction in which data is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cut => "cut",
            Self::DeafServer => "blackhole_out",
            Self::DeafClient => "blackhole_in",
            Self::Blackhole => "blackhole",
        }
    }

    fn holds(self, way: Way) -> bool {
        match self {
            Self::Open | Self::Cut => false,
            Self::DeafServer => way == Way::ToServer,
            Self::DeafClient => way == Way::ToClient,
            Self::Blackhole => true,
        }
    }
}

/// A proxy in front of these ports. Clones share it.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    mode: Arc<watch::Sender<Mode>>,
    disturbed: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts to listen. The first connection goes to the server with the index `first`, and each
    /// further one to the next server that accepts it.
    pub async fn before(servers: Vec<u16>, first: usize) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (mode, seen) = watch::channel(Mode::Open);
        let disturbed = Arc::new(AtomicU64::new(0));
        let serving =
            Serving { servers, next: AtomicUsize::new(first), mode: seen, disturbed: Arc::clone(&disturbed) };
        drop(tokio::spawn(serving.run(listener)));
        Ok(Self { port, mode: Arc::new(mode), disturbed })
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks the connections, or lets everything pass again.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many connections were broken or blocked.
    pub fn disturbed(&self) -> u64 {
        self.disturbed.load(Ordering::Relaxed)
    }
}

struct Serving {
    servers: Vec<u16>,
    next: AtomicUsize,
    mode: watch::Receiver<Mode>,
    disturbed: Arc<AtomicU64>,
}

impl Serving {
    async fn run(self, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            if *self.mode.borrow() == Mode::Cut {
                self.disturbed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let Some(server) = self.connect().await else { continue };
            // Small frames must not wait for each other.
            drop((client.set_nodelay(true), server.set_nodelay(true)));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            for (way, from, to) in
                [(Way::ToServer, from_client, to_server), (Way::ToClient, from_server, to_client)]
            {
                let pump = Pump { way, mode: self.mode.clone(), disturbed: Arc::clone(&self.disturbed) };
                drop(tokio::spawn(pump.run(from, to)));
            }
        }
    }

    async fn connect(&self) -> Option<TcpStream> {
        for _ in 0..self.servers.len() {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let port = *self.servers.get(turn % self.servers.len())?;
            let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            if let Ok(Ok(server)) = tokio::time::timeout(Duration::from_secs(2), connecting).await {
                return Some(server);
            }
        }
        None
    }
}

struct Pump {
    way: Way,
    mode: watch::Receiver<Mode>,
    disturbed: Arc<AtomicU64>,
}

impl Pump {
    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            let mode = *self.mode.borrow_and_update();
            if mode == Mode::Cut {
                self.disturbed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if mode.holds(self.way) {
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
