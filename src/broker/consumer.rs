//! The only consumer loop: it opens the consumer of a queue again and again until it is stopped,
//! and pauses while a breaker is open. `session` is one consumer on one channel.
//!
//! Invariant: every delivery is settled exactly once: it is acknowledged after the message that
//! takes its place is confirmed. A delivery that cannot be settled returns to its queue when its
//! channel is closed, never by a `nack`.

mod session;
mod settings;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use session::End;
pub use settings::ConsumerSettings;

use super::backoff::Backoff;
use super::breaker::{Allowed, BreakerWatch};
use super::delivery::Handler;
use super::error::chain;
use super::link::{Link, LinkState};
use super::queue::WorkQueue;
use super::unsettled::StageContext;

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
    while work.wait_for_links(link).await {
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
    /// Waits until the links are connected. Returns `false` when the consumer must stop.
    async fn wait_for_links(&self, link: &Link) -> bool {
        let mut state = link.state();
        let all = async {
            for onward in &mut self.settings.onward.clone() {
                onward.wait_for(LinkState::is_connected).await?;
            }
            state.wait_for(LinkState::is_open).await.map(drop)
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
