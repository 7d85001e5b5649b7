//! Fetches auth's public key for a front that has none yet.
//!
//! Invariant: a front is not ready before it has the key, because it cannot accept anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::alarm::Alarm;
use crate::admin::Condition;
use crate::domain::Cause;
use crate::opencrvs::KeyStore;
use crate::telemetry::Metrics;

/// Time without a key after which an operator is alerted, because auth and the front may start
/// together.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct AuthKey {
    keys: Arc<KeyStore>,
    /// Met once a key is known.
    condition: Condition,
    alarm: Alarm,
}

impl AuthKey {
    pub(crate) fn new(keys: &Arc<KeyStore>, condition: Condition, metrics: &Arc<Metrics>) -> Self {
        Self { keys: Arc::clone(keys), condition, alarm: Alarm::new(Cause::AuthKeyMissing, metrics) }
    }

    /// Fetches until a key is known or `stop` is cancelled.
    pub(crate) async fn fetch(mut self, stop: CancellationToken) {
        tokio::select! {
            () = self.fetch_until_known() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn fetch_until_known(&mut self) {
        let begun = Instant::now();
        while !self.keys.has_key().await && self.keys.fetch_key().await.is_none() {
            let why = self.keys.fault().map_or_else(String::new, |fault| fault.to_string());
            let why = format!("AUTH_URL (opencrvs.auth_url): {why}");
            self.condition.unmet(&why);
            if begun.elapsed() >= PATIENCE {
                self.alarm.raise(&why);
            }
            // Not in `fetch_key`, which keeps requests from a fetch of their own meanwhile.
            tokio::time::sleep(self.keys.refetch()).await;
        }
        self.alarm.clear();
        self.condition.set(true);
    }
}
