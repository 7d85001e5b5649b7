//! A supervised connection: a task opens it and opens it again after every loss.
//!
//! lapin's own recovery is off, because after it some consumers never deliver again and some
//! confirms fail late. Without it, everything on a lost connection fails at once, and the task
//! opens a new connection.
//!
//! Invariant: code that uses the connection takes it from [`ConnectionState`] each time and drops
//! it after a failure.

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
use super::gate::Gate;
use super::topology::Topology;
use super::transport;

pub(super) struct OpenConnection {
    pub(super) connection: Connection,
    /// Distinguishes the channels of this connection from those of an earlier connection.
    pub(super) number: u64,
    /// The user that the connection was opened with.
    pub(super) user: String,
}

/// The state of a supervised connection.
///
/// The cause of a loss is a text with the whole chain of errors, because the state is cloned for
/// every part of the engine that uses the connection. The error itself was logged when it happened.
#[derive(Clone)]
pub(super) enum ConnectionState {
    Away(String),
    /// The broker answers, and refuses the connection until somebody changes something.
    Refused(String),
    Ready(Arc<OpenConnection>),
    Blocked(Arc<OpenConnection>, String),
}

impl ConnectionState {
    /// Whether `conn` is still the connection in use.
    pub(super) fn is_on(&self, conn: &OpenConnection) -> bool {
        match self {
            Self::Ready(current) | Self::Blocked(current, _) => current.number == conn.number,
            Self::Away(_) | Self::Refused(_) => false,
        }
    }
}

pub(super) struct ConnectionSettings {
    /// `None` if the configured URL cannot be parsed.
    pub(super) hosts: Vec<AMQPUri>,
    /// The name of the connection on the broker and in logs.
    pub(super) name: String,
    /// The longest pause between two attempts to connect.
    pub(super) reconnect_max: Duration,
    /// Time limit of opening the connection.
    pub(super) handshake: Duration,
    pub(super) on_connect: OnConnect,
    pub(super) gate: Option<Gate>,
}

/// What is done on a new connection before it is used.
pub(super) enum OnConnect {
    Nothing,
    Declare(Topology),
    Check(Topology),
}

/// Time limit of closing a connection.
const CLOSING: Duration = Duration::from_secs(2);
/// Time limit of any other answer of the broker. lapin does not always fail its futures when the
/// connection is lost.
const ANSWER: Duration = Duration::from_secs(60);
/// Interval at which the connection is checked, in case lapin sends no event when it is lost.
const CHECK: Duration = Duration::from_secs(1);

/// Keeps the connection open until `stop` is cancelled, then closes it.
pub(super) async fn supervise(
    settings: ConnectionSettings,
    state: watch::Sender<ConnectionState>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(settings.reconnect_max);
    let mut number = 0_u64;
    while !stop.is_cancelled() {
        number = number.wrapping_add(1);
        let opened = tokio::select! {
            () = stop.cancelled() => break,
            opened = connect(&settings, number) => opened,
        };
        let ended = match opened {
            Ok(conn) => {
                backoff.reset();
                ConnectionState::Away(serve(&settings.name, &Arc::new(conn), &state, &stop).await)
            }
            Err(cause) if cause.is_refusal() => ConnectionState::Refused(chain(&cause)),
            Err(cause) => ConnectionState::Away(chain(&cause)),
        };
        if stop.is_cancelled() {
            break;
        }
        let wait = backoff.next(fastrand::f64());
        if let ConnectionState::Away(cause) | ConnectionState::Refused(cause) = &ended {
            report_away(&settings.name, cause, wait);
        }
        state.send_replace(ended);
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    state.send_replace(ConnectionState::Away("closed".to_owned()));
}

/// The hosts take turns.
fn host_for(hosts: &[AMQPUri], attempt: u64) -> Option<AMQPUri> {
    let at = attempt.checked_rem(u64::try_from(hosts.len()).ok()?)?;
    hosts.get(usize::try_from(at).ok()?).cloned()
}

async fn connect(settings: &ConnectionSettings, number: u64) -> Result<OpenConnection, BrokerError> {
    let uri = host_for(&settings.hosts, number).ok_or(BrokerError::Url)?;
    let (user, vhost) = (uri.authority.userinfo.username.clone(), uri.vhost.clone());
    let properties =
        ConnectionProperties::default().with_connection_name(LongString::from(settings.name.as_str()));
    let connection = tokio::time::timeout(settings.handshake, transport::connect(uri, properties))
        .await
        .map_err(|_| BrokerError::Slow(settings.handshake))?
        .map_err(|cause| BrokerError::of_login(cause, &user, &vhost))?;
    within(prepare(&connection, &settings.on_connect)).await?;
    if let Some(gate) = &settings.gate
        && let Err(refused) = within(gate.pass(&connection, &user)).await
    {
        close(&connection).await;
        return Err(refused);
    }
    Ok(OpenConnection { connection, number, user })
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

/// Waits for an answer of the broker, for at most `ANSWER`.
pub(super) async fn within<T>(
    answer: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(ANSWER, answer).await.unwrap_or(Err(BrokerError::Slow(ANSWER)))
}

fn report_away(connection: &str, cause: &str, wait: Duration) {
    tracing::warn!(connection, cause, wait_ms = wait.as_millis(), "no connection to the broker");
}

/// Publishes the connection in `state` until it is lost or `stop` is cancelled. Returns why the
/// connection ended.
async fn serve(
    name: &str,
    conn: &Arc<OpenConnection>,
    state: &watch::Sender<ConnectionState>,
    stop: &CancellationToken,
) -> String {
    let mut events = Box::pin(conn.connection.events_listener());
    let mut check = tokio::time::interval(CHECK);
    set(name, state, ConnectionState::Ready(Arc::clone(conn)));
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => {
                close(&conn.connection).await;
                return "closed".to_owned();
            }
            event = events.next() => event,
            _ = check.tick() => {
                if conn.connection.status().connected() {
                    continue;
                }
                return "the connection ended".to_owned();
            }
        };
        match event {
            Some(Event::ConnectionBlocked(why)) => {
                set(name, state, ConnectionState::Blocked(Arc::clone(conn), why));
            }
            Some(Event::ConnectionUnblocked) => set(name, state, ConnectionState::Ready(Arc::clone(conn))),
            Some(Event::Error(cause)) if !conn.connection.status().connected() => return chain(&cause),
            Some(_) => {}
            None => return "the connection ended".to_owned(),
        }
    }
}

fn set(connection: &str, state: &watch::Sender<ConnectionState>, to: ConnectionState) {
    match &to {
        ConnectionState::Ready(_) => tracing::info!(connection, "connected to the broker"),
        ConnectionState::Blocked(_, why) => {
            tracing::warn!(connection, why, "the broker blocks publishers: check its memory and disk");
        }
        ConnectionState::Away(_) | ConnectionState::Refused(_) => {}
    }
    state.send_replace(to);
}

async fn close(connection: &Connection) {
    match tokio::time::timeout(CLOSING, connection.close(200, ShortString::default())).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::debug!(%cause, "the connection was not closed cleanly"),
        Err(_) => tracing::debug!("the broker did not answer to the close of the connection"),
    }
}
