//! Watches whether a role belongs to the installation whose broker it is connected to: whether they
//! have the same ledger and sealing keys.
//!
//! Invariant: a role that does not belong ends with exit code 78 if its first connect shows it. If
//! a later connect shows it, the role stays, is not ready, and accepts and consumes nothing until
//! it belongs again.

use std::sync::Arc;

use anyhow::anyhow;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::alarm::Alarm;
use crate::admin::Condition;
use crate::domain::Cause;
use crate::pipeline::{AdmissionState, DeploymentCheck};
use crate::telemetry::Metrics;

pub(crate) struct Belonging {
    admission: watch::Receiver<AdmissionState>,
    /// Met unless the broker refused the role.
    condition: Condition,
    alarm: Alarm,
}

impl Belonging {
    pub(crate) fn new(check: &DeploymentCheck, condition: Condition, metrics: &Arc<Metrics>) -> Self {
        let alarm = Alarm::new(Cause::OtherDeployment, metrics);
        Self { admission: check.admission(), condition, alarm }
    }

    /// Watches until `stop` is cancelled.
    ///
    /// # Errors
    /// [`Failure::Misconfigured`] if the first connect shows that the role does not belong.
    pub(crate) async fn watch(mut self, stop: CancellationToken) -> Result<(), Failure> {
        self.condition.set(true);
        let mut admitted = false;
        loop {
            let admission = self.admission.borrow_and_update().clone();
            match admission {
                AdmissionState::Unknown | AdmissionState::AdmittedEarlier => {}
                AdmissionState::Admitted => {
                    admitted = true;
                    self.condition.set(true);
                    self.alarm.clear();
                }
                AdmissionState::Refused(why) => {
                    self.condition.unmet(&why);
                    self.alarm.raise(&why);
                    if !admitted {
                        return Err(Failure::Misconfigured(anyhow!(why)));
                    }
                }
            }
            let changed = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = self.admission.changed() => changed,
            };
            if changed.is_err() {
                return Ok(());
            }
        }
    }
}
