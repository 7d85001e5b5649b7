//! A TCP proxy that can break its connections, stop forwarding, and be restored.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Cut,
    Blackhole,
}

/// A proxy for one port of this machine.
pub struct ChaosProxy {
    port: u16,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl ChaosProxy {
    pub async fn before(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port for the proxy");
        let port = listener.local_addr().expect("the proxy's address").port();
        let (mode, seen) = watch::channel(Mode::Open);
        let task = tokio::spawn(serve(listener, target, seen));
        Self { port, mode, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection, and every new one as soon as it is accepted.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Keeps connections open and forwards nothing.
    pub fn blackhole(&self) {
        self.mode.send_replace(Mode::Blackhole);
    }

    pub fn restore(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.mode.send_replace(Mode::Cut);
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: u16, mode: watch::Receiver<Mode>) {
    while let Ok((inside, _)) = listener.accept().await {
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let Ok(outside) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { continue };
        let ((from_in, to_in), (from_out, to_out)) = (inside.into_split(), outside.into_split());
        drop(tokio::spawn(pump(from_in, to_out, mode.clone())));
        drop(tokio::spawn(pump(from_out, to_in, mode.clone())));
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        if mode.wait_for(|mode| *mode != Mode::Blackhole).await.is_err() {
            return;
        }
        let read = tokio::select! {
            changed = mode.changed() => match changed {
                Ok(()) if *mode.borrow() != Mode::Cut => continue,
                Ok(()) | Err(_) => return,
            },
            read = from.read(&mut buffer) => read,
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
