//! Listens to a fanout exchange: each listener has its own queue, which the broker deletes when the
//! connection ends.
//!
//! Invariant: this module carries only copies of messages. Nothing is acknowledged, and messages
//! are lost when the connection is lost or the queue is full, so the publisher keeps the originals
//! elsewhere.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::backoff::Backoff;
use super::error::{BrokerError, chain};
use super::link::{Link, LinkState};
use super::short::short;

/// Time limit of opening the channel and the queue.
const OPENING: Duration = Duration::from_secs(10);
/// The longest pause before a lost queue is opened again.
const REOPEN_MAX: Duration = Duration::from_secs(5);

/// What to listen to.
#[derive(Debug, Clone, Copy)]
pub struct Subscription {
    pub exchange: &'static str,
    /// Maximum number of messages that wait in the queue. When there are more, the broker drops the
    /// oldest.
    pub max_length: u32,
}

/// Receives the messages of a fanout exchange.
pub trait Listener: Send + Sync {
    /// Called with `true` when messages begin to arrive, and with `false` when they stop arriving.
    fn listening(&self, active: bool);

    /// Called with the body of each message.
    fn received(&self, body: &[u8]);
}

/// Listens until `stop` is cancelled. Subscribes again after every loss of the connection.
pub async fn listen(
    link: &Link,
    subscription: Subscription,
    listener: &dyn Listener,
    stop: &CancellationToken,
) {
    let mut backoff = Backoff::new(REOPEN_MAX);
    let all = async {
        let mut state = link.state();
        loop {
            // The sender is dropped only when the link is closed.
            if state.wait_for(LinkState::is_open).await.is_err() {
                return;
            }
            let cause = match session(link, subscription, listener, &mut backoff).await {
                Ok(()) => "the broker ended the subscription".to_owned(),
                Err(cause) => chain(&cause),
            };
            listener.listening(false);
            tracing::warn!(
                exchange = subscription.exchange,
                cause,
                "the subscription was lost and is opened again"
            );
            sleep(backoff.next(fastrand::f64())).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = all => {}
    }
    listener.listening(false);
}

/// Receives messages from one queue on one channel, until the channel is lost.
async fn session(
    link: &Link,
    subscription: Subscription,
    listener: &dyn Listener,
    backoff: &mut Backoff,
) -> Result<(), BrokerError> {
    let conn = link.consuming()?;
    let slow = |_| BrokerError::Slow(OPENING);
    // The channel is kept, because dropping it would close it.
    let (_channel, mut consumer) =
        timeout(OPENING, open(&conn.connection, subscription)).await.map_err(slow)??;
    backoff.reset();
    listener.listening(true);
    tracing::info!(exchange = subscription.exchange, "subscribed");
    loop {
        let next = tokio::select! {
            () = link.lost(&conn) => return Ok(()),
            next = consumer.next() => next,
        };
        match next {
            Some(delivery) => listener.received(&delivery?.data),
            None => return Ok(()),
        }
    }
}

async fn open(
    connection: &Connection,
    Subscription { exchange, max_length }: Subscription,
) -> Result<(Channel, Consumer), BrokerError> {
    let channel = connection.create_channel().await?;
    let name = short(&format!("{exchange}.{}", Uuid::new_v4().simple()), "the queue's name")?;
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(i64::from(max_length)));
    channel.queue_declare(name.clone(), options, arguments).await?;
    let (exchange, key) = (short(exchange, "the exchange's name")?, ShortString::default());
    channel
        .queue_bind(name.clone(), exchange, key, QueueBindOptions::default(), FieldTable::default())
        .await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(name.clone(), name, options, FieldTable::default()).await?;
    Ok((channel, consumer))
}
