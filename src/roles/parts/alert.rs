//! Makes the tasks that alert an operator.

use std::sync::Arc;

use anyhow::Context as _;

use super::parking_queues;
use crate::admin::Readiness;
use crate::alert::{AlertRules, Alerts, ParkingQueues, ParkingWatcher, ProcessAlerts, Webhook};
use crate::broker::Link;
use crate::config::{AlertConfig, Config};
use crate::ledger::Ledger;
use crate::roles::Failure;
use crate::telemetry::Metrics;

/// Makes the task that sends the alerts in the ledger's outbox.
pub(crate) fn alerts(config: &Config, ledger: &Ledger, metrics: &Arc<Metrics>) -> Result<Alerts, Failure> {
    let AlertConfig { timeout, interval, give_up_after, .. } = config.alert;
    Ok(Alerts {
        ledger: ledger.clone(),
        webhook: webhook(config)?,
        metrics: Arc::clone(metrics),
        rules: AlertRules { interval, timeout, give_up_after, keep: config.retention.sealed },
    })
}

/// Makes the task that sends the alerts of a process itself. `None` if no webhook is set.
pub(crate) fn process_alerts(
    config: &Config,
    role: &'static str,
    metrics: &Arc<Metrics>,
    readiness: &Readiness,
) -> Result<Option<ProcessAlerts>, Failure> {
    let readiness = readiness.clone();
    let detail = move || {
        let texts: Vec<String> =
            readiness.reasons().into_values().chain(readiness.warnings().into_values()).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    };
    Ok(webhook(config)?.map(|webhook| ProcessAlerts::new(webhook, Arc::clone(metrics), role, detail)))
}

fn webhook(config: &Config) -> Result<Option<Webhook>, Failure> {
    let AlertConfig { webhook, secret, timeout, proxy, .. } = config.alert.clone();
    let webhook = webhook.map(|url| Webhook::new(url, secret, timeout, proxy.as_ref())).transpose();
    Ok(webhook.context("the HTTP client for the webhook cannot be made")?)
}

/// Makes the task that watches the parking queues of both vhosts. `None` if no webhook is set,
/// because nobody would be alerted.
pub(crate) fn parking_watcher(
    config: &Config,
    ledger: &Ledger,
    bridge: &Link,
    nid: &Link,
) -> Option<ParkingWatcher> {
    config.alert.webhook.as_ref()?;
    let vhosts = [bridge.clone(), nid.clone()].into_iter().zip(parking_queues(config));
    Some(ParkingWatcher {
        ledger: ledger.clone(),
        vhosts: vhosts.map(|(link, queues)| ParkingQueues { link, queues }).collect(),
        interval: config.alert.interval,
    })
}
