//! The copies of answers that a front listens to: each has a queue of its own on the exchange `answers`, which the
//! broker deletes with the connection.
//!
//! Invariant: what comes by here is only faster than the confirmer. Nothing is acknowledged, and what is lost, with the
//! connection or over the bound of the queue, is found by reading.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::backoff::Backoff;
use super::connection::spell;
use super::consumer::short;
use super::error::BrokerError;
use super::link::{Link, LinkState};
use super::names;

/// The broker's answer to each step is awaited no longer than this.
const OPENING: Duration = Duration::from_secs(10);
/// The longest pause before a lost queue is made again.
const REOPEN_MAX: Duration = Duration::from_secs(5);
/// More than a front can have callers waiting for; of what is more the oldest goes.
const MOST: i32 = 10_000;

/// Who gets the copies.
pub trait Listener: Send + Sync {
    /// Whether copies come at the moment: while they do not, there is no use in waiting for one.
    fn listening(&self, is: bool);

    /// A copy, as it was published.
    fn heard(&self, body: &[u8]);
}

/// Listens until `stop` is cancelled, over every loss of the connection.
pub async fn listen(link: &Link, listener: &dyn Listener, stop: &CancellationToken) {
    let mut backoff = Backoff::new(REOPEN_MAX);
    let all = async {
        let mut state = link.state();
        loop {
            // The link is as good as closed when nobody tells its state any more.
            if state.wait_for(|state| !matches!(state, LinkState::Away(_))).await.is_err() {
                return;
            }
            let cause = match session(link, listener, &mut backoff).await {
                Ok(()) => "the broker ended it".to_owned(),
                Err(cause) => spell(&cause),
            };
            listener.listening(false);
            tracing::warn!(exchange = names::ANSWERS, cause, "answers are listened for again");
            sleep(backoff.next(fastrand::f64())).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = all => {}
    }
    listener.listening(false);
}

/// One queue on one channel, until it is lost.
async fn session(link: &Link, listener: &dyn Listener, backoff: &mut Backoff) -> Result<(), BrokerError> {
    let wire = link.wire()?;
    let slow = |_| BrokerError::Slow(OPENING);
    // The channel lives as long as the consumer that is read here.
    let (_channel, mut consumer) = timeout(OPENING, open(&wire.connection)).await.map_err(slow)??;
    backoff.reset();
    listener.listening(true);
    tracing::info!(exchange = names::ANSWERS, "answers are listened for");
    loop {
        let next = tokio::select! {
            () = link.lost(&wire) => return Ok(()),
            next = consumer.next() => next,
        };
        match next {
            Some(delivery) => listener.heard(&delivery?.data),
            None => return Ok(()),
        }
    }
}

async fn open(connection: &Connection) -> Result<(Channel, Consumer), BrokerError> {
    let channel = connection.create_channel().await?;
    let name = short(&format!("{}.{}", names::ANSWERS, Uuid::new_v4().simple()))?;
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert(short("x-max-length")?, AMQPValue::LongInt(MOST));
    channel.queue_declare(name.clone(), options, arguments).await?;
    let (exchange, key) = (short(names::ANSWERS)?, ShortString::default());
    channel
        .queue_bind(name.clone(), exchange, key, QueueBindOptions::default(), FieldTable::default())
        .await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(name.clone(), name, options, FieldTable::default()).await?;
    Ok((channel, consumer))
}
