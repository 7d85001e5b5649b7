//! Leases on what only one process of the whole installation may do at a time.
//!
//! Invariant: at most one owner of a name at any time by the ledger's clock; an owner that is gone
//! is followed when its time is up.

use std::time::Duration;

use super::confirm::millis;
use super::{Ledger, LedgerError};

impl Ledger {
    /// Takes the lease of this name for `ttl`, or renews it; says whether this process has it now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; it is not known then who has it.
    pub async fn acquire_task_lease(&self, name: &str, ttl: Duration) -> Result<bool, LedgerError> {
        let held = sqlx::query(
            "INSERT INTO lease (name, owner, until) VALUES ($1, $2, (SELECT now_ms FROM clock) + $3) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
             WHERE lease.owner = excluded.owner OR lease.until <= (SELECT now_ms FROM clock)",
        )
        .bind(name)
        .bind(self.who.to_string())
        .bind(millis(ttl))
        .execute(&self.pool)
        .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Gives the lease of this name back, if this process has it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the lease then ends by itself.
    pub async fn release_task_lease(&self, name: &str) -> Result<(), LedgerError> {
        sqlx::query("DELETE FROM lease WHERE name = $1 AND owner = $2")
            .bind(name)
            .bind(self.who.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
