//! Delays the delivery while no credential can answer an action, and alerts operators.
//!
//! Invariant: a fault of the configuration raises one alert for all records, and parks none.

use super::Answering;
use crate::broker::Settlement;
use crate::confirmer::Confirmer;
use crate::domain::Blocker;
use crate::opencrvs::Right;
use crate::opencrvs::events::Bearer;
use crate::pipeline::stage::{StageFault, delay};

impl Confirmer {
    /// Delays an attempt that no credential can answer now.
    pub(super) async fn wait_for(
        &self,
        blocker: Blocker,
        answering: &Answering<'_>,
    ) -> Result<Settlement, StageFault> {
        match blocker {
            Blocker::Assigned => self.record_assignee(answering).await?,
            Blocker::Scope => self.report_configuration(blocker, Some(answering.scope())).await?,
            Blocker::Refused => {
                self.breakers.auth.trip();
                self.report_configuration(blocker, None).await?;
            }
            Blocker::Missing => self.report_configuration(blocker, None).await?,
            Blocker::Unavailable => {}
        }
        Ok(delay(blocker.cause()))
    }

    /// Stores in the history to whom the event is assigned, once for each user.
    async fn record_assignee(&self, answering: &Answering<'_>) -> Result<(), StageFault> {
        let (record, attempt) = (answering.pending.record, answering.case.leased.case.attempt.id);
        let user = self.assignee(answering).await;
        if self.ledger.record_assignee(record, attempt, user.as_deref()).await? {
            tracing::info!(
                record.id = %record, attempt.id = %attempt,
                "a user is assigned to the record in OpenCRVS: the answer waits"
            );
        }
        Ok(())
    }

    /// The user to whom the event is assigned, if the client may read it.
    async fn assignee(&self, answering: &Answering<'_>) -> Option<String> {
        let token = self.events.system.as_ref()?.system.access_token().await.ok()?;
        if !token.may(Right::Read, answering.pending.kind) {
            return None;
        }
        self.events.client.read(Bearer::Client(&token), &answering.pending).await.ok()?.assigned_to
    }

    /// Alerts operators to a fault of the configuration, once for all records.
    async fn report_configuration(&self, blocker: Blocker, scope: Option<String>) -> Result<(), StageFault> {
        let cause = blocker.cause();
        if self.ledger.raise_configuration_alert(cause, scope.as_deref()).await? {
            self.metrics.alarm(cause);
            let scope = scope.as_deref().unwrap_or_default();
            tracing::error!(cause = cause.as_str(), scope, "an operator is needed: see `nidbridge causes`");
        }
        if let Some(client) = &self.events.system {
            client.alert_reported(scope.as_deref());
        }
        Ok(())
    }

    /// Closes the alerts about the client after it made a successful call, whichever process raised
    /// them.
    pub(super) async fn settle_alerts(&self, answering: &Answering<'_>) -> Result<(), StageFault> {
        let Some(client) = &self.events.system else { return Ok(()) };
        let scope = answering.scope();
        if !client.first_use_since_alert(&scope) {
            return Ok(());
        }
        let settled = self.ledger.settle_configuration_alerts(&scope).await;
        if settled.is_err() {
            client.alert_reported(Some(&scope));
        }
        Ok(settled?)
    }
}
