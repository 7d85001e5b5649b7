//! Watches whether the broker refuses a role: its user, password or vhost, or queues that differ from
//! the topology.
//!
//! Invariant: a role that was never connected ends with exit code 78 once the broker refuses it. A
//! role that was connected before stays, is not ready, and goes on by itself. A broker that is away
//! refuses nothing.

use std::sync::Arc;

use anyhow::anyhow;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::alarm::Alarm;
use crate::admin::Condition;
use crate::broker::{Link, LinkState};
use crate::domain::Cause;
use crate::telemetry::Metrics;

pub(crate) struct BrokerAccess {
    /// The setting that holds the URL, as `VARIABLE (file.key)`.
    setting: &'static str,
    state: watch::Receiver<LinkState>,
    /// Met unless the broker refuses the role.
    condition: Condition,
    alarm: Alarm,
}

impl BrokerAccess {
    pub(crate) fn new(
        setting: &'static str,
        link: &Link,
        condition: Condition,
        metrics: &Arc<Metrics>,
    ) -> Self {
        condition.set(true);
        let alarm = Alarm::new(Cause::BrokerRefused, metrics);
        Self { setting, state: link.state(), condition, alarm }
    }

    /// Watches until `stop` is cancelled.
    ///
    /// # Errors
    /// [`Failure::Misconfigured`] if the broker refuses a role that was never connected.
    pub(crate) async fn watch(mut self, stop: CancellationToken) -> Result<(), Failure> {
        let mut was_connected = false;
        loop {
            let state = self.state.borrow_and_update().clone();
            match state {
                LinkState::Connected | LinkState::Blocked(_) => {
                    was_connected = true;
                    self.condition.set(true);
                    self.alarm.clear();
                }
                // Whether a broker that is away still refuses is not known.
                LinkState::Away(_) => self.condition.set(true),
                LinkState::Refused(why) => {
                    let why = format!("{}: {why}", self.setting);
                    self.condition.unmet(&why);
                    self.alarm.raise(&why);
                    if !was_connected {
                        return Err(Failure::Misconfigured(anyhow!(why)));
                    }
                }
            }
            let changed = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = self.state.changed() => changed,
            };
            if changed.is_err() {
                return Ok(());
            }
        }
    }
}
