//! The only consumer loop.
//!
//! Invariant: every delivery is settled exactly once, by an acknowledgement that follows the confirm of whatever
//! took its place; what cannot be settled goes back to its queue by the end of its channel, never by a `nack`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::backoff::Backoff;
use super::connection::spell;
use super::delivery::Handler;
use super::error::BrokerError;
use super::link::{Link, LinkState};
use super::queue::WorkQueue;
use super::unsettled::{Stage, process};

/// The broker's answer to the end of a consumer or channel is awaited no longer than this.
const CLOSING: Duration = Duration::from_secs(2);

/// How a queue is consumed.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// How many messages are handled at once.
    pub prefetch: u16,
    /// How long what is held may take to finish after the stop.
    pub drain: Duration,
    /// How long a message is held whose follow-up the broker does not take, before it goes back.
    pub patience: Duration,
    /// The longest pause before a lost consumer is made again.
    pub reopen_max: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            prefetch: 32,
            drain: Duration::from_secs(25),
            patience: Duration::from_secs(60),
            reopen_max: Duration::from_secs(5),
        }
    }
}

/// Consumes a queue until `stop` is cancelled; returns when everything held is settled, or the drain time is over.
pub async fn consume<H: Handler>(
    link: &Link,
    queue: &WorkQueue,
    settings: ConsumerSettings,
    handler: Arc<H>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(settings.reopen_max);
    let permits = Arc::new(Semaphore::new(usize::from(settings.prefetch.max(1))));
    let stage =
        Stage { handler, publisher: link.publisher(), queue: queue.clone(), patience: settings.patience };
    let mut work = Work { stage: Arc::new(stage), settings, permits, tasks: JoinSet::new(), stop };
    while work.link_is_there(link).await {
        let opened = Instant::now();
        let cause = match work.session(link).await {
            Ok(End::Stopped) => break,
            Ok(End::Lost(cause)) => cause,
            Err(cause) => spell(&cause),
        };
        if opened.elapsed() > work.settings.reopen_max {
            backoff.reset();
        }
        let wait = backoff.next(fastrand::f64());
        tracing::warn!(stage = H::NAME, queue = queue.name(), cause, "the consumer is opened again");
        tokio::select! {
            () = work.stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    work.finish().await;
    tracing::info!(stage = H::NAME, queue = queue.name(), "the consumer has stopped");
}

/// Why a session ended.
enum End {
    Stopped,
    Lost(String),
}

struct Work<H> {
    stage: Arc<Stage<H>>,
    settings: ConsumerSettings,
    /// Over all sessions: what a lost session still handles counts against what the next one may.
    permits: Arc<Semaphore>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl<H: Handler> Work<H> {
    /// Waits for the link; false when the consumer is to stop.
    async fn link_is_there(&self, link: &Link) -> bool {
        let mut state = link.state();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            connected = state.wait_for(|state| !matches!(state, LinkState::Away(_))) => connected.is_ok(),
        }
    }

    /// One consumer on one channel, until it is lost or no longer wanted.
    async fn session(&mut self, link: &Link) -> Result<End, BrokerError> {
        let wire = link.wire()?;
        let channel = wire.connection.create_channel().await?;
        channel.basic_qos(self.settings.prefetch.max(1), BasicQosOptions::default()).await?;
        let mut consumer = self.subscribe(&channel).await?;
        let stuck = CancellationToken::new();
        tracing::info!(stage = H::NAME, queue = self.stage.queue.name(), "consuming");
        let end = loop {
            let (delivery, permit) = tokio::select! {
                biased;
                () = self.stop.cancelled() => break End::Stopped,
                () = stuck.cancelled() => break End::Lost("a delivery could not be settled".to_owned()),
                next = next(&mut consumer, &self.permits) => match next {
                    Ok(next) => next,
                    Err(cause) => return Ok(End::Lost(cause)),
                },
            };
            while self.tasks.try_join_next().is_some() {}
            let (stage, user, stuck) = (Arc::clone(&self.stage), wire.user.clone(), stuck.clone());
            self.tasks.spawn(async move {
                process(&stage, delivery, &user, &stuck).await;
                drop(permit);
            });
        };
        self.give_back(&channel, &consumer).await;
        Ok(end)
    }

    async fn subscribe(&self, channel: &Channel) -> Result<Consumer, lapin::Error> {
        let name = |text: &str| {
            ShortString::try_new(text).map_err(|cause| lapin::Error::from(std::io::Error::other(cause)))
        };
        let tag = format!("{}.{}", H::NAME, Uuid::new_v4().simple());
        let options = BasicConsumeOptions::default();
        channel
            .basic_consume(name(self.stage.queue.name())?, name(&tag)?, options, FieldTable::default())
            .await
    }

    /// Takes nothing more, lets what is held finish within the drain time, and ends the channel, by which everything
    /// that is not settled goes back to the queue.
    async fn give_back(&mut self, channel: &Channel, consumer: &Consumer) {
        let cancelled = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        if !matches!(timeout(CLOSING, cancelled).await, Ok(Ok(()))) {
            tracing::debug!("the broker did not take the end of the consumer");
        }
        self.finish().await;
        if !matches!(timeout(CLOSING, channel.close(200, ShortString::default())).await, Ok(Ok(()))) {
            tracing::debug!("the broker did not take the end of the channel");
        }
    }

    async fn finish(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(self.settings.drain, all).await.is_err() {
            tracing::warn!(
                stage = H::NAME,
                held = self.tasks.len(),
                "not finished within the drain time: the messages go back"
            );
            self.tasks.shutdown().await;
        }
    }
}

/// The next delivery and the right to handle it; an error says why there will be none.
async fn next(
    consumer: &mut Consumer,
    permits: &Arc<Semaphore>,
) -> Result<(Delivery, OwnedSemaphorePermit), String> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(|cause| cause.to_string())?;
    match consumer.next().await {
        Some(Ok(delivery)) => Ok((delivery, permit)),
        Some(Err(cause)) => Err(spell(&cause)),
        None => Err("the broker ended the consumer: is the queue still there?".to_owned()),
    }
}
