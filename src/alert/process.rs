//! Calls the webhook for the troubles of a process itself, such as a broker that refuses it.
//!
//! They do not go through the ledger's outbox, because a front has no ledger, and because the
//! process may end at once.
//!
//! Invariant: at most one alert an hour for each cause, under an id that all processes of a role
//! share, so that the receiver can drop repetitions. An alert that the webhook does not accept is
//! sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Webhook, body};
use crate::domain::Cause;
use crate::telemetry::Metrics;

/// The causes that concern a process and no registration.
const CAUSES: [Cause; 8] = [
    Cause::OtherDeployment,
    Cause::BrokerRefused,
    Cause::AuthKeyMissing,
    Cause::ClockDiffers,
    Cause::AllRefused,
    Cause::SpoolFull,
    Cause::SpoolUnwritable,
    Cause::SpoolCorrupt,
];
/// Time between two looks at the alarms.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time for which a cause is quiet after an alert.
const QUIET: Duration = Duration::from_secs(3_600);
/// Limit of the last alerts of a process that ends.
const LAST: Duration = Duration::from_secs(5);

/// Sends the alerts of one process.
pub struct ProcessAlerts {
    webhook: Webhook,
    metrics: Arc<Metrics>,
    role: &'static str,
    /// What is wrong at the moment, in words.
    detail: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Alarms that were seen, and when the last alert was accepted, by cause.
    seen: BTreeMap<Cause, (u64, Option<Instant>)>,
}

impl ProcessAlerts {
    /// `detail` says what is wrong at the moment, without personal data.
    pub fn new(
        webhook: Webhook,
        metrics: Arc<Metrics>,
        role: &'static str,
        detail: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self { webhook, metrics, role, detail: Box::new(detail), seen: BTreeMap::new() }
    }

    /// Sends until `stop` is cancelled, and then what was raised last.
    pub async fn run(mut self, stop: CancellationToken) {
        let sending = async {
            loop {
                self.send_new().await;
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::select! {
            () = sending => {}
            () = stop.cancelled() => {}
        }
        drop(tokio::time::timeout(LAST, self.send_new()).await);
    }

    async fn send_new(&mut self) {
        for cause in CAUSES {
            let raised = self.metrics.alarms(cause);
            let (seen, last) = self.seen.get(&cause).copied().unwrap_or_default();
            if raised == seen {
                continue;
            }
            let is_quiet = last.is_some_and(|last| last.elapsed() < QUIET);
            if is_quiet || self.send(cause).await {
                let last = if is_quiet { last } else { Some(Instant::now()) };
                self.seen.insert(cause, (raised, last));
            }
        }
    }

    async fn send(&self, cause: Cause) -> bool {
        let now = Timestamp::now();
        let id = format!("{}-{}-{}", self.role, cause.as_str(), now.strftime("%Y-%m-%dT%H"));
        let detail = (self.detail)();
        let body = body::of_process(&id, cause, self.role, detail.as_deref(), now);
        match self.webhook.call(&body, &id).await {
            Ok(()) => {
                self.metrics.alert("taken");
                true
            }
            Err(fault) => {
                self.metrics.alert("refused");
                tracing::warn!(
                    alert.id = id, cause = cause.as_str(), error = %fault,
                    "the webhook did not accept the alert: it is sent again"
                );
                false
            }
        }
    }
}
