//! Says that a process cannot do its work as it should: one line in its log and one count of the
//! metric `nidbridge_alarms_total`, from which [`alert`](crate::alert) makes a call of the webhook.
//!
//! Invariant: a trouble that lasts is said once, and again only if its reason changes.

use std::sync::Arc;

use crate::domain::Cause;
use crate::telemetry::Metrics;

/// One cause of a process, and what was said last.
pub(crate) struct Alarm {
    cause: Cause,
    metrics: Arc<Metrics>,
    last: Option<String>,
}

impl Alarm {
    pub(crate) fn new(cause: Cause, metrics: &Arc<Metrics>) -> Self {
        Self { cause, metrics: Arc::clone(metrics), last: None }
    }

    pub(crate) fn raise(&mut self, why: &str) {
        if self.last.as_deref() == Some(why) {
            return;
        }
        self.last = Some(why.to_owned());
        self.metrics.alarm(self.cause);
        let cause = self.cause.as_str();
        tracing::error!(
            cause,
            error = why,
            "this process needs an operator: `nidbridge causes {cause}` says what to do"
        );
    }

    /// The trouble is over.
    pub(crate) fn clear(&mut self) {
        if self.last.take().is_some() {
            tracing::info!(cause = self.cause.as_str(), "the trouble is over");
        }
    }
}
