//! Calls an operator's webhook for each alert in the ledger's outbox.
//!
//! Every worker and every confirmer runs one sender.
//!
//! Invariant: an alert is sent again under the same id until the webhook accepts it, or until the
//! alert is too old to be of use. A slow or dead webhook delays nothing else. No log line and no
//! error contains the webhook's URL or secret.

mod body;
mod parking;
mod process;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

pub use parking::{ParkingQueues, ParkingWatcher};
pub use process::ProcessAlerts;
pub use webhook::{Webhook, WebhookFault};

use crate::broker::Backoff;
use crate::ledger::{Alert, Ledger, LedgerError};
use crate::pipeline::stage::chain;
use crate::telemetry::Metrics;

/// Limit of concurrent calls to the webhook.
const MAX_CALLS: u32 = 8;
/// A process keeps its claim on an alert for the call's timeout and this much longer.
const CLAIM_SLACK: Duration = Duration::from_secs(5);
/// Back-off after the first refusal of an alert. It doubles with each further refusal.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest back-off between two calls for one alert.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// Longest back-off of the sender while the webhook refuses every alert.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Reads of the outbox after a notice of a new alert. One read is not enough, because the notice
/// comes just before the alert's transaction commits.
const READS_AFTER_NOTICE: u32 = 4;
/// Pause between two of these reads.
const READ_PAUSE: Duration = Duration::from_millis(50);
/// Time between two deletions of old alerts.
const TIDY_INTERVAL: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy)]
pub struct AlertRules {
    /// Time between two reads of the outbox for the alerts of other processes.
    pub interval: Duration,
    /// Timeout of one call to the webhook.
    pub timeout: Duration,
    /// Age after which an alert is no longer sent.
    pub give_up_after: Duration,
    /// How long alerts are kept in the ledger.
    pub keep: Duration,
}

/// Sends the alerts in the outbox to the webhook.
pub struct Alerts {
    pub ledger: Ledger,
    /// Without a webhook, old alerts are deleted and nobody is called.
    pub webhook: Option<Webhook>,
    pub metrics: Arc<Metrics>,
    pub rules: AlertRules,
}

/// The result of sending the alerts that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing was due.
    Empty,
    /// The webhook accepted at least one alert.
    Accepted,
    /// The webhook accepted none.
    Refused,
}

impl Alerts {
    /// Name in logs.
    pub const NAME: &'static str = "alert";

    /// Sends until `stop` is cancelled. A call that is interrupted then is repeated by another
    /// process.
    pub async fn run(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.send_for_ever() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn send_for_ever(&self) {
        let (mut reads_left, mut refusals, mut tidied) = (0_u32, 0_u32, None::<Instant>);
        loop {
            if tidied.is_none_or(|last| last.elapsed() >= TIDY_INTERVAL.min(self.rules.give_up_after)) {
                tidied = Some(Instant::now());
                self.tidy().await.unwrap_or_else(|fault| log_unavailable(&fault));
            }
            let round = match &self.webhook {
                Some(webhook) => self.send_due(webhook).await.unwrap_or_else(|fault| {
                    log_unavailable(&fault);
                    Round::Empty
                }),
                None => Round::Empty,
            };
            match round {
                Round::Accepted => refusals = 0,
                Round::Refused => {
                    tokio::time::sleep(Backoff::step_after(FIRST_RETRY, refusals, LONGEST_PAUSE)).await;
                    refusals = refusals.saturating_add(1);
                }
                Round::Empty if reads_left > 0 => {
                    reads_left -= 1;
                    tokio::time::sleep(READ_PAUSE).await;
                }
                Round::Empty => {
                    tokio::select! {
                        () = self.ledger.alert_raised() => reads_left = READS_AFTER_NOTICE,
                        () = tokio::time::sleep(self.rules.interval) => {}
                    }
                }
            }
        }
    }

    async fn send_due(&self, webhook: &Webhook) -> Result<Round, LedgerError> {
        let claim = self.rules.timeout + CLAIM_SLACK;
        let due = self.ledger.claim_alerts(MAX_CALLS, claim, self.rules.give_up_after).await?;
        if due.is_empty() {
            return Ok(Round::Empty);
        }
        let accepted = stream::iter(due)
            .map(|alert| self.send(webhook, alert))
            .buffer_unordered(usize::try_from(MAX_CALLS).unwrap_or(1))
            .collect::<Vec<_>>()
            .await;
        Ok(if accepted.contains(&true) { Round::Accepted } else { Round::Refused })
    }

    /// Sends one alert. Returns whether the webhook accepted it.
    async fn send(&self, webhook: &Webhook, alert: Alert) -> bool {
        let sent = webhook.call(&body::of(&alert, jiff::Timestamp::now()), &alert.id).await;
        let recorded = match &sent {
            Ok(()) => {
                self.metrics.alert("taken");
                self.ledger.alert_delivered(&alert.id).await
            }
            Err(fault) => {
                self.metrics.alert("refused");
                tracing::warn!(
                    stage = Self::NAME, alert.id = %alert.id, cause = alert.cause.as_str(), error = %fault,
                    tries = alert.tries + 1, "the webhook did not accept the alert: it is sent again"
                );
                self.ledger
                    .alert_failed(&alert.id, Backoff::step_after(FIRST_RETRY, alert.tries, LONGEST_RETRY))
                    .await
            }
        };
        recorded.unwrap_or_else(|fault| log_unavailable(&fault));
        sent.is_ok()
    }

    /// Gives up the alerts that are too old to be sent, and deletes those that were kept long
    /// enough.
    async fn tidy(&self) -> Result<(), LedgerError> {
        let AlertRules { give_up_after, keep, .. } = self.rules;
        if self.webhook.is_some() {
            let given_up = self.ledger.abandon_alerts(give_up_after).await?;
            if given_up > 0 {
                self.metrics.alerts_given_up(given_up);
                tracing::error!(
                    stage = Self::NAME,
                    alerts = given_up,
                    "alerts were given up, because the webhook did not accept them: check ALERT_WEBHOOK"
                );
            }
        }
        self.ledger.delete_alerts(keep.max(give_up_after)).await
    }
}

fn log_unavailable(fault: &LedgerError) {
    tracing::warn!(stage = Alerts::NAME, error = %chain(fault), "alerts cannot be read from the ledger: trying again");
}
