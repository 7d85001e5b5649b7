//! One connection that is kept alive by one task, for ever.
//!
//! lapin's own recovery leaves consumers that never speak again and confirms that fail late, so it is off: a lost
//! connection fails everything on it at once, and this task makes a new one.
//!
//! Invariant: whoever uses a connection takes it from [`Phase`] each time and keeps no copy over a failure.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::types::{LongString, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::error::{BrokerError, chain};
use super::topology::Topology;
use super::transport;

/// A connection that was made, with a number that tells its channels from those of another.
pub(super) struct Wire {
    pub(super) connection: Connection,
    pub(super) number: u64,
    pub(super) user: String,
}

/// Where a line stands.
#[derive(Clone)]
pub(super) enum Phase {
    Away(String),
    Ready(Arc<Wire>),
    Blocked(Arc<Wire>, String),
}

impl Phase {
    pub(super) fn is_on(&self, wire: &Wire) -> bool {
        match self {
            Self::Ready(current) | Self::Blocked(current, _) => current.number == wire.number,
            Self::Away(_) => false,
        }
    }
}

/// What a line needs to be made, again and again.
pub(super) struct LineSettings {
    pub(super) uri: Option<AMQPUri>,
    pub(super) name: String,
    pub(super) reconnect_max: Duration,
    pub(super) handshake: Duration,
    pub(super) on_connect: OnConnect,
}

/// What happens on a new connection before anybody gets it.
pub(super) enum OnConnect {
    Nothing,
    Declare(Topology),
    Check(Topology),
}

/// Cleanly closing a connection waits for the broker no longer than this.
const CLOSING: Duration = Duration::from_secs(2);
/// lapin does not always fail what it waits for when the connection goes, so nothing is awaited without a limit.
const PATIENCE: Duration = Duration::from_secs(60);
/// lapin tells of a loss by an event; should it ever not, the state is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// The task; ends when `stop` is cancelled and the connection is closed.
pub(super) async fn supervise(settings: LineSettings, phase: watch::Sender<Phase>, stop: CancellationToken) {
    let mut backoff = Backoff::new(settings.reconnect_max);
    let mut number = 0_u64;
    while !stop.is_cancelled() {
        number = number.wrapping_add(1);
        let made = tokio::select! {
            () = stop.cancelled() => break,
            made = connect(&settings, number) => made,
        };
        let cause = match made {
            Ok(wire) => {
                backoff.reset();
                hold(&settings.name, &Arc::new(wire), &phase, &stop).await
            }
            Err(cause) => chain(&cause),
        };
        if stop.is_cancelled() {
            break;
        }
        let wait = backoff.next(fastrand::f64());
        report_away(&settings.name, &cause, wait);
        phase.send_replace(Phase::Away(cause));
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    phase.send_replace(Phase::Away("closed".to_owned()));
}

async fn connect(settings: &LineSettings, number: u64) -> Result<Wire, BrokerError> {
    let uri = settings.uri.clone().ok_or(BrokerError::Url)?;
    let user = uri.authority.userinfo.username.clone();
    let properties =
        ConnectionProperties::default().with_connection_name(LongString::from(settings.name.as_str()));
    let connection = tokio::time::timeout(settings.handshake, transport::connect(uri, properties))
        .await
        .map_err(|_| BrokerError::Slow(settings.handshake))??;
    within(prepare(&connection, &settings.on_connect)).await?;
    Ok(Wire { connection, number, user })
}

async fn prepare(connection: &Connection, on_connect: &OnConnect) -> Result<(), BrokerError> {
    match on_connect {
        OnConnect::Nothing => Ok(()),
        OnConnect::Declare(topology) => topology.declare(connection).await,
        OnConnect::Check(topology) => {
            let differences = topology.check(connection).await?;
            if differences.is_empty() { Ok(()) } else { Err(BrokerError::Topology(differences)) }
        }
    }
}

/// What the broker answers, if it does in time.
pub(super) async fn within<T>(
    answer: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Err(BrokerError::Slow(PATIENCE)))
}

fn report_away(line: &str, cause: &str, wait: Duration) {
    tracing::warn!(line, cause, wait_ms = wait.as_millis(), "no connection to the broker");
}

/// Publishes the connection until it is lost or no longer wanted; says why it ended.
async fn hold(
    line: &str,
    wire: &Arc<Wire>,
    phase: &watch::Sender<Phase>,
    stop: &CancellationToken,
) -> String {
    let mut events = Box::pin(wire.connection.events_listener());
    let mut look = tokio::time::interval(LOOK);
    move_to(line, phase, Phase::Ready(Arc::clone(wire)));
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => {
                close(&wire.connection).await;
                return "closed".to_owned();
            }
            event = events.next() => event,
            _ = look.tick() => {
                if wire.connection.status().connected() {
                    continue;
                }
                return "the connection ended".to_owned();
            }
        };
        match event {
            Some(Event::ConnectionBlocked(why)) => {
                move_to(line, phase, Phase::Blocked(Arc::clone(wire), why));
            }
            Some(Event::ConnectionUnblocked) => move_to(line, phase, Phase::Ready(Arc::clone(wire))),
            Some(Event::Error(cause)) if !wire.connection.status().connected() => return chain(&cause),
            Some(_) => {}
            None => return "the connection ended".to_owned(),
        }
    }
}

fn move_to(line: &str, phase: &watch::Sender<Phase>, to: Phase) {
    match &to {
        Phase::Ready(_) => tracing::info!(line, "the broker takes and gives messages"),
        Phase::Blocked(_, why) => tracing::warn!(line, why, "the broker blocks publishers"),
        Phase::Away(_) => {}
    }
    phase.send_replace(to);
}

async fn close(connection: &Connection) {
    match tokio::time::timeout(CLOSING, connection.close(200, ShortString::default())).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::debug!(%cause, "the connection was not closed cleanly"),
        Err(_) => tracing::debug!("the broker did not answer to the close of the connection"),
    }
}
