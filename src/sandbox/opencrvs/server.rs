//! A service that listens at an address. It can be killed with all its connections, and started
//! again at the same address.
//!
//! Invariant: the state of a service lives elsewhere, so that it survives a restart.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::SimulateError;
use super::connection::{BreakableListener, ConnectionBreaker};

pub(super) struct Server {
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
    running: Mutex<Option<(CancellationToken, JoinHandle<()>)>>,
}

impl Server {
    /// Binds the address and serves there until killed or stopped.
    pub(super) async fn bind(
        address: SocketAddr,
        router: Router,
        stop: CancellationToken,
    ) -> Result<Self, SimulateError> {
        let listener = bound(address).await?;
        let address = listener.local_addr().map_err(|source| SimulateError::Listen { address, source })?;
        let server = Self { address, router, stop, running: Mutex::new(None) };
        server.serve(listener);
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and frees the address; does nothing if the service is already
    /// killed.
    pub(super) async fn kill(&self) {
        let running = self.running().take();
        if let Some((life, served)) = running {
            life.cancel();
            drop(served.await);
        }
    }

    /// Serves again; does nothing while the service runs.
    pub(super) async fn restart(&self) -> Result<(), SimulateError> {
        let is_away = self.running().is_none();
        if is_away {
            self.serve(bound(self.address).await?);
        }
        Ok(())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<(CancellationToken, JoinHandle<()>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, listener: TcpListener) {
        let life = self.stop.child_token();
        let listener = BreakableListener { listener, life: life.clone() };
        let service = self.router.clone().into_make_service_with_connect_info::<ConnectionBreaker>();
        let ended = life.clone();
        let served = tokio::spawn(async move {
            tokio::select! {
                _ = axum::serve(listener, service) => {}
                () = ended.cancelled() => {}
            }
        });
        *self.running() = Some((life, served));
    }
}

async fn bound(address: SocketAddr) -> Result<TcpListener, SimulateError> {
    TcpListener::bind(address).await.map_err(|source| SimulateError::Listen { address, source })
}
