//! The only consumer loop.
//!
//! Invariant: every delivery is settled exactly once: it is acknowledged after the message that
//! takes its place is confirmed. A delivery that cannot be settled returns to its queue when its
//! channel is closed, never by a `nack`.

mod settings;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::short::short;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use settings::ConsumerSettings;

use super::backoff::Backoff;
use super::breaker::{Allowed, BreakerWatch};
use super::delivery::Handler;
use super::error::{BrokerError, chain};
use super::link::{Link, LinkState};
use super::queue::WorkQueue;
use super::unsettled::{Session, StageContext, process};

/// Time limit of closing a channel.
const CLOSING: Duration = Duration::from_secs(2);

/// Consumes a queue until `stop` is cancelled. Returns when all deliveries in flight are settled or
/// the drain time is over.
pub async fn consume<H: Handler>(
    link: &Link,
    queue: &WorkQueue,
    settings: ConsumerSettings,
    handler: Arc<H>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(settings.reopen_max);
    let permits = Arc::new(Semaphore::new(usize::from(settings.prefetch.max(1))));
    let stage = StageContext {
        handler,
        publisher: link.publisher(),
        queue: queue.clone(),
        application: link.application(),
        handling: settings.handling,
        patience: settings.patience,
        observer: link.observer(),
        in_flight: AtomicUsize::new(0),
    };
    let breakers = BreakerWatch::of(&settings.breakers);
    let mut work = Work { stage: Arc::new(stage), settings, permits, breakers, tasks: JoinSet::new(), stop };
    while work.link_is_there(link).await {
        let Some(allowed) = work.wait_for_breakers().await else { break };
        let opened = Instant::now();
        let cause = match work.session(link, allowed).await {
            Ok(End::Stopped) => break,
            Ok(End::BreakersChanged) => continue,
            Ok(End::Stuck(cause)) => cause.to_owned(),
            Ok(End::Gone(cause)) => cause,
            Err(cause) => chain(&cause),
        };
        if opened.elapsed() > work.settings.reopen_max {
            backoff.reset();
        }
        let wait = backoff.next(fastrand::f64());
        report_lost(H::NAME, queue.name(), &cause);
        tokio::select! {
            () = work.stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    work.finish().await;
    tracing::info!(stage = H::NAME, queue = queue.name(), "the consumer has stopped");
}

fn report_lost(stage: &str, queue: &str, cause: &str) {
    tracing::warn!(stage, queue, cause, "the consumer ended and is opened again");
}

/// Why a session ended.
enum End {
    /// `stop` was cancelled.
    Stopped,
    /// The breakers allow more or less than before.
    BreakersChanged,
    /// The channel is open but can no longer be used.
    Stuck(&'static str),
    /// The channel is gone.
    Gone(String),
}

struct Work<H> {
    stage: Arc<StageContext<H>>,
    settings: ConsumerSettings,
    /// Shared by all sessions, so that deliveries of a lost session that are still being handled
    /// count towards the prefetch of the next session.
    permits: Arc<Semaphore>,
    breakers: BreakerWatch,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl<H: Handler> Work<H> {
    /// Waits until the links are connected. Returns false when the consumer must stop.
    async fn link_is_there(&self, link: &Link) -> bool {
        let mut state = link.state();
        let all = async {
            for onward in &mut self.settings.onward.clone() {
                onward.wait_for(LinkState::is_connected).await?;
            }
            state.wait_for(|state| !matches!(state, LinkState::Away(_))).await.map(drop)
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            connected = all => connected.is_ok(),
        }
    }

    /// Waits until the breakers allow something. Returns `None` when the consumer must stop.
    async fn wait_for_breakers(&mut self) -> Option<Allowed> {
        let allowed = self.breakers.allowed();
        if allowed != Allowed::Nothing {
            return Some(allowed);
        }
        tracing::info!(
            stage = H::NAME,
            queue = self.stage.queue.name(),
            "the consumer pauses: a breaker is open"
        );
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            allowed = self.breakers.changed_from(Allowed::Nothing) => Some(allowed),
        }
    }

    /// Runs one consumer on one channel until the channel is lost or must be closed.
    async fn session(&mut self, link: &Link, allowed: Allowed) -> Result<End, BrokerError> {
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

    async fn finish(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(self.settings.drain, all).await.is_err() {
            tracing::warn!(
                stage = H::NAME,
                in_flight = self.tasks.len(),
                "not finished within the drain time: the messages return to their queue"
            );
            self.tasks.shutdown().await;
        }
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
