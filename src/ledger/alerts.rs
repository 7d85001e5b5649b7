//! The outbox of alerts: each alert stays here until the operators' webhook has accepted it.
//!
//! Invariant: an alert is written in the transaction that writes what it reports (a history entry,
//! the count of a parking queue, or the fault of the client's configuration). The id of an alert
//! never changes. One process at a time works on an alert, under a lease by the ledger's clock.

mod many;

use std::time::Duration;

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use uuid::Uuid;

use super::columns::{millis, optional, optional_timestamp, record_id, required, timestamp};
use super::history::NewEntry;
use super::{Ledger, LedgerError};
use crate::domain::{AttemptId, Cause, RecordId, State, TrackingId, alert_cause, concerns_one_person};

/// An alert that this process has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The idempotency key: the same however often the alert is sent.
    pub id: String,
    pub about: About,
    pub cause: Cause,
    /// The state of the attempt. For a parking queue it is *parked*, and for a fault of the
    /// client's configuration *answered*, because answered attempts wait for it.
    pub state: State,
    pub at: Timestamp,
    /// What exactly is at fault, if there is more to say than the cause. No personal data.
    pub detail: Option<String>,
    /// Number of earlier tries to send the alert.
    pub tries: u32,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Record {
        record: RecordId,
        tracking_id: TrackingId,
        /// The attempt, if the alert concerns one.
        attempt: Option<AttemptId>,
        token_expires_at: Option<Timestamp>,
    },
    /// A parking queue on the broker, whose messages could not even be recorded.
    Parking {
        queue: String,
        /// The id of the newest message of this cause, if it is one of ours.
        message: Option<String>,
        /// Number of messages in the queue, of any cause.
        messages: u64,
    },
    /// The records beyond the first ones of an hour, which are alerted one by one.
    Many { records: u64 },
    /// The configuration of the bridge's client in OpenCRVS, which concerns every record.
    Client {
        /// The scope that the client lacks, if that is the cause.
        scope: Option<String>,
    },
}

impl Ledger {
    /// Adds the alert that a history entry calls for, if any. `detail` contains no personal data.
    pub(super) async fn raise_alert(
        &self,
        tx: &mut Transaction<'static, Any>,
        id: Uuid,
        entry: &NewEntry<'_>,
        detail: Option<&str>,
    ) -> Result<(), LedgerError> {
        let Some(cause) = alert_cause(entry.what.state(), entry.cause) else { return Ok(()) };
        if many::count(tx, entry, cause).await? {
            return Ok(());
        }
        let attempt = entry.attempt.map(|id| id.to_string());
        sqlx::query(
            "INSERT INTO alert (alert_id, record_id, attempt_id, tracking_id, cause, state, at, token_expires_at, \
             next_at, detail) \
             SELECT $1, r.record_id, $3, r.tracking_id, $4, a.state, c.now_ms, a.token_expires_at, c.now_ms, $5 \
             FROM clock c, record r JOIN attempt a ON a.attempt_id = COALESCE($3, r.newest_attempt) \
             WHERE r.record_id = $2 ON CONFLICT DO NOTHING",
        )
        .bind(alert_id(id, entry, cause, detail))
        .bind(entry.record.to_owned())
        .bind(attempt)
        .bind(cause.as_str())
        .bind(detail.map(str::to_owned))
        .execute(&mut **tx)
        .await?;
        self.alerted.notify_one();
        Ok(())
    }

    /// Waits until a transaction of this process has written an alert, which may not be committed
    /// yet.
    pub async fn alert_raised(&self) {
        self.alerted.notified().await;
    }

    /// Claims due alerts for `ttl`, oldest first. Alerts that are older than `most_old` are left
    /// out.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; alerts that were claimed already are due again when their
    /// lease ends.
    pub async fn claim_alerts(
        &self,
        most: u32,
        ttl: Duration,
        most_old: Duration,
    ) -> Result<Vec<Alert>, LedgerError> {
        let due = sqlx::query(
            "SELECT alert_id, record_id, attempt_id, tracking_id, queue, message_id, messages, cause, state, at, \
             token_expires_at, detail, tries FROM alert WHERE done_at IS NULL AND next_at <= (SELECT now_ms FROM clock) \
             AND claimed_until <= (SELECT now_ms FROM clock) AND at > (SELECT now_ms FROM clock) - $1 \
             ORDER BY at LIMIT $2",
        )
        .bind(millis(most_old))
        .bind(i64::from(most))
        .fetch_all(&self.pool)
        .await?;
        let mut claimed_alerts = Vec::new();
        for row in &due {
            let alert = read(row)?;
            let claimed = sqlx::query(
                "UPDATE alert SET claimed_by = $2, claimed_until = (SELECT now_ms FROM clock) + $3, \
                 tries = tries + 1 \
                 WHERE alert_id = $1 AND done_at IS NULL AND claimed_until <= (SELECT now_ms FROM clock)",
            )
            .bind(alert.id.clone())
            .bind(self.who.to_string())
            .bind(millis(ttl))
            .execute(&self.pool)
            .await?;
            if claimed.rows_affected() == 1 {
                claimed_alerts.push(alert);
            }
        }
        Ok(claimed_alerts)
    }

    /// Records that the webhook has accepted the alert.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the alert is then sent again.
    pub async fn alert_delivered(&self, id: &str) -> Result<(), LedgerError> {
        sqlx::query("UPDATE alert SET done_at = (SELECT now_ms FROM clock) WHERE alert_id = $1")
            .bind(id.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records that the webhook did not accept the alert. The alert is due again after `pause`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; the alert is due again when its lease ends.
    pub async fn alert_failed(&self, id: &str, pause: Duration) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE alert SET claimed_until = 0, next_at = (SELECT now_ms FROM clock) + $3 \
             WHERE alert_id = $1 AND claimed_by = $2",
        )
        .bind(id.to_owned())
        .bind(self.who.to_string())
        .bind(millis(pause))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives up alerts that are older than `most_old`. Returns how many.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn abandon_alerts(&self, most_old: Duration) -> Result<u64, LedgerError> {
        let abandoned = sqlx::query(
            "UPDATE alert SET done_at = (SELECT now_ms FROM clock) \
             WHERE done_at IS NULL AND at <= (SELECT now_ms FROM clock) - $1",
        )
        .bind(millis(most_old))
        .execute(&self.pool)
        .await?;
        Ok(abandoned.rows_affected())
    }

    /// Deletes alerts that are older than `keep`; the history keeps what they reported.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn delete_alerts(&self, keep: Duration) -> Result<(), LedgerError> {
        sqlx::query("DELETE FROM alert WHERE at <= (SELECT now_ms FROM clock) - $1")
            .bind(millis(keep))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Adds a detail to the new alert about an attempt: what exactly is at fault.
pub(super) async fn explain_alert(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
    cause: Cause,
    detail: &str,
) -> Result<(), LedgerError> {
    sqlx::query("UPDATE alert SET detail = $2 WHERE attempt_id = $1 AND cause = $3 AND detail IS NULL")
        .bind(attempt.to_string())
        .bind(detail.to_owned())
        .bind(cause.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The id of an alert is the id of its history entry, with one exception. If the ID system sends a
/// reply repeatedly that is refused, the alert gets the same id each time, so that operators are
/// alerted once to each detail.
fn alert_id(id: Uuid, entry: &NewEntry<'_>, cause: Cause, detail: Option<&str>) -> String {
    if concerns_one_person(cause) && entry.what.state().is_none() {
        let attempt = entry.attempt.map(|id| id.to_string()).unwrap_or_default();
        let detail = detail.map(|detail| format!("|{detail}")).unwrap_or_default();
        let name =
            format!("alert|{}|{attempt}|{}|{}{detail}", entry.record, entry.what.as_str(), cause.as_str());
        return Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string();
    }
    id.to_string()
}

fn read(row: &AnyRow) -> Result<Alert, LedgerError> {
    let tries: i64 = row.try_get("tries")?;
    Ok(Alert {
        id: row.try_get("alert_id")?,
        about: about(row)?,
        cause: required(row, "cause", Cause::parse)?,
        state: required(row, "state", State::parse)?,
        at: timestamp(row.try_get("at")?)?,
        detail: row.try_get("detail")?,
        tries: u32::try_from(tries).unwrap_or(u32::MAX),
    })
}

fn about(row: &AnyRow) -> Result<About, LedgerError> {
    let count: Option<i64> = row.try_get("messages")?;
    let count = count.and_then(|count| u64::try_from(count).ok());
    if let Some(queue) = row.try_get("queue")? {
        let messages = count.unwrap_or_default();
        return Ok(About::Parking { queue, message: row.try_get("message_id")?, messages });
    }
    if let Some(records) = count {
        return Ok(About::Many { records });
    }
    if row.try_get::<Option<String>, _>("record_id")?.is_none() {
        let scope: Option<String> = row.try_get("message_id")?;
        return Ok(About::Client { scope: scope.filter(|scope| !scope.is_empty()) });
    }
    Ok(About::Record {
        record: record_id(row)?,
        tracking_id: required(row, "tracking_id", |text| TrackingId::parse(text).ok())?,
        attempt: optional(row, "attempt_id", |text| AttemptId::parse(text).ok())?,
        token_expires_at: optional_timestamp(row, "token_expires_at")?,
    })
}
