//! The lease on a record: the exclusive right to write it to OpenCRVS.
//!
//! Invariant: by the ledger's clock at most one lease on a record is active, and each has a higher
//! fence than the one before.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::columns::{millis, timestamp};
use super::rows::{self, Case};
use super::{Ledger, LedgerError};
use crate::domain::AttemptId;
use crate::domain::lease::LeaseState;

/// The right to write the record of an attempt, until the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lease that is not given back keeps the record from every other confirmer until it ends"]
pub struct Lease {
    pub(super) attempt: AttemptId,
    pub(super) fence: i64,
}

/// Why a lease was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRefusal {
    /// Another confirmer has the lease.
    Taken,
    /// The ledger has no such attempt.
    Unknown,
}

impl Ledger {
    /// Takes the lease on the attempt's record for `ttl`, and reads the attempt under it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn lease_record(
        &self,
        attempt: AttemptId,
        ttl: Duration,
    ) -> Result<Result<(Lease, Case), LeaseRefusal>, LedgerError> {
        let Some(case) = self.case(attempt).await? else {
            return Ok(Err(LeaseRefusal::Unknown));
        };
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        let (state, now) = lease_state(&mut tx, record).await?;
        if !state.may_lease(now) {
            tx.rollback().await?;
            return Ok(Err(LeaseRefusal::Taken));
        }
        let fence = state.fence + 1;
        let taken = sqlx::query(
            "UPDATE record SET lease_owner = $2, lease_until = (SELECT now_ms FROM clock) + $3, fence = $4 \
             WHERE record_id = $1 AND fence = $5",
        )
        .bind(record)
        .bind(self.who.to_string())
        .bind(millis(ttl))
        .bind(fence)
        .bind(state.fence)
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() != 1 {
            return Err(LedgerError::Raced);
        }
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(Ok((Lease { attempt, fence }, case)))
    }

    /// Gives the lease back, unless it has ended and another confirmer has leased the record since.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the lease then ends by itself.
    pub async fn release_record(&self, lease: Lease) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE record SET lease_owner = NULL, lease_until = 0 \
             WHERE newest_attempt IS NOT NULL AND fence = $2 \
             AND record_id = (SELECT record_id FROM attempt WHERE attempt_id = $1)",
        )
        .bind(lease.attempt.to_string())
        .bind(lease.fence)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Reads the latest lease on a record and the ledger's time.
pub(super) async fn lease_state(
    tx: &mut Transaction<'static, Any>,
    record: &str,
) -> Result<(LeaseState, Timestamp), LedgerError> {
    let row = sqlx::query(
        "SELECT fence, lease_until, (SELECT now_ms FROM clock) AS now_ms FROM record WHERE record_id = $1",
    )
    .bind(record)
    .fetch_one(&mut **tx)
    .await?;
    let state = LeaseState { fence: row.try_get("fence")?, until: timestamp(row.try_get("lease_until")?)? };
    Ok((state, timestamp(row.try_get("now_ms")?)?))
}
