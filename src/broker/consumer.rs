//! The only consumer loop.
//!
//! Invariant: every delivery is settled exactly once, by an acknowledgement that follows the confirm of whatever
//! took its place; what cannot be settled goes back to its queue by the end of its channel, never by a `nack`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::short::short;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::backoff::Backoff;
use super::breaker::{Breaker, Gates, Width};
use super::delivery::Handler;
use super::error::{BrokerError, chain};
use super::link::{Link, LinkState};
use super::queue::WorkQueue;
use super::unsettled::{Session, Stage, process};

/// The broker's answer to the end of a consumer or channel is awaited no longer than this.
const CLOSING: Duration = Duration::from_secs(2);

/// How a queue is consumed.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// How many messages are handled at once.
    pub prefetch: u16,
    /// How long what is held may take to finish after the stop.
    pub drain: Duration,
    /// How long the handler may take; a database that is silent for good would hold the message for ever.
    pub handling: Duration,
    /// How long a message is held whose follow-up the broker does not take, before it goes back.
    pub patience: Duration,
    /// The longest pause before a lost consumer is made again.
    pub reopen_max: Duration,
    /// How long nothing may come before the queue is asked whether there is nothing. A consumer whose queue
    /// is deleted and made again is not always told.
    pub look: Duration,
    /// How long the broker may take to make a consumer. lapin does not always fail what it waits for when the
    /// connection goes, so nothing is awaited without a limit.
    pub opening: Duration,
    /// What the stage depends on: while one of these is open, nothing is consumed.
    pub breakers: Vec<Breaker>,
    /// The other links that the stage publishes to: without them nothing is begun, for it could not be handed on.
    pub onward: Vec<watch::Receiver<LinkState>>,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            prefetch: 32,
            drain: Duration::from_secs(25),
            handling: Duration::from_secs(180),
            patience: Duration::from_secs(60),
            reopen_max: Duration::from_secs(5),
            look: Duration::from_secs(30),
            opening: Duration::from_secs(10),
            breakers: Vec::new(),
            onward: Vec::new(),
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
    let stage = Stage {
        handler,
        publisher: link.publisher(),
        queue: queue.clone(),
        application: link.application(),
        handling: settings.handling,
        patience: settings.patience,
        observer: link.observer(),
        held: AtomicUsize::new(0),
    };
    let gates = Gates::of(&settings.breakers);
    let mut work = Work { stage: Arc::new(stage), settings, permits, gates, tasks: JoinSet::new(), stop };
    while work.link_is_there(link).await {
        let Some(width) = work.allowed().await else { break };
        let opened = Instant::now();
        let cause = match work.session(link, width).await {
            Ok(End::Stopped) => break,
            Ok(End::Narrowed) => continue,
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
    tracing::warn!(stage, queue, cause, "the consumer is opened again");
}

/// Why a session ended.
enum End {
    /// The consumer is to stop.
    Stopped,
    /// A breaker wants it narrower or wider, or not at all.
    Narrowed,
    /// The channel is there, but it does not serve any more.
    Stuck(&'static str),
    /// The channel is not there any more.
    Gone(String),
}

struct Work<H> {
    stage: Arc<Stage<H>>,
    settings: ConsumerSettings,
    /// Over all sessions: what a lost session still handles counts against what the next one may.
    permits: Arc<Semaphore>,
    gates: Gates,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl<H: Handler> Work<H> {
    /// Waits for the link; false when the consumer is to stop.
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

    /// Waits until the breakers let anything pass, and says how much; `None` when the consumer is to stop.
    async fn allowed(&mut self) -> Option<Width> {
        let width = self.gates.width();
        if width != Width::Shut {
            return Some(width);
        }
        tracing::info!(stage = H::NAME, queue = self.stage.queue.name(), "the consumer pauses");
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            width = self.gates.other_than(Width::Shut) => Some(width),
        }
    }

    /// One consumer on one channel, until it is lost or no longer wanted.
    async fn session(&mut self, link: &Link, width: Width) -> Result<End, BrokerError> {
        let wire = link.wire()?;
        let prefetch = if width == Width::Full { self.settings.prefetch.max(1) } else { 1 };
        let (channel, mut consumer) = self.open(&wire.connection, prefetch).await?;
        let session = Session::default();
        let end = loop {
            let quiet = tokio::time::sleep(self.settings.look);
            let (delivery, permit) = tokio::select! {
                biased;
                () = self.stop.cancelled() => break End::Stopped,
                () = session.stuck.cancelled() => break End::Stuck("a delivery could not be settled"),
                _ = self.gates.other_than(width) => break End::Narrowed,
                () = link.lost(&wire) => break End::Gone("the connection is lost".to_owned()),
                next = next(&mut consumer, &self.permits) => match next {
                    Ok(next) => next,
                    Err(cause) => break End::Gone(cause),
                },
                () = quiet => match timeout(self.settings.opening, self.is_forgotten(&channel)).await {
                    Ok(Ok(false)) => continue,
                    Ok(Ok(true)) => break End::Stuck("the queue has messages, and none comes"),
                    Ok(Err(cause)) => break End::Gone(chain(&cause)),
                    Err(_) => break End::Gone("the broker does not answer".to_owned()),
                },
            };
            self.begin(delivery, permit, &wire.user, &session);
        };
        match end {
            End::Narrowed => self.let_finish(&channel).await,
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
        // A queue that has no leader for a while consents later. Nobody would read what such a consumer is given, and
        // while the connection lasts the broker would give it to nobody else.
        courteous(channel.close(200, ShortString::default())).await;
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

    /// Whether there are messages that we could handle and do not get.
    async fn is_forgotten(&self, channel: &Channel) -> Result<bool, BrokerError> {
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

    /// Begins nothing more, lets what is held finish within the drain time, and ends the channel, by which everything
    /// that is not settled goes back to the queue. The consumer is not cancelled first: what a cancelled consumer of a
    /// quorum queue still holds when its node is killed, the queue keeps for it for ever (3.10.8).
    async fn give_back(&mut self, channel: &Channel) {
        self.finish().await;
        courteous(channel.close(200, ShortString::default())).await;
    }

    /// The same without haste. What is held when a breaker opens may be a write that is slow and succeeds; to cut it off
    /// would leave it in doubt.
    async fn let_finish(&mut self, channel: &Channel) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = self.stop.cancelled() => self.finish().await,
            () = tokio::time::sleep(self.settings.patience) => {
                tracing::warn!(stage = H::NAME, held = self.tasks.len(), "never finished: the messages go back");
                self.tasks.shutdown().await;
            }
        }
        courteous(channel.close(200, ShortString::default())).await;
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

/// A broker that is gone does not answer to an end, and it is one all the same.
async fn courteous(end: impl Future<Output = lapin::Result<()>>) {
    if !matches!(timeout(CLOSING, end).await, Ok(Ok(()))) {
        tracing::debug!("the broker did not answer to the end of a consumer");
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
        Some(Err(cause)) => Err(chain(&cause)),
        None => Err("the broker ended the consumer: is the queue still there?".to_owned()),
    }
}
