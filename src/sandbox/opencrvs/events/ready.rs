//! Core's call to the country config at provisioning. It carries the bootstrap token, with which
//! the country registers its integrations.
//!
//! Wire source: `opencrvs-2.1.md` §1; opencrvs-core, the caller of `/trigger/system/ready` in
//! `packages/events`.

use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use crate::sandbox::opencrvs::keys::Claims;
use crate::sandbox::opencrvs::{OpencrvsSim, SimulateError};

/// The longest pause between two calls.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How the announcement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// A call was answered with a 2xx.
    Accepted { calls: u32 },
    /// The answer was 404 or 501: the country has no integrations.
    NoIntegrations { calls: u32 },
    /// Core gave up.
    GaveUp { calls: u32 },
    /// The release makes no such call.
    NotMade,
}

impl OpencrvsSim {
    /// Tells the country config, or the front before it, that the system is ready. Repeats with
    /// back-off until a 2xx, and gives up after [`super::EventsBehaviour::ready_attempts`] calls.
    ///
    /// # Errors
    /// [`SimulateError`] when no token can be signed.
    pub async fn announce_ready(&self, front: &Url) -> Result<Announced, SimulateError> {
        let state = self.core.events.behaviour();
        let Some(path) = self.release().ready_path() else { return Ok(Announced::NotMade) };
        let mut pause = state.ready_backoff;
        for calls in 1..=state.ready_attempts {
            // The token lives 60 seconds, which is less than all calls together may take.
            let token = self.mint(&Claims::bootstrap(Timestamp::now()))?;
            let call = self.caller.get(front, path, &token);
            let answer = tokio::time::timeout(state.ready_timeout, call).await;
            match answer {
                Ok(Ok(status)) if (200..300).contains(&status) => return Ok(Announced::Accepted { calls }),
                Ok(Ok(404 | 501)) => return Ok(Announced::NoIntegrations { calls }),
                Ok(Ok(status)) => {
                    tracing::warn!(status, calls, "the front did not accept the call: it is repeated");
                }
                Ok(Err(error)) => {
                    tracing::warn!(error, calls, "the front could not be called: it is called again");
                }
                Err(_) => tracing::warn!(calls, "the front did not answer in time: it is called again"),
            }
            if calls < state.ready_attempts {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Ok(Announced::GaveUp { calls: state.ready_attempts })
    }
}
