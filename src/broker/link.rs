//! A pair of supervised connections to one vhost: one publishes, one consumes.
//!
//! There are two because a broker that is short of memory stops reading from connections that
//! publish, so acknowledgements on the same connection would hang.
//!
//! Invariant: opening a link never fails and does not wait. [`LinkState`] says what is wrong with
//! the broker.

mod settings;
mod state;

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use settings::{Application, LinkSettings};
pub use state::LinkState;
use state::StateReporter;

use super::connection::{ConnectionSettings, ConnectionState, OnConnect, OpenConnection, supervise, within};
use super::error::BrokerError;
use super::gate::Gate;
use super::observer::Observer;
use super::pool::Pool;
use super::publisher::Publisher;
use super::topology::{Difference, Topology};

/// A supervised pair of connections to one vhost. Clones share the connections, which close with
/// the last clone.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    application: Application,
    publisher: Publisher,
    consuming: watch::Receiver<ConnectionState>,
    state: watch::Receiver<LinkState>,
    observer: Arc<dyn Observer>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stops_with_us: DropGuard,
}

impl Link {
    /// Starts to connect and returns at once. The URL names the vhost.
    pub fn open(settings: &LinkSettings, topology: Topology, observer: Arc<impl Observer + 'static>) -> Self {
        Self::open_behind(None, settings, topology, observer)
    }

    /// As [`Link::open`], but the link is connected only after it has passed the gate.
    pub fn open_behind(
        gate: Option<Gate>,
        settings: &LinkSettings,
        topology: Topology,
        observer: Arc<impl Observer + 'static>,
    ) -> Self {
        let observer: Arc<dyn Observer> = observer;
        install_crypto();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let prepare =
            if settings.apply_topology { OnConnect::Declare(topology) } else { OnConnect::Check(topology) };
        let start = |role, preparation| start_connection(settings, role, preparation, &stop, &tasks);
        let publishing = start("publish", Preparation { on_connect: prepare, gate });
        let consuming = start("consume", Preparation { on_connect: OnConnect::Nothing, gate: None });
        let (reporter, state) = StateReporter::new(settings.name, Arc::clone(&observer));
        tasks.spawn(reporter.run(publishing.clone(), consuming.clone(), stop.clone()));
        let publisher = Publisher::new(Pool::new(publishing, settings), Arc::clone(&observer));
        let guard = stop.clone().drop_guard();
        Self {
            inner: Arc::new(Inner {
                application: settings.application,
                publisher,
                consuming,
                state,
                observer,
                tasks,
                stop,
                _stops_with_us: guard,
            }),
        }
    }

    pub fn publisher(&self) -> Publisher {
        self.inner.publisher.clone()
    }

    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.inner.state.clone()
    }

    /// Waits until the link is connected. Returns false if it is not connected within this time.
    pub async fn connected(&self, within: Duration) -> bool {
        let mut state = self.state();
        let wait = state.wait_for(LinkState::is_connected);
        matches!(tokio::time::timeout(within, wait).await, Ok(Ok(_)))
    }

    /// Closes both connections and waits until they are closed. Publishes in flight fail.
    pub async fn close(self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Declares a topology, even if the settings say that the link only compares it.
    ///
    /// # Errors
    /// [`BrokerError`] names what could not be declared and why.
    pub async fn apply(&self, topology: &Topology) -> Result<(), BrokerError> {
        within(async { topology.declare(&self.consuming()?.connection).await }).await
    }

    /// Compares the broker with a topology without changing anything.
    ///
    /// # Errors
    /// [`BrokerError`] when the broker cannot be asked. Differences are the result, not an error.
    pub async fn check(&self, topology: &Topology) -> Result<Vec<Difference>, BrokerError> {
        within(async { topology.check(&self.consuming()?.connection).await }).await
    }

    pub(super) fn application(&self) -> Application {
        self.inner.application
    }

    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.inner.observer)
    }

    /// Waits until `conn` is no longer the consuming connection.
    pub(super) async fn lost(&self, conn: &OpenConnection) {
        let mut state = self.inner.consuming.clone();
        drop(state.wait_for(|state| !state.is_on(conn)).await);
    }

    /// The consuming connection, if it is open.
    pub(super) fn consuming(&self) -> Result<Arc<OpenConnection>, BrokerError> {
        match &*self.inner.consuming.borrow() {
            ConnectionState::Ready(conn) | ConnectionState::Blocked(conn, _) => Ok(Arc::clone(conn)),
            ConnectionState::Away(cause) | ConnectionState::Refused(cause) => {
                Err(BrokerError::Away(cause.clone()))
            }
        }
    }
}

/// What a new connection goes through before it is used.
struct Preparation {
    on_connect: OnConnect,
    gate: Option<Gate>,
}

/// Starts the task of one connection.
fn start_connection(
    settings: &LinkSettings,
    role: &str,
    preparation: Preparation,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> watch::Receiver<ConnectionState> {
    let (sender, state) = watch::channel(ConnectionState::Away("connecting".to_owned()));
    let settings = ConnectionSettings {
        hosts: shuffled(settings.uris()),
        name: format!("{} {} {role}", settings.application.name, settings.name),
        reconnect_max: settings.reconnect_max,
        handshake: settings.heartbeat.max(Duration::from_secs(2)),
        on_connect: preparation.on_connect,
        gate: preparation.gate,
    };
    tasks.spawn(supervise(settings, sender, stop.clone()));
    state
}

/// So that the processes spread over the hosts.
fn shuffled(mut hosts: Vec<AMQPUri>) -> Vec<AMQPUri> {
    fastrand::shuffle(&mut hosts);
    hosts
}

/// Installs the TLS provider of the process, unless one is installed already.
pub(super) fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
}
