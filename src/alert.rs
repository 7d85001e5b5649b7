//! Alerts: calls an operator's webhook for what the ledger's outbox holds.
//!
//! Workers and confirmers each run one of these. It is the third place, beside `nid` and `opencrvs`, that speaks HTTP to
//! others (`reqwest`).
//!
//! Invariant: an alert is sent until the webhook takes it or it is too old to be of use, each time under the same id; the
//! webhook, however slow or dead, holds up nothing else; its URL and its secret are in no log line and no error.

mod body;
mod parking;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

pub use parking::{Parking, Places};
pub use webhook::{Webhook, WebhookFault};

use crate::broker::Backoff;
use crate::ledger::{Alert, Ledger, LedgerError};
use crate::pipeline::stage::chain;
use crate::telemetry::Metrics;

/// Alerts that are under way at the same time.
const AT_ONCE: u32 = 8;
/// The claim on an alert outlives the call by this much.
const SLACK: Duration = Duration::from_secs(5);
/// An alert is due again after this, then after twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);
/// And no later than after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A webhook that takes nothing at all is left alone for no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(15);
/// The notice of an alert comes just before its transaction commits: it is looked for as often, after so long.
const LOOKS: u32 = 4;
const LOOK: Duration = Duration::from_millis(50);
/// How often what is old is looked for.
const TIDY: Duration = Duration::from_secs(600);

/// How alerts are sent.
#[derive(Debug, Clone, Copy)]
pub struct AlertRules {
    /// How often the alerts of other processes are looked for.
    pub interval: Duration,
    /// How long a call to the webhook takes at most.
    pub call: Duration,
    /// How old an alert may become and still be sent.
    pub most_old: Duration,
    /// How long alerts are kept.
    pub keep: Duration,
}

/// Sends alerts.
pub struct Alerts {
    /// The outbox.
    pub ledger: Ledger,
    /// Who is called; without one, the outbox is only kept tidy.
    pub webhook: Option<Webhook>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How to go about it.
    pub rules: AlertRules,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There is nothing to send.
    Empty,
    /// Something was taken.
    Sent,
    /// Nothing was taken.
    Refused,
}

impl Alerts {
    /// Its name in logs.
    pub const NAME: &'static str = "alert";

    /// Sends until it is told to stop; what is under way then is sent again by whoever comes next.
    pub async fn run(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.send_for_ever() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn send_for_ever(&self) {
        let (mut looks, mut refusals, mut tidied) = (0_u32, 0_u32, None::<Instant>);
        loop {
            if tidied.is_none_or(|last| last.elapsed() >= TIDY.min(self.rules.most_old)) {
                tidied = Some(Instant::now());
                self.tidy().await.unwrap_or_else(|fault| unavailable(&fault));
            }
            let round = match &self.webhook {
                Some(webhook) => self.round(webhook).await.unwrap_or_else(|fault| {
                    unavailable(&fault);
                    Round::Empty
                }),
                None => Round::Empty,
            };
            match round {
                Round::Sent => refusals = 0,
                Round::Refused => {
                    refusals = refusals.saturating_add(1);
                    tokio::time::sleep(Backoff::step_after(PAUSE / 2, refusals, LONGEST_REST)).await;
                }
                Round::Empty if looks > 0 => {
                    looks -= 1;
                    tokio::time::sleep(LOOK).await;
                }
                Round::Empty => {
                    tokio::select! {
                        () = self.ledger.alert_raised() => looks = LOOKS,
                        () = tokio::time::sleep(self.rules.interval) => {}
                    }
                }
            }
        }
    }

    async fn round(&self, webhook: &Webhook) -> Result<Round, LedgerError> {
        let claim = self.rules.call + SLACK;
        let due = self.ledger.claim_alerts(AT_ONCE, claim, self.rules.most_old).await?;
        if due.is_empty() {
            return Ok(Round::Empty);
        }
        let taken = stream::iter(due)
            .map(|alert| self.send(webhook, alert))
            .buffer_unordered(usize::try_from(AT_ONCE).unwrap_or(1))
            .collect::<Vec<_>>()
            .await;
        Ok(if taken.contains(&true) { Round::Sent } else { Round::Refused })
    }

    /// Says whether the webhook took it.
    async fn send(&self, webhook: &Webhook, alert: Alert) -> bool {
        let sent = webhook.call(&body::of(&alert, jiff::Timestamp::now()), &alert.id).await;
        let noted = match &sent {
            Ok(()) => {
                self.metrics.alert("taken");
                self.ledger.alert_delivered(&alert.id).await
            }
            Err(fault) => {
                self.metrics.alert("refused");
                tracing::warn!(
                    stage = Self::NAME, alert.id = %alert.id, cause = alert.cause.as_str(), error = %fault,
                    tries = alert.tries + 1, "the alert was not taken"
                );
                self.ledger
                    .alert_failed(&alert.id, Backoff::step_after(PAUSE, alert.tries, LONGEST_PAUSE))
                    .await
            }
        };
        noted.unwrap_or_else(|fault| unavailable(&fault));
        sent.is_ok()
    }

    async fn tidy(&self) -> Result<(), LedgerError> {
        if self.webhook.is_some() {
            let given_up = self.ledger.abandon_alerts(self.rules.most_old).await?;
            if given_up > 0 {
                self.metrics.alerts_given_up(given_up);
                tracing::error!(
                    stage = Self::NAME,
                    alerts = given_up,
                    "alerts were never taken: check ALERT_WEBHOOK"
                );
            }
        }
        self.ledger.delete_alerts(self.rules.keep.max(self.rules.most_old)).await
    }
}

fn unavailable(fault: &LedgerError) {
    tracing::warn!(stage = Alerts::NAME, error = %chain(fault), "the outbox of alerts cannot be used");
}
