//! Leases on tasks that only one process of the whole installation may work on at a time.
//!
//! Invariant: by the ledger's clock a task has at most one owner at any time; if the owner stops
//! without giving the lease back, another process can take it when it ends.

use std::time::Duration;

use super::columns::millis;
use super::{Ledger, LedgerError};

impl Ledger {
    /// Takes the lease on a task for `ttl`, or renews it. Returns whether this process has the
    /// lease now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; it is not known then which process has the lease.
    pub async fn acquire_task_lease(&self, task: &str, ttl: Duration) -> Result<bool, LedgerError> {
        let held = sqlx::query(
            "INSERT INTO lease (name, owner, until) VALUES ($1, $2, (SELECT now_ms FROM clock) + $3) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
             WHERE lease.owner = excluded.owner OR lease.until <= (SELECT now_ms FROM clock)",
        )
        .bind(task)
        .bind(self.who.to_string())
        .bind(millis(ttl))
        .execute(&self.pool)
        .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Gives the lease on a task back, if this process has it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the lease then ends when its time is up.
    pub async fn release_task_lease(&self, task: &str) -> Result<(), LedgerError> {
        sqlx::query("DELETE FROM lease WHERE name = $1 AND owner = $2")
            .bind(task)
            .bind(self.who.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
