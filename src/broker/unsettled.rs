//! One delivery from the socket to its acknowledgement.
//!
//! Invariant: a delivery leaves this module acknowledged after the confirm of its follow-up, or unacknowledged with
//! the session told that it is stuck; a handler that panics or never ends is a transient fault like any other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::backoff::Backoff;
use super::delivery::{Handler, Incoming};
use super::error::{PublishError, chain};
use super::link::Application;
use super::message::{Letter, Target};
use super::observer::Observer;
use super::publisher::Publisher;
use super::queue::{Delay, WorkQueue};
use super::settle::{Cause, Context, Settlement, follow_up};

/// The longest pause between two tries to publish a follow-up.
const PAUSE: Duration = Duration::from_secs(5);

/// What handles the deliveries of one queue.
pub(super) struct Stage<H> {
    pub(super) handler: Arc<H>,
    pub(super) publisher: Publisher,
    pub(super) queue: WorkQueue,
    pub(super) application: Application,
    pub(super) handling: Duration,
    pub(super) patience: Duration,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) held: AtomicUsize,
}

/// What a delivery shares with the consumer that it came from.
#[derive(Clone, Default)]
pub(super) struct Session {
    /// Cancelled where a delivery could not be settled.
    pub(super) stuck: CancellationToken,
    /// Cancelled when the channel is gone: no acknowledgement gets through any more, and lapin may never say so.
    pub(super) gone: CancellationToken,
}

/// Handles and settles one delivery.
pub(super) async fn process<H: Handler>(
    stage: &Stage<H>,
    mut delivery: Delivery,
    us: &str,
    session: &Session,
) {
    let _held = Held::new(stage);
    let message = Incoming::read(&mut delivery, us, Timestamp::now());
    let span = span(stage, &message);
    async {
        let begun = Instant::now();
        let settlement = handle(stage, message.clone()).await;
        count::<H>(&*stage.observer, &settlement, begun.elapsed());
        if let Err(cause) = settle(stage, &delivery, session, message, settlement).await {
            tracing::error!(stage = H::NAME, cause = chain(&cause), "not settled: the message goes back");
            stage.observer.unsettled(H::NAME);
            session.stuck.cancel();
        }
    }
    .instrument(span)
    .await;
}

/// Counts a delivery for as long as it is held, however that ends.
struct Held<'a, H: Handler>(&'a Stage<H>);

impl<'a, H: Handler> Held<'a, H> {
    fn new(stage: &'a Stage<H>) -> Self {
        let before = stage.held.fetch_add(1, Ordering::Relaxed);
        stage.observer.in_flight(H::NAME, before.saturating_add(1));
        Self(stage)
    }
}

impl<H: Handler> Drop for Held<'_, H> {
    fn drop(&mut self) {
        let before = self.0.held.fetch_sub(1, Ordering::Relaxed);
        self.0.observer.in_flight(H::NAME, before.saturating_sub(1));
    }
}

fn span<H: Handler>(stage: &Stage<H>, message: &Incoming) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {}", stage.queue.name()),
        otel.kind = "consumer",
        messaging.system = "rabbitmq",
        messaging.destination.name = stage.queue.name(),
        messaging.message.id = message.id.as_deref().unwrap_or_default(),
        stage = H::NAME,
        attempt = message.attempt,
    );
    stage.observer.set_parent(&span, &message.headers);
    span
}

async fn handle<H: Handler>(stage: &Stage<H>, message: Incoming) -> Settlement {
    let handled = AssertUnwindSafe(async { stage.handler.handle(message).await }).catch_unwind();
    let what = match tokio::time::timeout(stage.handling, handled).await {
        Ok(Ok(settlement)) => return settlement,
        Ok(Err(_)) => "panicked".to_owned(),
        Err(_) => format!("did not finish within {:?}", stage.handling),
    };
    tracing::error!(stage = H::NAME, "the handler {what}: the message is tried again later");
    Settlement::Delay { step: Delay::Next, cause: Cause::INTERNAL }
}

async fn settle<H: Handler>(
    stage: &Stage<H>,
    delivery: &Delivery,
    session: &Session,
    message: Incoming,
    settlement: Settlement,
) -> Result<(), PublishError> {
    log::<H>(&message, &settlement);
    let context = Context { queue: &stage.queue, version: stage.application.version, now: Timestamp::now() };
    if let Some((to, letter)) = follow_up(message, settlement, &context) {
        publish(stage, delivery, to, letter).await?;
    }
    if !acknowledge(H::NAME, delivery, session).await {
        stage.observer.unsettled(H::NAME);
    }
    Ok(())
}

/// Says whether the acknowledgement went out.
async fn acknowledge(stage: &str, delivery: &Delivery, session: &Session) -> bool {
    let acked = tokio::select! {
        biased;
        () = session.gone.cancelled() => Ok(false),
        acked = delivery.acker.ack(BasicAckOptions::default()) => acked,
    };
    match &acked {
        Ok(true) => {}
        // Not an error, and not an acknowledgement: the channel is gone, and the broker delivers again.
        Ok(false) => tracing::warn!(stage, "too late to acknowledge: the message comes again"),
        Err(cause) => tracing::warn!(stage, %cause, "not acknowledged: the message comes again"),
    }
    matches!(acked, Ok(true))
}

/// Tries until the broker has the follow-up, the delivery is lost to us anyway, or patience is at its end. Going
/// back at once instead would use up the delivery limit while the broker is merely full.
async fn publish<H: Handler>(
    stage: &Stage<H>,
    delivery: &Delivery,
    to: Target,
    letter: Letter,
) -> Result<(), PublishError> {
    let mut backoff = Backoff::new(PAUSE);
    let begun = Instant::now();
    while delivery.acker.usable() {
        let Err(cause) = stage.publisher.send(to.clone(), letter.clone()).await else { break };
        let wait = backoff.next(fastrand::f64());
        if !cause.is_transient() || begun.elapsed() + wait > stage.patience {
            return Err(cause);
        }
        tracing::warn!(stage = H::NAME, queue = to.routing_key, cause = chain(&cause), "not moved yet");
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

fn log<H: Handler>(message: &Incoming, settlement: &Settlement) {
    let (id, outcome) = (message.id.as_deref().unwrap_or_default(), settlement.outcome());
    let Some(cause) = settlement.cause() else {
        tracing::debug!(stage = H::NAME, id, outcome, "settled");
        return;
    };
    let (attempt, cause) = (message.attempt, cause.as_str());
    tracing::info!(stage = H::NAME, id, outcome, attempt, cause, "settled");
}

fn count<H: Handler>(observer: &dyn Observer, settlement: &Settlement, took: Duration) {
    observer.handled(H::NAME, settlement.outcome(), took);
    match settlement {
        Settlement::Done => {}
        Settlement::Delay { cause, .. } => observer.delayed(H::NAME, *cause),
        Settlement::Park { cause, .. } => observer.parked(H::NAME, *cause),
    }
}
