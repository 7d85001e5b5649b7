//! A pair of supervised connections to one vhost: one publishes, one consumes.
//!
//! They are apart because the broker stops reading from a connection that publishes while it is short of memory,
//! and acknowledgements on it would hang.
//!
//! Invariant: a link is made at once and never fails; what is wrong with the broker is in [`LinkState`].

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::connection::{LineSettings, OnConnect, Phase, Wire, supervise, within};
use super::error::BrokerError;
use super::observer::Observer;
use super::pool::Pool;
use super::publisher::Publisher;
use super::topology::{Difference, Topology};

/// The program that uses this engine, as it names itself to the broker and in what it parks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Application {
    pub name: &'static str,
    pub version: &'static str,
}

impl Default for Application {
    fn default() -> Self {
        Self { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") }
    }
}

/// How to reach the broker, and how patiently.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    pub application: Application,
    /// Names the connections on the broker and the link in metrics: `front`, `worker`, … Links of one process need
    /// different ones.
    pub name: &'static str,
    /// `amqp://` or `amqps://`, with user, password and vhost.
    pub url: SecretString,
    /// A broker that is silent for twice as long is away.
    pub heartbeat: Duration,
    /// The limit for writing a message and getting its confirm.
    pub publish_timeout: Duration,
    /// How many messages can be under way at once.
    pub channels: u16,
    /// The longest pause between two tries to connect.
    pub reconnect_max: Duration,
    /// Whether the topology is declared; otherwise it is compared, and a difference keeps the link away.
    pub apply_topology: bool,
    /// The largest body that is published.
    pub max_message: usize,
}

impl LinkSettings {
    /// Reasonable limits for a URL.
    pub fn new(name: &'static str, url: SecretString) -> Self {
        Self {
            application: Application::default(),
            name,
            url,
            heartbeat: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(1),
            channels: 64,
            reconnect_max: Duration::from_secs(5),
            apply_topology: true,
            max_message: 8 * 1024 * 1024,
        }
    }

    pub(super) fn uri(&self) -> Option<AMQPUri> {
        let mut uri: AMQPUri = self.url.expose_secret().parse().ok()?;
        uri.query.heartbeat = Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
        Some(uri)
    }
}

/// How a link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Both connections are there and the topology is as it should be.
    Connected,
    /// The broker takes nothing from publishers; consuming goes on.
    Blocked(String),
    /// At least one connection is missing.
    Away(String),
}

impl LinkState {
    /// Whether messages go both ways.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected)
    }
}

/// A supervised pair of connections to one vhost. Clones share it; it closes with the last of them.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    application: Application,
    publisher: Publisher,
    consuming: watch::Receiver<Phase>,
    state: watch::Receiver<LinkState>,
    observer: Arc<dyn Observer>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stops_with_us: DropGuard,
}

impl Link {
    /// Starts the tasks that connect, and returns at once. The vhost is that of the URL.
    pub fn open(settings: &LinkSettings, topology: Topology, observer: Arc<impl Observer + 'static>) -> Self {
        let observer: Arc<dyn Observer> = observer;
        install_crypto();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let prepare =
            if settings.apply_topology { OnConnect::Declare(topology) } else { OnConnect::Check(topology) };
        let publishing = line(settings, "publish", prepare, &stop, &tasks);
        let consuming = line(settings, "consume", OnConnect::Nothing, &stop, &tasks);
        let (told, state) = watch::channel(LinkState::Away("connecting".to_owned()));
        let tells = Tells { name: settings.name, told, observer: Arc::clone(&observer), lost: false };
        tasks.spawn(tells.run(publishing.clone(), consuming.clone(), stop.clone()));
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

    /// The link's publisher.
    pub fn publisher(&self) -> Publisher {
        self.inner.publisher.clone()
    }

    /// How the link stands, now and from now on.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.inner.state.clone()
    }

    /// Waits until the link is connected; says whether it was within the time.
    pub async fn connected(&self, within: Duration) -> bool {
        let mut state = self.state();
        let wait = state.wait_for(LinkState::is_connected);
        matches!(tokio::time::timeout(within, wait).await, Ok(Ok(_)))
    }

    /// Closes both connections and waits for it. What is under way fails.
    pub async fn close(self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Declares a topology now, whatever the settings say.
    ///
    /// # Errors
    /// [`BrokerError`] names what could not be declared and why.
    pub async fn apply(&self, topology: &Topology) -> Result<(), BrokerError> {
        within(async { topology.declare(&self.wire()?.connection).await }).await
    }

    /// Compares the broker with a topology and changes nothing.
    ///
    /// # Errors
    /// [`BrokerError`] when the broker cannot be asked; what differs is the result, not an error.
    pub async fn check(&self, topology: &Topology) -> Result<Vec<Difference>, BrokerError> {
        within(async { topology.check(&self.wire()?.connection).await }).await
    }

    pub(super) fn application(&self) -> Application {
        self.inner.application
    }

    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.inner.observer)
    }

    /// Waits until the connection that consumes is another one, or none.
    pub(super) async fn lost(&self, wire: &Wire) {
        let mut phase = self.inner.consuming.clone();
        drop(phase.wait_for(|phase| !phase.is_on(wire)).await);
    }

    /// The connection that consumes, as long as it is there.
    pub(super) fn wire(&self) -> Result<Arc<Wire>, BrokerError> {
        match &*self.inner.consuming.borrow() {
            Phase::Ready(wire) | Phase::Blocked(wire, _) => Ok(Arc::clone(wire)),
            Phase::Away(cause) => Err(BrokerError::Away(cause.clone())),
        }
    }
}

fn line(
    settings: &LinkSettings,
    role: &str,
    on_connect: OnConnect,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> watch::Receiver<Phase> {
    let (sender, phase) = watch::channel(Phase::Away("connecting".to_owned()));
    let settings = LineSettings {
        uri: settings.uri(),
        name: format!("{} {} {role}", settings.application.name, settings.name),
        reconnect_max: settings.reconnect_max,
        handshake: settings.heartbeat.max(Duration::from_secs(2)),
        on_connect,
    };
    tasks.spawn(supervise(settings, sender, stop.clone()));
    phase
}

/// Tells the state of both lines as one.
struct Tells {
    name: &'static str,
    told: watch::Sender<LinkState>,
    observer: Arc<dyn Observer>,
    /// It was there and is not.
    lost: bool,
}

impl Tells {
    async fn run(
        mut self,
        mut publishing: watch::Receiver<Phase>,
        mut consuming: watch::Receiver<Phase>,
        stop: CancellationToken,
    ) {
        loop {
            let state = both(&publishing.borrow_and_update(), &consuming.borrow_and_update());
            self.tell(state);
            let changed = tokio::select! {
                () = stop.cancelled() => break,
                changed = publishing.changed() => changed,
                changed = consuming.changed() => changed,
            };
            if changed.is_err() {
                break;
            }
        }
        self.tell(LinkState::Away("closed".to_owned()));
    }

    fn tell(&mut self, state: LinkState) {
        self.observer.connected(self.name, state.is_connected());
        let (was, is) = (is_there(&self.told.borrow()), is_there(&state));
        if self.lost && is {
            self.observer.reconnected(self.name);
        }
        self.lost = !is && (was || self.lost);
        self.told.send_if_modified(|known| {
            let news = *known != state;
            if news {
                *known = state;
            }
            news
        });
    }
}

fn is_there(state: &LinkState) -> bool {
    match state {
        LinkState::Connected | LinkState::Blocked(_) => true,
        LinkState::Away(_) => false,
    }
}

fn both(publishing: &Phase, consuming: &Phase) -> LinkState {
    match (publishing, consuming) {
        (Phase::Away(cause), _) | (_, Phase::Away(cause)) => LinkState::Away(cause.clone()),
        (Phase::Blocked(_, why), _) | (_, Phase::Blocked(_, why)) => LinkState::Blocked(why.clone()),
        (Phase::Ready(_), Phase::Ready(_)) => LinkState::Connected,
    }
}

/// TLS needs one provider per process; that there is one already is as good.
pub(super) fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Seen {
        connected: Mutex<Vec<bool>>,
        reconnects: Mutex<u32>,
    }

    impl Observer for Seen {
        fn connected(&self, _: &'static str, connected: bool) {
            self.connected.lock().unwrap().push(connected);
        }

        fn reconnected(&self, link: &'static str) {
            assert_eq!(link, "story");
            *self.reconnects.lock().unwrap() += 1;
        }
    }

    #[test]
    fn a_link_comes_back_once_for_each_time_that_it_was_lost() {
        let seen = Arc::new(Seen::default());
        let (told, _state) = watch::channel(LinkState::Away("connecting".to_owned()));
        let observer: Arc<dyn Observer> = Arc::<Seen>::clone(&seen);
        let mut tells = Tells { name: "story", told, observer, lost: false };
        let away = || LinkState::Away("lost".to_owned());
        let states =
            [away(), LinkState::Connected, LinkState::Blocked("disk".to_owned()), LinkState::Connected];
        for state in states {
            tells.tell(state);
        }
        assert_eq!(*seen.reconnects.lock().unwrap(), 0, "it was never lost");
        for state in [away(), away(), LinkState::Connected, away(), LinkState::Connected] {
            tells.tell(state);
        }
        assert_eq!(*seen.reconnects.lock().unwrap(), 2);
        assert_eq!(seen.connected.lock().unwrap().last(), Some(&true));
    }
}
