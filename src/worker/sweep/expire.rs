//! Expires attempts whose token has expired, and warns of tokens that expire soon and of attempts
//! that are open for too long.

use super::{SweepRules, Sweeper};
use crate::domain::{AttemptId, Cause};
use crate::ledger::{Case, Expiry};
use crate::pipeline::elected::{Halt, Leadership};

impl Sweeper {
    /// Expires one batch of the attempts whose token has expired.
    pub(super) async fn expire(&self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        let SweepRules { quarantine, has_client, batch, .. } = self.rules;
        for attempt in self.ledger.expirable(quarantine, has_client, batch).await? {
            leadership.check().await?;
            let Expiry::Ended { orphan } = self.ledger.expire(attempt, quarantine, has_client).await? else {
                continue;
            };
            self.alarm(attempt, Cause::TokenRefused, "the token expired before OpenCRVS could be told");
            if orphan {
                self.alarm(attempt, Cause::OrphanId, "an ID was issued for a record that is not registered");
            }
        }
        Ok(())
    }

    /// Warns of tokens that expire soon, once for each token, of attempts that are open for longer
    /// than the ID system's deadline, and of attempts that fail while others are confirmed.
    pub(super) async fn warn(&self) -> Result<(), Halt> {
        let SweepRules { expiring, deadline, failing_after, has_client, batch, .. } = self.rules;
        for Case { attempt, .. } in self.ledger.warn_expiring(expiring, has_client, batch).await? {
            self.alarm(attempt.id, Cause::TokenExpiring, "the token expires soon");
        }
        for Case { attempt, .. } in self.ledger.warn_overdue(deadline, batch).await? {
            self.alarm(attempt.id, Cause::Overdue, "OpenCRVS has no answer although NID_DEADLINE is over");
        }
        for Case { attempt, .. } in self.ledger.warn_failing(failing_after, batch).await? {
            self.alarm(attempt.id, Cause::Failing, "an attempt keeps failing while others are confirmed");
        }
        Ok(())
    }

    fn alarm(&self, attempt: AttemptId, cause: Cause, what: &'static str) {
        self.metrics.alarm(cause);
        tracing::error!(stage = Self::NAME, attempt.id = %attempt, cause = cause.as_str(), "{what}");
    }
}
