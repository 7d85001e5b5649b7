//! What the ledger stores about the bridge's own client in OpenCRVS: alerts about its
//! configuration, and the users that records are assigned to.
//!
//! Invariant: an alert about the configuration is raised once for all records and all processes,
//! and again only after it was settled, or after [`REPEAT_AFTER`].

use std::time::Duration;

use sqlx::Row as _;
use uuid::Uuid;

use super::columns::millis;
use super::{Ledger, LedgerError, Stage};
use crate::domain::{AttemptId, Cause, RecordId, State};

/// Time after which an alert is repeated while its cause lasts.
const REPEAT_AFTER: Duration = Duration::from_secs(24 * 3_600);

impl Ledger {
    /// Raises an alert about the configuration of the client, unless the same one was raised before
    /// and has not been settled. `scope` is the scope that the client lacks. Returns whether the
    /// alert was raised.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn raise_configuration_alert(
        &self,
        cause: Cause,
        scope: Option<&str>,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        // Until the time in this row, no process raises the alert again.
        let first = sqlx::query(
            "INSERT INTO lease (name, owner, until) VALUES ($1, $2, (SELECT now_ms FROM clock) + $3) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
             WHERE lease.until <= (SELECT now_ms FROM clock)",
        )
        .bind(alert_name(cause, scope))
        .bind(self.who.to_string())
        .bind(millis(REPEAT_AFTER))
        .execute(&mut *tx)
        .await?;
        if first.rows_affected() != 1 {
            tx.rollback().await?;
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO alert (alert_id, message_id, cause, state, at, next_at) \
             SELECT $1, $2, $3, $4, now_ms, now_ms FROM clock",
        )
        .bind(Uuid::new_v4().to_string())
        .bind(scope.unwrap_or_default().to_owned())
        .bind(cause.as_str())
        .bind(State::Answered.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.alerted.notify_one();
        Ok(true)
    }

    /// Settles the alerts about the configuration of the client that its use of `scope` disproves,
    /// so that the same alerts can be raised again at once.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn settle_configuration_alerts(&self, scope: &str) -> Result<(), LedgerError> {
        sqlx::query("DELETE FROM lease WHERE name IN ($1, $2, $3)")
            .bind(alert_name(Cause::ClientRefused, None))
            .bind(alert_name(Cause::ClientMissing, None))
            .bind(alert_name(Cause::ClientScope, Some(scope)))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The alerts about the configuration of the client that have not been settled: the cause, and
    /// the scope that the client lacks.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_configuration_alerts(&self) -> Result<Vec<(Cause, Option<String>)>, LedgerError> {
        let found = sqlx::query(
            "SELECT name FROM lease WHERE name LIKE 'alert:%' AND until > (SELECT now_ms FROM clock) \
             ORDER BY name",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut open = Vec::new();
        for row in &found {
            open.extend(named_alert(&row.try_get::<String, _>("name")?));
        }
        Ok(open)
    }

    /// Adds an entry to the history that a user is assigned to the record in OpenCRVS, once for
    /// each user. Returns whether the entry is new.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn record_assignee(
        &self,
        record: &RecordId,
        attempt: AttemptId,
        user: Option<&str>,
    ) -> Result<bool, LedgerError> {
        let why = user.map(|user| format!("assigned to user {user}"));
        let added = sqlx::query(
            "INSERT INTO history (entry_id, record_id, attempt_id, at, stage, what, cause, who, why) \
             SELECT $1, $2, $3, now_ms, $4, $5, $6, $7, $8 FROM clock WHERE NOT EXISTS \
             (SELECT 1 FROM history h WHERE h.record_id = $2 AND h.attempt_id = $3 AND h.what = $5 \
             AND COALESCE(h.why, '') = COALESCE($8, ''))",
        )
        .bind(Uuid::now_v7().to_string())
        .bind(record.as_str())
        .bind(attempt.to_string())
        .bind(Stage::Confirm.as_str())
        .bind("assigned")
        .bind(Cause::Assigned.as_str())
        .bind(self.who.to_string())
        .bind(why)
        .execute(&self.pool)
        .await?;
        Ok(added.rows_affected() == 1)
    }
}

fn alert_name(cause: Cause, scope: Option<&str>) -> String {
    format!("alert:{}:{}", cause.as_str(), scope.unwrap_or_default())
}

/// The inverse of [`alert_name`]. `None` for a cause that this release does not know.
fn named_alert(name: &str) -> Option<(Cause, Option<String>)> {
    let (cause, scope) = name.strip_prefix("alert:")?.split_once(':')?;
    Some((Cause::parse(cause)?, (!scope.is_empty()).then(|| scope.to_owned())))
}
