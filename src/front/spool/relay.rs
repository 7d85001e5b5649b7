//! The relay: publishes the spooled registrations, oldest first, as soon as the broker accepts
//! them.
//!
//! Invariant: a file is deleted only after the broker's confirm. A file that cannot be relayed is
//! set aside and never blocks the others; a file that the broker does not accept now stays first in
//! line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::directory::Directory;
use super::envelope::{self, Envelope, Unreadable};
use super::index::FileVersion;
use super::{Shared, Spool, lock};
use crate::broker::{Backoff, PublishError, Publisher};
use crate::domain::Cause;
use crate::front::handover::{self, HandoverFault};
use crate::telemetry;

/// Longest wait for the broker before the first file is looked up again.
const LOOK: Duration = Duration::from_secs(60);
/// Longest pause after a failure.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The result of relaying one file.
#[derive(Debug)]
pub(super) enum RelayResult {
    Published,
    /// The file cannot be read, or no broker would accept it.
    SetAside,
    /// The broker does not accept it now.
    Failed(PublishError),
}

impl Spool {
    /// Relays files until `stop`, including those that are spooled in the meantime.
    pub async fn relay(&self, publisher: &Publisher, stop: CancellationToken) {
        let mut backoff = Backoff::new(LONGEST_PAUSE);
        loop {
            let file = tokio::select! {
                () = stop.cancelled() => return,
                file = self.next_due() => file,
            };
            let available = tokio::select! {
                () = stop.cancelled() => return,
                available = publisher.available(LOOK) => available,
            };
            if !available {
                continue;
            }
            // `stop` does not interrupt this, because it ends within the publish timeout.
            match self.relay_one(&file, publisher).await {
                RelayResult::Published | RelayResult::SetAside => backoff.reset(),
                RelayResult::Failed(fault) => {
                    let (waiting, wait) = (self.files(), backoff.next(1.0));
                    tracing::warn!(error = %fault, waiting, wait_ms = wait.as_millis(), "the spool cannot be relayed yet: trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// The first file, once it is due.
    async fn next_due(&self) -> FileVersion {
        loop {
            let first = lock(&self.shared.index).first();
            match first {
                Some((file, due)) if due <= Instant::now() => return file,
                Some((_, due)) => tokio::time::sleep_until(due).await,
                None => self.shared.stored.notified().await,
            }
        }
    }

    /// The first file, due or not.
    pub(super) fn first(&self) -> Option<FileVersion> {
        lock(&self.shared.index).first().map(|(file, _)| file)
    }

    /// Publishes one file and deletes it.
    pub(super) async fn relay_one(&self, file: &FileVersion, publisher: &Publisher) -> RelayResult {
        let envelope = match self.read(file).await {
            Ok(envelope) => envelope,
            Err(why) => return self.set_aside(file, &why).await,
        };
        let key = &envelope.message.registration.key;
        let span = tracing::info_span!("relay", record.id = %key.record, attempt.id = %key.id());
        drop(span.set_parent(telemetry::extract(&envelope.trace)));
        match handover::publish(publisher, &envelope.message).instrument(span.clone()).await {
            Ok(()) => {
                self.broker_accepted();
                span.in_scope(|| tracing::info!("relayed from the spool"));
                self.remove(file).await;
                RelayResult::Published
            }
            Err(HandoverFault::Broker(fault)) if handover::can_be_published_later(&fault) => {
                RelayResult::Failed(fault)
            }
            Err(fault) => self.set_aside(file, &fault.to_string()).await,
        }
    }

    async fn read(&self, file: &FileVersion) -> Result<Envelope, String> {
        let bytes = self
            .on_disk(file, |shared, file| shared.directory.read(&file.name))
            .await
            .map_err(|cause| cause.to_string())?;
        let decoded = envelope::decode(&self.shared.trust, file.name.as_str(), &bytes);
        let envelope = decoded.map_err(|why| why.to_string())?;
        if file.name.attempt() == Some(envelope.message.registration.key.id()) {
            Ok(envelope)
        } else {
            Err(Unreadable::OtherAttempt.to_string())
        }
    }

    /// Deletes a relayed file. If this fails, the next process relays the file again, which does no
    /// harm.
    async fn remove(&self, file: &FileVersion) {
        let removed = self.on_disk(file, |shared, file| shared.retire(file, Directory::remove)).await;
        if let Err(cause) = removed {
            let file = file.name.as_str();
            tracing::error!(file, %cause, "relayed, but the file cannot be deleted");
            self.shared.alarm(Cause::SpoolUnwritable);
        }
    }

    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        file: &FileVersion,
        work: impl FnOnce(&Shared, &FileVersion) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (shared, file) = (Arc::clone(&self.shared), file.clone());
        tokio::task::spawn_blocking(move || work(&shared, &file))
            .await
            .unwrap_or_else(|cause| Err(io::Error::other(cause)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use jiff::Timestamp;
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;
    use crate::front::spool::name::FileName;
    use crate::front::spool::{SpoolSettings, Trust};
    use crate::pipeline::RegistrationMessage;
    use crate::seal::Sealer;
    use crate::telemetry::Metrics;

    async fn spool(directory: &Path) -> Spool {
        let keys = SecretString::from(format!("a:{}", STANDARD.encode([1; 32])));
        let trust = Trust { keys: Sealer::parse(&keys).unwrap().file_keys(), unsigned: false };
        let settings =
            SpoolSettings { directory: directory.to_owned(), max: 1_000_000, min_age: Duration::ZERO, trust };
        Spool::open(settings, Arc::new(Metrics::new())).await.unwrap()
    }

    fn message(record: &str) -> RegistrationMessage {
        serde_json::from_value(json!({
            "v": 1,
            "registration": {
                "key": {
                    "dialect": "fhir", "record": record, "mark": "2026-01-02T00:00:00Z",
                    "stamp": "2026-01-02T00:00:00Z"
                },
                "kind": "birth", "tracking_id": "BXXDBIC", "office": null, "wait_ms": 8_000,
                "accepted_at": "2026-01-02T00:00:01Z", "token_expires_at": "2026-01-09T00:00:00Z"
            },
            "sealed_view": "v1.a.xxx", "sealed_token": "v1.a.yyy"
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn no_caller_waits_for_what_was_spooled_and_its_acceptance_is_that_of_the_spool() {
        let directory = tempfile::tempdir().unwrap();
        let (spool, before) = (spool(directory.path()).await, Timestamp::now());
        spool.store(message("one")).await.unwrap();
        let stored = spool.read(&spool.first().unwrap()).await.unwrap().message.registration;
        assert_eq!(stored.wait, Duration::ZERO);
        assert!(stored.accepted_at >= before);
    }

    #[tokio::test]
    async fn what_was_written_anew_while_the_first_was_relayed_stays() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path()).await;
        spool.store(message("one")).await.unwrap();
        let relayed = spool.first().unwrap();
        spool.store(message("one")).await.unwrap();
        spool.remove(&relayed).await;
        assert_eq!(spool.files(), 1);
        let anew = spool.first().unwrap();
        assert!(spool.read(&anew).await.is_ok(), "the file is still there");
        spool.remove(&anew).await;
        assert_eq!(spool.files(), 0);
    }

    #[tokio::test]
    async fn a_file_with_the_name_of_another_attempt_is_not_relayed() {
        let directory = tempfile::tempdir().unwrap();
        let first = spool(directory.path()).await;
        first.store(message("one")).await.unwrap();
        let name = first.first().unwrap().name;
        drop(first);
        let other = FileName::of(&message("two").registration.key);
        let path = |name: &FileName| directory.path().join(name.as_str());
        std::fs::rename(path(&name), path(&other)).unwrap();
        let spool = spool(directory.path()).await;
        let why = spool.read(&spool.first().unwrap()).await.unwrap_err();
        assert_eq!(why, Unreadable::Code.to_string());
    }
}
