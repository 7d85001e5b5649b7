//! Says that a front refuses one registration after the other.
//!
//! Invariant: such a front stays ready, because only another registration can show that the trouble
//! is over, and because strangers must not be able to take it out of service.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::alarm::Alarm;
use crate::admin::Warning;
use crate::domain::Cause;
use crate::telemetry::Metrics;

pub(crate) struct RefusalWatch {
    warning: Warning,
    alarm: Alarm,
}

impl RefusalWatch {
    pub(crate) fn new(warning: Warning, metrics: &Arc<Metrics>) -> Self {
        Self { warning, alarm: Alarm::new(Cause::AllRefused, metrics) }
    }

    /// Watches until `stop` is cancelled. `refused` says why all registrations are refused.
    pub(crate) async fn watch(
        mut self,
        mut refused: watch::Receiver<Option<String>>,
        stop: CancellationToken,
    ) {
        let watching = async {
            while refused.changed().await.is_ok() {
                let why = refused.borrow_and_update().clone();
                match why {
                    Some(why) => {
                        self.warning.raise(&why);
                        self.alarm.raise(&why);
                    }
                    None => {
                        self.warning.clear();
                        self.alarm.clear();
                    }
                }
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop.cancelled() => {}
        }
    }
}
