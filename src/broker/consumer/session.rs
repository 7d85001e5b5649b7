//! One consumer on one channel: from its opening until the channel is lost or must be closed.
//!
//! Invariant: the consumer is never cancelled. Deliveries that are not settled return to the queue
//! when the channel is closed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use uuid::Uuid;

use super::Work;
use crate::broker::breaker::Allowed;
use crate::broker::delivery::Handler;
use crate::broker::error::{BrokerError, chain};
use crate::broker::link::Link;
use crate::broker::short::short;
use crate::broker::unsettled::{Session, process};

/// Time limit of closing a channel.
const CLOSING: Duration = Duration::from_secs(2);

/// Why a session ended.
pub(super) enum End {
    /// `stop` was cancelled.
    Stopped,
    /// The breakers allow more or less than before.
    BreakersChanged,
    /// The channel is open but can no longer be used.
    Stuck(&'static str),
    /// The channel is gone.
    Gone(String),
}

impl<H: Handler> Work<H> {
    /// Runs one consumer on one channel until the channel is lost or must be closed.
    pub(super) async fn session(&mut self, link: &Link, allowed: Allowed) -> Result<End, BrokerError> {
        let conn = link.consuming()?;
        let prefetch = if allowed == Allowed::Everything { self.settings.prefetch.max(1) } else { 1 };
        let (channel, mut consumer) = self.open(&conn.connection, prefetch).await?;
        let session = Session::default();
        let end = loop {
            let quiet = tokio::time::sleep(self.settings.idle);
            let (delivery, permit) = tokio::select! {
                biased;
                () = self.stop.cancelled() => break End::Stopped,
                () = session.stuck.cancelled() => break End::Stuck("a delivery could not be settled"),
                _ = self.breakers.changed_from(allowed) => break End::BreakersChanged,
                () = link.lost(&conn) => break End::Gone("the connection is lost".to_owned()),
                next = next(&mut consumer, &self.permits) => match next {
                    Ok(next) => next,
                    Err(cause) => break End::Gone(cause),
                },
                () = quiet => match timeout(self.settings.opening, self.is_overdue(&channel)).await {
                    Ok(Ok(false)) => continue,
                    Ok(Ok(true)) => break End::Stuck("the queue has messages, but the broker delivers none"),
                    Ok(Err(cause)) => break End::Gone(chain(&cause)),
                    Err(_) => break End::Gone("the broker does not answer".to_owned()),
                },
            };
            self.begin(delivery, permit, &conn.user, &session);
        };
        match end {
            End::BreakersChanged => self.let_finish(&channel).await,
            End::Stopped | End::Stuck(_) => self.give_back(&channel).await,
            End::Gone(_) => {}
        }
        session.gone.cancel();
        Ok(end)
    }

    async fn open(&self, connection: &Connection, prefetch: u16) -> Result<(Channel, Consumer), BrokerError> {
        let opening = self.settings.opening;
        let slow = |_| BrokerError::Slow(opening);
        let channel = timeout(opening, connection.create_channel()).await.map_err(slow)??;
        let failed = match timeout(opening, self.subscribe(&channel, prefetch)).await {
            Ok(Ok(consumer)) => return Ok((channel, consumer)),
            Ok(Err(refused)) => refused,
            Err(elapsed) => slow(elapsed),
        };
        // A queue without a leader may still accept the consumer after we have given up. Nobody
        // would read the deliveries, and the broker would give them to no other consumer while the
        // channel is open.
        close_or_give_up(channel.close(200, ShortString::default())).await;
        Err(failed)
    }

    fn begin(&mut self, delivery: Delivery, permit: OwnedSemaphorePermit, user: &str, session: &Session) {
        while self.tasks.try_join_next().is_some() {}
        let (stage, user, session) = (Arc::clone(&self.stage), user.to_owned(), session.clone());
        self.tasks.spawn(async move {
            process(&stage, delivery, &user, &session).await;
            drop(permit);
        });
    }

    /// Whether the broker fails to deliver messages that this process has permits for, or the queue
    /// has lost its consumer.
    async fn is_overdue(&self, channel: &Channel) -> Result<bool, BrokerError> {
        if self.permits.available_permits() == 0 {
            return Ok(false);
        }
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel
            .queue_declare(
                short(self.stage.queue.name(), "the queue's name")?,
                options,
                FieldTable::default(),
            )
            .await?;
        Ok(queue.message_count() > 0 || queue.consumer_count() == 0)
    }

    async fn subscribe(&self, channel: &Channel, prefetch: u16) -> Result<Consumer, BrokerError> {
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let tag = format!("{}.{}", H::NAME, Uuid::new_v4().simple());
        let options = BasicConsumeOptions::default();
        let (queue, tag) =
            (short(self.stage.queue.name(), "the queue's name")?, short(&tag, "the consumer's tag")?);
        let consumer = channel.basic_consume(queue, tag, options, FieldTable::default()).await?;
        tracing::info!(stage = H::NAME, queue = self.stage.queue.name(), "consuming");
        Ok(consumer)
    }

    /// Lets the deliveries in flight finish within the drain time and closes the channel, which
    /// returns all other deliveries to the queue. The consumer is not cancelled first: if the node
    /// of a cancelled consumer is killed, its quorum queue keeps the unacknowledged messages for
    /// that consumer for ever (RabbitMQ 3.10.8).
    async fn give_back(&mut self, channel: &Channel) {
        self.finish().await;
        close_or_give_up(channel.close(200, ShortString::default())).await;
    }

    /// Like `give_back`, but lets the deliveries take as long as `patience`: when a breaker opens,
    /// a delivery in flight may be a slow write that still succeeds, and aborting it would leave
    /// its result unknown.
    async fn let_finish(&mut self, channel: &Channel) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = self.stop.cancelled() => self.finish().await,
            () = tokio::time::sleep(self.settings.patience) => {
                tracing::warn!(stage = H::NAME, in_flight = self.tasks.len(), "not finished: the messages return to their queue");
                self.tasks.shutdown().await;
            }
        }
        close_or_give_up(channel.close(200, ShortString::default())).await;
    }
}

/// Closes a channel. A broker that is gone does not answer, but then the channel is closed, too.
async fn close_or_give_up(close: impl Future<Output = lapin::Result<()>>) {
    if !matches!(timeout(CLOSING, close).await, Ok(Ok(()))) {
        tracing::debug!("the broker did not answer to the close of a consuming channel");
    }
}

/// Returns the next delivery with its permit. The error says why no more deliveries will come.
async fn next(
    consumer: &mut Consumer,
    permits: &Arc<Semaphore>,
) -> Result<(Delivery, OwnedSemaphorePermit), String> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(|cause| cause.to_string())?;
    match consumer.next().await {
        Some(Ok(delivery)) => Ok((delivery, permit)),
        Some(Err(cause)) => Err(chain(&cause)),
        None => Err("the broker ended the consumer: is the queue still there?".to_owned()),
    }
}
