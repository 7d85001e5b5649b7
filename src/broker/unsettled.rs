//! Handles one delivery, from its arrival to its acknowledgement.
//!
//! Invariant: a delivery leaves this module either acknowledged, after the confirm of its
//! follow-up, or unacknowledged, with its session marked as stuck or its channel gone, so that the
//! broker delivers it again. A handler that panics or does not finish in time is a transient fault.

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
use super::message::{RawMessage, Target};
use super::observer::Observer;
use super::publisher::Publisher;
use super::queue::{Delay, WorkQueue};
use super::settle::{Cause, Context, Settlement, follow_up};

/// The longest pause between two attempts to publish a follow-up.
const PAUSE: Duration = Duration::from_secs(5);

/// What the deliveries of one queue share.
pub(super) struct StageContext<H> {
    pub(super) handler: Arc<H>,
    pub(super) publisher: Publisher,
    pub(super) queue: WorkQueue,
    pub(super) application: Application,
    pub(super) handling: Duration,
    pub(super) patience: Duration,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) in_flight: AtomicUsize,
}

/// What the deliveries of one channel share.
#[derive(Clone, Default)]
pub(super) struct Session {
    /// Cancelled when a delivery could not be settled.
    pub(super) stuck: CancellationToken,
    /// Cancelled when the channel is gone: an acknowledgement can no longer reach the broker, and
    /// lapin may never report that.
    pub(super) gone: CancellationToken,
}

/// Handles and settles one delivery.
pub(super) async fn process<H: Handler>(
    stage: &StageContext<H>,
    mut delivery: Delivery,
    us: &str,
    session: &Session,
) {
    let _in_flight = InFlight::new(stage);
    let message = Incoming::read(&mut delivery, us, Timestamp::now());
    let span = span(stage, &message);
    async {
        let begun = Instant::now();
        let settlement = handle(stage, message.clone()).await;
        count::<H>(&*stage.observer, &settlement, begun.elapsed());
        report_delay(stage, &message, &settlement).await;
        if let Err(cause) = settle(stage, &delivery, session, message, settlement).await {
            tracing::error!(
                stage = H::NAME,
                cause = chain(&cause),
                "not settled: the message returns to its queue"
            );
            stage.observer.unsettled(H::NAME);
            session.stuck.cancel();
        }
    }
    .instrument(span)
    .await;
}

/// Counts a delivery as in flight while it is being handled, however the handling ends.
struct InFlight<'a, H: Handler>(&'a StageContext<H>);

impl<'a, H: Handler> InFlight<'a, H> {
    fn new(stage: &'a StageContext<H>) -> Self {
        let before = stage.in_flight.fetch_add(1, Ordering::Relaxed);
        stage.observer.in_flight(H::NAME, before.saturating_add(1));
        Self(stage)
    }
}

impl<H: Handler> Drop for InFlight<'_, H> {
    fn drop(&mut self) {
        let before = self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.observer.in_flight(H::NAME, before.saturating_sub(1));
    }
}

fn span<H: Handler>(stage: &StageContext<H>, message: &Incoming) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {}", stage.queue.name()),
        otel.kind = "consumer",
        messaging.system = "rabbitmq",
        messaging.destination.name = stage.queue.name(),
        messaging.message.id = message.own_id(),
        stage = H::NAME,
        attempt = message.attempt,
    );
    stage.observer.set_parent(&span, &message.headers);
    span
}

async fn handle<H: Handler>(stage: &StageContext<H>, message: Incoming) -> Settlement {
    let handled = AssertUnwindSafe(async { stage.handler.handle(message).await }).catch_unwind();
    let what = match tokio::time::timeout(stage.handling, handled).await {
        Ok(Ok(settlement)) => return settlement,
        Ok(Err(_)) => "panicked".to_owned(),
        Err(_) => format!("did not finish within {:?}", stage.handling),
    };
    tracing::error!(stage = H::NAME, "the handler {what}: the message is tried again later");
    Settlement::Delay { step: Delay::Next, cause: Cause::INTERNAL }
}

/// Reports a delay to the handler. The delivery does not depend on it: a handler that takes too
/// long or panics is ignored.
async fn report_delay<H: Handler>(stage: &StageContext<H>, message: &Incoming, settlement: &Settlement) {
    let Settlement::Delay { step, cause } = settlement else { return };
    let Some(after) = stage.queue.step(*step, message.attempt) else { return };
    let report = AssertUnwindSafe(stage.handler.delayed(message, *cause, after)).catch_unwind();
    if !matches!(tokio::time::timeout(stage.handling, report).await, Ok(Ok(()))) {
        tracing::warn!(stage = H::NAME, "a delay could not be reported to the handler");
    }
}

async fn settle<H: Handler>(
    stage: &StageContext<H>,
    delivery: &Delivery,
    session: &Session,
    message: Incoming,
    settlement: Settlement,
) -> Result<(), PublishError> {
    log::<H>(&message, &settlement);
    let context = Context { queue: &stage.queue, version: stage.application.version, now: Timestamp::now() };
    if let Some((to, raw)) = follow_up(message, settlement, &context) {
        publish(stage, delivery, to, raw).await?;
    }
    if !acknowledge(H::NAME, delivery, session).await {
        stage.observer.unsettled(H::NAME);
    }
    Ok(())
}

/// Returns whether the acknowledgement went out.
async fn acknowledge(stage: &str, delivery: &Delivery, session: &Session) -> bool {
    let acked = tokio::select! {
        biased;
        () = session.gone.cancelled() => Ok(false),
        acked = delivery.acker.ack(BasicAckOptions::default()) => acked,
    };
    match &acked {
        Ok(true) => {}
        // The channel is gone: nothing was acknowledged, and the broker delivers the message again.
        Ok(false) => tracing::warn!(stage, "too late to acknowledge: the broker delivers the message again"),
        Err(cause) => {
            tracing::warn!(stage, %cause, "not acknowledged: the broker delivers the message again");
        }
    }
    matches!(acked, Ok(true))
}

/// Publishes the follow-up message. Retries until the broker has confirmed it, the delivery's
/// channel is gone, or `patience` has passed. Returning the delivery at once would use up its
/// delivery limit while a queue is merely full.
async fn publish<H: Handler>(
    stage: &StageContext<H>,
    delivery: &Delivery,
    to: Target,
    raw: RawMessage,
) -> Result<(), PublishError> {
    let mut backoff = Backoff::new(PAUSE);
    let begun = Instant::now();
    while delivery.acker.usable() {
        let Err(cause) = stage.publisher.send(to.clone(), raw.clone()).await else { break };
        let wait = backoff.next(fastrand::f64());
        if !cause.is_transient() || begun.elapsed() + wait > stage.patience {
            return Err(cause);
        }
        tracing::warn!(
            stage = H::NAME,
            queue = to.routing_key,
            cause = chain(&cause),
            "the next message could not be published: trying again"
        );
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

fn log<H: Handler>(message: &Incoming, settlement: &Settlement) {
    let (id, outcome) = (message.own_id(), settlement.outcome());
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
