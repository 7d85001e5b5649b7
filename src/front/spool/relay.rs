//! The relay: gives what is spooled to the broker, oldest first, as soon as the broker takes it.
//!
//! Invariant: a file goes only after the broker's confirm. What cannot be read is set aside and never stands in the
//! way of the rest; what the broker does not take stays first in line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::directory::Directory;
use super::envelope::{self, Envelope, Unreadable};
use super::index::Seen;
use super::{Inner, Spool, lock};
use crate::broker::{PublishError, Publisher};
use crate::domain::Cause;
use crate::front::handover::{self, HandoverFault};
use crate::telemetry;

/// A broker that is away is waited for in spans of this; each ends in a new look at the first file.
const LOOK: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What became of one file.
#[derive(Debug)]
pub(super) enum Step {
    /// The broker has it.
    Relayed,
    /// Nobody can read it, or no broker would take it.
    SetAside,
    /// The broker does not take it now.
    Failed(PublishError),
}

/// The pause after a failure: doubling, bounded, back to the first after a success.
#[derive(Debug)]
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(super) fn reset(&mut self) {
        self.0 = FIRST_PAUSE;
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = pause.saturating_mul(2).min(LONGEST_PAUSE);
        pause
    }
}

impl Spool {
    /// Relays until `stop`; what is spooled meanwhile as well.
    pub async fn relay(&self, publisher: &Publisher, stop: CancellationToken) {
        let mut pause = Pause::new();
        loop {
            let seen = tokio::select! {
                () = stop.cancelled() => return,
                seen = self.next_due() => seen,
            };
            let taken = tokio::select! {
                () = stop.cancelled() => return,
                taken = publisher.available(LOOK) => taken,
            };
            if !taken {
                continue;
            }
            // Not broken off: it ends within the publish timeout.
            match self.step(&seen, publisher).await {
                Step::Relayed | Step::SetAside => pause.reset(),
                Step::Failed(fault) => {
                    let (waiting, wait) = (self.files(), pause.next());
                    tracing::warn!(error = %fault, waiting, wait_ms = wait.as_millis(), "not relayed yet");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// The first file, once it has rested.
    async fn next_due(&self) -> Seen {
        loop {
            let first = lock(&self.inner.index).first();
            match first {
                Some((seen, due)) if due <= Instant::now() => return seen,
                Some((_, due)) => tokio::time::sleep_until(due).await,
                None => self.inner.news.notified().await,
            }
        }
    }

    /// The first file, rested or not.
    pub(super) fn first(&self) -> Option<Seen> {
        lock(&self.inner.index).first().map(|(seen, _)| seen)
    }

    /// Gives one file to the broker.
    pub(super) async fn step(&self, seen: &Seen, publisher: &Publisher) -> Step {
        let envelope = match self.read(seen).await {
            Ok(envelope) => envelope,
            Err(why) => return self.set_aside(seen, &why).await,
        };
        let key = &envelope.message.registration.key;
        let span = tracing::info_span!("relay", record.id = %key.record, attempt.id = %key.id());
        drop(span.set_parent(telemetry::extract(&envelope.trace)));
        match handover::publish(publisher, &envelope.message).instrument(span.clone()).await {
            Ok(()) => {
                self.broker_took();
                span.in_scope(|| tracing::info!("relayed from the spool"));
                self.remove(seen).await;
                Step::Relayed
            }
            Err(HandoverFault::Broker(fault)) if handover::can_be_taken_later(&fault) => Step::Failed(fault),
            Err(fault) => self.set_aside(seen, &fault.to_string()).await,
        }
    }

    async fn read(&self, seen: &Seen) -> Result<Envelope, String> {
        let bytes = self
            .on_disk(seen, |inner, seen| inner.directory.read(&seen.name))
            .await
            .map_err(|cause| cause.to_string())?;
        let envelope = envelope::decode(&bytes).map_err(|why| why.to_string())?;
        if seen.name.attempt() == Some(envelope.message.registration.key.id()) {
            Ok(envelope)
        } else {
            Err(Unreadable::OtherAttempt.to_string())
        }
    }

    /// A file that stays is relayed again by the next process: a repeat, and no harm.
    async fn remove(&self, seen: &Seen) {
        if let Err(cause) = self.on_disk(seen, |inner, seen| inner.finish(seen, Directory::remove)).await {
            let file = seen.name.as_str();
            tracing::error!(file, %cause, "relayed, but the file cannot be deleted");
            self.inner.alarm(Cause::SpoolUnwritable);
        }
    }

    /// Out of the way of the rest, and never deleted.
    async fn set_aside(&self, seen: &Seen, why: &str) -> Step {
        let file = seen.name.as_str();
        match self.on_disk(seen, |inner, seen| inner.finish(seen, Directory::set_aside)).await {
            Ok(false) => return Step::SetAside,
            Ok(true) => {
                let to = seen.name.corrupt();
                tracing::error!(file, to, why, "a spooled registration cannot be relayed");
            }
            Err(cause) => {
                tracing::error!(file, %cause, why, "a spooled registration cannot be relayed and stays");
            }
        }
        self.inner.alarm(Cause::SpoolCorrupt);
        Step::SetAside
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        seen: &Seen,
        work: impl FnOnce(&Inner, &Seen) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (inner, seen) = (Arc::clone(&self.inner), seen.clone());
        tokio::task::spawn_blocking(move || work(&inner, &seen))
            .await
            .unwrap_or_else(|cause| Err(io::Error::other(cause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_start_again() {
        let mut pause = Pause::new();
        let pauses: Vec<u128> = (0..8).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        pause.reset();
        assert_eq!(pause.next(), FIRST_PAUSE);
    }
}
