//! Watches whether this machine's clock agrees with those of OpenCRVS's services.
//!
//! Invariant: a role whose clock differs stays ready, because attempts are ordered and answered all
//! the same (see [`domain::order`](crate::domain)). It says so in `/readyz`, in its log and in one
//! alert.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::alarm::Alarm;
use crate::admin::Warning;
use crate::config::Config;
use crate::domain::Cause;
use crate::opencrvs::{KeyStore, ServiceClock};
use crate::telemetry::Metrics;

/// Pause between two looks while the clocks agree.
const PAUSE: Duration = Duration::from_secs(60);
/// Pause while they differ, so that the warning ends soon.
const PAUSE_AFTER_DIFFERENCE: Duration = Duration::from_secs(5);

/// A service, under the name of the setting with its URL.
pub(crate) struct WatchedService {
    pub(crate) setting: &'static str,
    pub(crate) clock: ServiceClock,
}

pub(crate) struct ClockWatch {
    services: Vec<WatchedService>,
    /// Gives the time at which tokens were issued. Only a front has it.
    keys: Option<Arc<KeyStore>>,
    /// Largest difference that is no trouble.
    tolerance: Duration,
    warning: Warning,
    alarm: Alarm,
}

impl ClockWatch {
    /// Compares the clocks of `services` with ours.
    pub(crate) fn new(
        config: &Config,
        services: Vec<WatchedService>,
        warning: Warning,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let alarm = Alarm::new(Cause::ClockDiffers, metrics);
        Self { services, keys: None, tolerance: config.opencrvs.stamp_tolerance, warning, alarm }
    }

    /// Also compares the times at which verified tokens were issued.
    pub(crate) fn and_tokens_of(self, keys: &Arc<KeyStore>) -> Self {
        Self { keys: Some(Arc::clone(keys)), ..self }
    }

    /// Watches until `stop` is cancelled.
    pub(crate) async fn watch(mut self, stop: CancellationToken) {
        let watching = async {
            loop {
                let difference = self.difference().await;
                match &difference {
                    Some(why) => {
                        self.warning.raise(why);
                        self.alarm.raise(why);
                    }
                    None => {
                        self.warning.clear();
                        self.alarm.clear();
                    }
                }
                let pause = if difference.is_some() { PAUSE_AFTER_DIFFERENCE } else { PAUSE };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop.cancelled() => {}
        }
    }

    /// What is wrong. `None` if all clocks that can be read agree with ours.
    async fn difference(&self) -> Option<String> {
        for WatchedService { setting, clock } in &self.services {
            if let Some(lead) = clock.lead().await
                && let Some(text) = difference(lead, self.tolerance)
            {
                return Some(format!("this machine's clock is {text} the service of {setting}"));
            }
        }
        let lead = self.keys.as_ref()?.lead_over_tokens()?;
        let text = difference(lead, self.tolerance)?;
        Some(format!("this machine's clock is {text} auth's, by the time (`iat`) of a token"))
    }
}

/// The difference in whole minutes, so that a steady one gives the same text each time.
fn difference(lead: SignedDuration, tolerance: Duration) -> Option<String> {
    if lead.unsigned_abs() <= tolerance {
        return None;
    }
    let minutes = lead.unsigned_abs().as_secs() / 60;
    let length = match minutes {
        0 => "less than a minute".to_owned(),
        1..120 => format!("{minutes} min"),
        _ => format!("{} h", minutes / 60),
    };
    Some(format!("{length} {}", if lead.is_negative() { "behind" } else { "ahead of" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_within_the_tolerance_is_no_trouble() {
        let tolerance = Duration::from_secs(300);
        let of = |seconds| difference(SignedDuration::from_secs(seconds), tolerance);
        for within in [-300, 0, 300] {
            assert_eq!(of(within), None, "{within}");
        }
        assert_eq!(of(301).unwrap(), "5 min ahead of");
        assert_eq!(of(-3_600).unwrap(), "60 min behind");
        assert_eq!(of(-86_400).unwrap(), "24 h behind");
    }
}
