//! Remembers beside the spool the sealing key with which the broker admitted this front, so that
//! the front may spool after a restart, before it has reached the broker again.
//!
//! Invariant: only an admission by the broker is remembered, and a refusal ends it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Spool;
use crate::pipeline::AdmissionState;

impl Spool {
    /// Whether the broker has admitted this front with this key, the last time that it was reached.
    pub async fn remembers(&self, key: &str) -> bool {
        let (shared, key) = (Arc::clone(&self.shared), key.to_owned());
        let read = move || shared.directory.admitted().is_ok_and(|admitted| admitted == key);
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    /// Remembers each admission with this key, and forgets it after a refusal, until `stop` is
    /// cancelled.
    pub async fn remember(
        &self,
        key: String,
        mut admission: watch::Receiver<AdmissionState>,
        stop: CancellationToken,
    ) {
        loop {
            let admitted = match &*admission.borrow_and_update() {
                AdmissionState::Admitted => Some(true),
                AdmissionState::Refused(_) => Some(false),
                AdmissionState::Unknown | AdmissionState::AdmittedEarlier => None,
            };
            if let Some(admitted) = admitted {
                self.write_admission(key.clone(), admitted).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = admission.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn write_admission(&self, key: String, admitted: bool) {
        let shared = Arc::clone(&self.shared);
        let write = move || {
            let directory = &shared.directory;
            if admitted { directory.write_admitted(&key) } else { directory.forget_admitted() }
        };
        if let Ok(Err(fault)) = tokio::task::spawn_blocking(write).await {
            tracing::warn!(
                error = %fault,
                "the admission by the broker is not stored beside the spool: after a restart, the front spools nothing until it has \
                 reached the broker"
            );
        }
    }
}
