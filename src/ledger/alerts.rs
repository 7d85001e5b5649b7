//! The outbox of alerts: what an operator is called for, until his webhook has taken it.
//!
//! Invariant: an alert is there exactly if what it tells of is on record, a history entry or the
//! count of a parking place (`parking`), since one transaction writes both; it keeps its id for
//! ever; one process at a time has it, until a lease by the ledger's clock ends.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use uuid::Uuid;

use super::confirm::millis;
use super::history::Note;
use super::rows::{optional, required, timestamp};
use super::{Ledger, LedgerError};
use crate::domain::{AttemptId, Cause, RecordId, State, TrackingId, alert_cause};

/// An alert that this process has for the time of its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The same however often it is sent.
    pub id: String,
    /// What it is about.
    pub about: About,
    /// Why.
    pub cause: Cause,
    /// Where that stands.
    pub state: State,
    /// When, by the ledger's clock.
    pub at: Timestamp,
    /// How often it was tried before.
    pub tries: u32,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A registration.
    Record {
        /// The record.
        record: RecordId,
        /// The family's code.
        tracking_id: TrackingId,
        /// The attempt, where it concerns one.
        attempt: Option<AttemptId>,
        /// When the attempt's token dies.
        token_expires_at: Option<Timestamp>,
    },
    /// A parking place on the broker: what is there could not even be recorded.
    Parking {
        /// The queue.
        queue: String,
        /// The newest message of this cause, if its id is one of ours.
        message: Option<String>,
        /// How many messages are there, of any cause.
        messages: u64,
    },
}

impl Ledger {
    /// Puts the alert of an entry into the outbox, if it is one that calls an operator.
    pub(super) async fn raise(
        &self,
        tx: &mut Transaction<'static, Any>,
        entry: Uuid,
        note: &Note<'_>,
    ) -> Result<(), LedgerError> {
        let Some(cause) = alert_cause(note.what, note.cause) else { return Ok(()) };
        let attempt = note.attempt.map(|id| id.to_string());
        sqlx::query(
            "INSERT INTO alert (alert_id, record_id, attempt_id, tracking_id, cause, state, at, token_expires_at, \
             next_at) \
             SELECT $1, r.record_id, $3, r.tracking_id, $4, a.state, c.now_ms, a.token_expires_at, c.now_ms \
             FROM clock c, record r JOIN attempt a ON a.attempt_id = COALESCE($3, r.newest_attempt) \
             WHERE r.record_id = $2 ON CONFLICT DO NOTHING",
        )
        .bind(name(entry, note, cause))
        .bind(note.record.to_owned())
        .bind(attempt)
        .bind(cause.as_str())
        .execute(&mut **tx)
        .await?;
        self.alerted.notify_one();
        Ok(())
    }

    /// Waits until a transaction of this process has written an alert; it may be about to commit
    /// only.
    pub async fn alert_raised(&self) {
        self.alerted.notified().await;
    }

    /// Takes alerts that are due for `ttl`, the oldest first; none that is older than `most_old`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; what was taken already comes back when its time is up.
    pub async fn claim_alerts(
        &self,
        most: u32,
        ttl: Duration,
        most_old: Duration,
    ) -> Result<Vec<Alert>, LedgerError> {
        let due = sqlx::query(
            "SELECT alert_id, record_id, attempt_id, tracking_id, queue, message_id, messages, cause, state, at, \
             token_expires_at, tries FROM alert WHERE done_at IS NULL AND next_at <= (SELECT now_ms FROM clock) \
             AND claimed_until <= (SELECT now_ms FROM clock) AND at > (SELECT now_ms FROM clock) - $1 \
             ORDER BY at LIMIT $2",
        )
        .bind(millis(most_old))
        .bind(i64::from(most))
        .fetch_all(&self.pool)
        .await?;
        let mut taken = Vec::new();
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
                taken.push(alert);
            }
        }
        Ok(taken)
    }

    /// The webhook has taken it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; it is sent once more then.
    pub async fn alert_delivered(&self, id: &str) -> Result<(), LedgerError> {
        sqlx::query("UPDATE alert SET done_at = (SELECT now_ms FROM clock) WHERE alert_id = $1")
            .bind(id.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The webhook has not taken it: it is due again after a pause.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; it is due again when the lease ends.
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

    /// Gives up those that are older than `most_old`; says how many that were.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn abandon_alerts(&self, most_old: Duration) -> Result<u64, LedgerError> {
        let given_up = sqlx::query(
            "UPDATE alert SET done_at = (SELECT now_ms FROM clock) \
             WHERE done_at IS NULL AND at <= (SELECT now_ms FROM clock) - $1",
        )
        .bind(millis(most_old))
        .execute(&self.pool)
        .await?;
        Ok(given_up.rows_affected())
    }

    /// Forgets alerts that are older than `keep`; the history keeps what they told.
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

/// Named after its entry; an ID that is issued again and again for nobody calls once.
fn name(entry: Uuid, note: &Note<'_>, cause: Cause) -> String {
    if cause == Cause::OrphanId && State::parse(note.what).is_none() {
        let attempt = note.attempt.map(|id| id.to_string()).unwrap_or_default();
        let told = format!("alert|{}|{attempt}|{}|{}", note.record, note.what, cause.as_str());
        return Uuid::new_v5(&Uuid::NAMESPACE_OID, told.as_bytes()).to_string();
    }
    entry.to_string()
}

fn read(row: &AnyRow) -> Result<Alert, LedgerError> {
    let tries: i64 = row.try_get("tries")?;
    Ok(Alert {
        id: row.try_get("alert_id")?,
        about: about(row)?,
        cause: required(row, "cause", Cause::parse)?,
        state: required(row, "state", State::parse)?,
        at: timestamp(row.try_get("at")?)?,
        tries: u32::try_from(tries).unwrap_or(u32::MAX),
    })
}

fn about(row: &AnyRow) -> Result<About, LedgerError> {
    if let Some(queue) = row.try_get("queue")? {
        let messages: Option<i64> = row.try_get("messages")?;
        let messages = messages.and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
        return Ok(About::Parking { queue, message: row.try_get("message_id")?, messages });
    }
    Ok(About::Record {
        record: required(row, "record_id", |text| RecordId::parse(text).ok())?,
        tracking_id: required(row, "tracking_id", |text| TrackingId::parse(text).ok())?,
        attempt: optional(row, "attempt_id", |text| AttemptId::parse(text).ok())?,
        token_expires_at: row.try_get::<Option<i64>, _>("token_expires_at")?.map(timestamp).transpose()?,
    })
}
