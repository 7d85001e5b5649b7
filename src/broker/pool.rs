//! A pool of publishing channels, each used by one publish at a time.
//!
//! lapin attaches a returned message to the next confirm of the channel, even if that confirm is
//! for another message, and two tasks on one channel can get each other's confirms. With one
//! publish in flight per channel, neither can happen.
//!
//! Invariant: a channel returns to the pool only when nothing on it is outstanding. After a timeout
//! or an error it is closed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::connection::{ConnectionState, OpenConnection};
use super::error::{NotSent, PublishError, Unconfirmed};
use super::link::LinkSettings;
use super::message::{RawMessage, Target};
use super::short::short;

/// Time limit of closing a broken channel.
const CLOSING: Duration = Duration::from_secs(5);
const NOT_FOUND: u16 = 404;
const ACCESS_REFUSED: u16 = 403;

/// A channel in confirm mode.
struct ConfirmChannel {
    channel: Channel,
    /// The number of the connection that the channel belongs to.
    connection: u64,
}

pub(super) struct Pool {
    state: watch::Receiver<ConnectionState>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<ConfirmChannel>>,
    application: &'static str,
    publish_timeout: Duration,
    max_message: usize,
}

impl Pool {
    pub(super) fn new(state: watch::Receiver<ConnectionState>, settings: &LinkSettings) -> Arc<Self> {
        Arc::new(Self {
            state,
            permits: Arc::new(Semaphore::new(usize::from(settings.channels.max(1)))),
            idle: Mutex::new(Vec::new()),
            application: settings.application.name,
            publish_timeout: settings.publish_timeout,
            max_message: settings.max_message,
        })
    }

    pub(super) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    /// Publishes one message and waits for its confirm, within the time limit. The publish must run
    /// to its end, so call this in its own task.
    pub(super) async fn publish(&self, to: &Target, raw: &RawMessage) -> Result<(), PublishError> {
        if raw.body.len() > self.max_message {
            return Err(PublishError::TooLarge);
        }
        let deadline = Instant::now() + self.publish_timeout;
        let _permit = self.permit(deadline).await.map_err(PublishError::NotSent)?;
        let conn = self.conn().map_err(PublishError::NotSent)?;
        let envelope = Envelope::of(to, raw, self.application, &conn.user).map_err(PublishError::NotSent)?;
        let channel = self.checkout(&conn, deadline).await.map_err(PublishError::NotSent)?;
        let outcome = write_and_confirm(&channel.channel, to, envelope, raw, deadline).await;
        if is_settled(&outcome) && channel.channel.status().connected() {
            self.put_back(channel);
        } else {
            discard(channel);
        }
        outcome
    }

    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, NotSent> {
        match timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(NotSent::NoChannel),
        }
    }

    fn conn(&self) -> Result<Arc<OpenConnection>, NotSent> {
        match &*self.state.borrow() {
            ConnectionState::Ready(conn) => Ok(Arc::clone(conn)),
            ConnectionState::Blocked(_, why) => Err(NotSent::Blocked(why.clone())),
            ConnectionState::Away(cause) | ConnectionState::Refused(cause) => {
                Err(NotSent::Away(cause.clone()))
            }
        }
    }

    async fn checkout(&self, conn: &OpenConnection, deadline: Instant) -> Result<ConfirmChannel, NotSent> {
        if let Some(channel) = self.idle_on(conn.number) {
            return Ok(channel);
        }
        let open = async {
            let channel = conn.connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        };
        let channel = timeout_at(deadline, open).await.map_err(|_| NotSent::NoChannel)?;
        channel
            .map(|channel| ConfirmChannel { channel, connection: conn.number })
            .map_err(|cause| NotSent::Channel(Box::new(cause)))
    }

    /// Takes an idle channel of this connection, and drops the channels of earlier connections.
    fn idle_on(&self, connection: u64) -> Option<ConfirmChannel> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|channel| channel.connection == connection && channel.channel.status().connected());
        idle.pop()
    }

    fn put_back(&self, channel: ConfirmChannel) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }
}

/// Whether the broker has answered, so that nothing is outstanding on the channel.
fn is_settled(outcome: &Result<(), PublishError>) -> bool {
    match outcome {
        Ok(()) | Err(PublishError::Refused | PublishError::Unroutable) => true,
        Err(PublishError::NotSent(_) | PublishError::Unknown(_) | PublishError::TooLarge) => false,
    }
}

/// The parts of a message that can be too long for AMQP, checked before anything is sent.
struct Envelope {
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
}

impl Envelope {
    fn of(to: &Target, raw: &RawMessage, app: &str, user: &str) -> Result<Self, NotSent> {
        Ok(Self {
            exchange: short(&to.exchange, "the exchange's name")?,
            routing_key: short(&to.routing_key, "the routing key")?,
            properties: raw.properties(app, Some(user), Timestamp::now())?,
        })
    }
}

/// Writes the message and waits for the confirm. Even after an error, the message may be stored.
async fn write_and_confirm(
    channel: &Channel,
    to: &Target,
    envelope: Envelope,
    raw: &RawMessage,
    deadline: Instant,
) -> Result<(), PublishError> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let written = channel.basic_publish(
        envelope.exchange,
        envelope.routing_key,
        options,
        &raw.body,
        envelope.properties,
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

/// Classifies an error: if the exchange is missing or access is refused, the message is certainly
/// not stored; after any other error it may be stored.
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

/// Closes a channel in the background, because on a blocked connection closing hangs, too.
fn discard(channel: ConfirmChannel) {
    drop(tokio::spawn(async move {
        let closed = channel.channel.close(200, ShortString::default());
        if tokio::time::timeout(CLOSING, closed).await.is_err() {
            tracing::debug!("the broker did not answer to the close of a publishing channel");
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a reused channel, the late confirm would count for the next message.
    #[test]
    fn a_channel_is_not_used_again_while_an_answer_may_still_come() {
        for settled in [Ok(()), Err(PublishError::Refused), Err(PublishError::Unroutable)] {
            assert!(is_settled(&settled), "{settled:?}");
        }
        for open in [Unconfirmed::NotTaken, Unconfirmed::Late, Unconfirmed::ConfirmsOff] {
            assert!(!is_settled(&Err(PublishError::Unknown(open))));
        }
        assert!(!is_settled(&Err(PublishError::NotSent(NotSent::NoChannel))));
    }
}
