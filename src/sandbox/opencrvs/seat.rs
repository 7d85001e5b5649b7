//! A service at its address: it can be killed, with every connection that it has, and started again in the same place.
//!
//! Invariant: what a service knows is not in here; it is as it was when the service comes back.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::SimulateError;
use super::wire::{CuttableListener, Scissors};

pub(super) struct Seat {
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
    running: Mutex<Option<(CancellationToken, JoinHandle<()>)>>,
}

impl Seat {
    /// Takes an address and serves there until killed or stopped.
    pub(super) async fn take(
        address: SocketAddr,
        router: Router,
        stop: CancellationToken,
    ) -> Result<Self, SimulateError> {
        let listener = bound(address).await?;
        let address = listener.local_addr().map_err(|source| SimulateError::Listen { address, source })?;
        let seat = Self { address, router, stop, running: Mutex::new(None) };
        seat.serve(listener);
        Ok(seat)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and frees the address; does nothing when that was done.
    pub(super) async fn kill(&self) {
        let running = self.running().take();
        if let Some((life, served)) = running {
            life.cancel();
            drop(served.await);
        }
    }

    /// Serves again; does nothing while it does.
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
        let listener = CuttableListener { listener, life: life.clone() };
        let service = self.router.clone().into_make_service_with_connect_info::<Scissors>();
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
