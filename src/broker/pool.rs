//! Publishing channels, each used by one publish at a time.
//!
//! lapin gives a returned message to whichever confirm of the channel completes next, and two tasks on a channel can
//! swap their confirms; with one publish in flight per channel neither can happen.
//!
//! Invariant: a channel goes back to the pool only when nothing on it is outstanding. After a timeout or an error it
//! is closed instead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::connection::{Phase, Wire};
use super::error::{NotSent, PublishError, Unconfirmed};
use super::link::LinkSettings;
use super::message::{Letter, Target};
use super::short::short;

/// A broken channel waits no longer than this for the broker to let it go.
const CLOSING: Duration = Duration::from_secs(5);
const NOT_FOUND: u16 = 404;
const ACCESS_REFUSED: u16 = 403;

/// A channel on which confirms are on, and the connection that it belongs to.
struct ConfirmChannel {
    channel: Channel,
    wire: u64,
}

pub(super) struct Pool {
    line: watch::Receiver<Phase>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<ConfirmChannel>>,
    application: &'static str,
    publish_timeout: Duration,
    max_message: usize,
}

impl Pool {
    pub(super) fn new(line: watch::Receiver<Phase>, settings: &LinkSettings) -> Arc<Self> {
        Arc::new(Self {
            line,
            permits: Arc::new(Semaphore::new(usize::from(settings.channels.max(1)))),
            idle: Mutex::new(Vec::new()),
            application: settings.application.name,
            publish_timeout: settings.publish_timeout,
            max_message: settings.max_message,
        })
    }

    pub(super) fn line(&self) -> watch::Receiver<Phase> {
        self.line.clone()
    }

    /// Publishes one message and waits for its confirm, both within the time limit. Must run to its end: whoever
    /// calls it does so in a task of its own.
    pub(super) async fn publish(&self, to: &Target, letter: &Letter) -> Result<(), PublishError> {
        if letter.body.len() > self.max_message {
            return Err(PublishError::TooLarge);
        }
        let deadline = Instant::now() + self.publish_timeout;
        let _permit = self.permit(deadline).await.map_err(PublishError::NotSent)?;
        let wire = self.wire().map_err(PublishError::NotSent)?;
        let address = Address::of(to, letter, self.application, &wire.user).map_err(PublishError::NotSent)?;
        let channel = self.checkout(&wire, deadline).await.map_err(PublishError::NotSent)?;
        let outcome = exchange(&channel.channel, to, address, letter, deadline).await;
        match &outcome {
            Ok(()) | Err(PublishError::Refused) => self.put_back(channel),
            Err(PublishError::Unroutable) if channel.channel.status().connected() => self.put_back(channel),
            Err(_) => discard(channel),
        }
        outcome
    }

    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, NotSent> {
        match timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(NotSent::NoChannel),
        }
    }

    fn wire(&self) -> Result<Arc<Wire>, NotSent> {
        match &*self.line.borrow() {
            Phase::Ready(wire) => Ok(Arc::clone(wire)),
            Phase::Blocked(_, why) => Err(NotSent::Blocked(why.clone())),
            Phase::Away(cause) => Err(NotSent::Away(cause.clone())),
        }
    }

    async fn checkout(&self, wire: &Wire, deadline: Instant) -> Result<ConfirmChannel, NotSent> {
        if let Some(channel) = self.idle_on(wire.number) {
            return Ok(channel);
        }
        let open = async {
            let channel = wire.connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        };
        let channel = timeout_at(deadline, open).await.map_err(|_| NotSent::NoChannel)?;
        channel
            .map(|channel| ConfirmChannel { channel, wire: wire.number })
            .map_err(|cause| NotSent::Channel(Box::new(cause)))
    }

    /// An idle channel of this connection; those of earlier ones are dropped on the way.
    fn idle_on(&self, wire: u64) -> Option<ConfirmChannel> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|channel| channel.wire == wire && channel.channel.status().connected());
        idle.pop()
    }

    fn put_back(&self, channel: ConfirmChannel) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }
}

/// What of a message can be too long for AMQP, checked before anything is sent.
struct Address {
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
}

impl Address {
    fn of(to: &Target, letter: &Letter, app: &str, user: &str) -> Result<Self, NotSent> {
        Ok(Self {
            exchange: short(&to.exchange, "the exchange's name")?,
            routing_key: short(&to.routing_key, "the routing key")?,
            properties: letter.properties(app, Some(user), Timestamp::now())?,
        })
    }
}

/// The write and the confirm: from here on an error may mean that the message is stored all the same.
async fn exchange(
    channel: &Channel,
    to: &Target,
    address: Address,
    letter: &Letter,
    deadline: Instant,
) -> Result<(), PublishError> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let written = channel.basic_publish(
        address.exchange,
        address.routing_key,
        options,
        &letter.body,
        address.properties,
    );
    let confirm = match timeout_at(deadline, written).await {
        Ok(Ok(confirm)) => confirm,
        Ok(Err(cause)) => return Err(failed(to, cause)),
        Err(_) => return Err(PublishError::Unknown(Unconfirmed::NotTaken)),
    };
    match timeout_at(deadline, confirm).await {
        Ok(Ok(Confirmation::Ack(None))) => Ok(()),
        Ok(Ok(Confirmation::Ack(Some(_)))) => Err(PublishError::Unroutable),
        Ok(Ok(Confirmation::Nack(_))) => Err(PublishError::Refused),
        Ok(Ok(Confirmation::NotRequested)) => Err(PublishError::Unknown(Unconfirmed::ConfirmsOff)),
        Ok(Err(cause)) => Err(failed(to, cause)),
        Err(_) => Err(PublishError::Unknown(Unconfirmed::Late)),
    }
}

/// The broker's own refusals are certain; any other error leaves open what became of the message.
fn failed(to: &Target, cause: lapin::Error) -> PublishError {
    if let ErrorKind::ProtocolError(answer) = cause.kind() {
        match answer.get_id() {
            NOT_FOUND => return PublishError::Unroutable,
            ACCESS_REFUSED => {
                return PublishError::NotSent(NotSent::Denied { exchange: to.exchange.clone() });
            }
            _ => {}
        }
    }
    PublishError::Unknown(Unconfirmed::Connection(Box::new(cause)))
}

/// Closes a channel in the background: on a blocked connection the close hangs as well.
fn discard(channel: ConfirmChannel) {
    drop(tokio::spawn(async move {
        let closed = channel.channel.close(200, ShortString::default());
        if tokio::time::timeout(CLOSING, closed).await.is_err() {
            tracing::debug!("a publishing channel was given up without the broker's answer");
        }
    }));
}
