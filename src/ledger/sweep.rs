//! What the sweeper and `nidbridge recover` ask of the ledger.
//!
//! Invariant: an attempt is looked at only where it is the newest of its record; its end by expiry
//! never falls into a write to OpenCRVS that is under way or may still arrive; erasing keeps
//! everything that is not sealed.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{Any, Row as _, Transaction};

use super::confirm::{lease_state, millis};
use super::history::Note;
use super::rows::{self, Case, attempts, limit, required};
use super::{Expiry, Ledger, LedgerError, Stage};
use crate::domain::lease::may_expire;
use crate::domain::{AttemptId, Cause, Lane, RecordId, State};

impl Ledger {
    /// Attempts of a lane that were not heard of for `silence`, the most silent first.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn overdue(
        &self,
        lane: Lane,
        silence: Duration,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.state IN ('received', 'requested', 'answered') \
             AND CASE WHEN a.state = 'answered' THEN 'outcome' \
                 WHEN a.state = 'requested' AND a.sent_at >= COALESCE(a.published_at, 0) THEN 'reply' \
                 ELSE 'request' END = $1 \
             AND COALESCE(a.published_at, a.recorded_at) <= (SELECT now_ms FROM clock) - $2 \
             ORDER BY COALESCE(a.published_at, a.recorded_at) LIMIT $3",
        )
        .bind(lane.as_str())
        .bind(millis(silence))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        attempts(&found)
    }

    /// How many attempts of a lane are open.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_in(&self, lane: Lane) -> Result<u64, LedgerError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.state IN ('received', 'requested', 'answered') \
             AND CASE WHEN a.state = 'answered' THEN 'outcome' \
                 WHEN a.state = 'requested' AND a.sent_at >= COALESCE(a.published_at, 0) THEN 'reply' \
                 ELSE 'request' END = $1",
        )
        .bind(lane.as_str())
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get::<i64, _>("n")?.unsigned_abs())
    }

    /// The open attempts in the order of their ids, those after `after`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_after(
        &self,
        after: Option<AttemptId>,
        most: usize,
    ) -> Result<Vec<AttemptId>, LedgerError> {
        self.page(
            "SELECT a.attempt_id FROM attempt a \
             JOIN record r ON r.record_id = a.record_id AND r.newest_attempt = a.attempt_id \
             WHERE a.state IN ('received', 'requested', 'answered') AND a.attempt_id > $1 \
             ORDER BY a.attempt_id LIMIT $2",
            after,
            most,
        )
        .await
    }

    /// How many attempts are open, by state.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_counts(&self) -> Result<BTreeMap<&'static str, u64>, LedgerError> {
        let mut counts = self.counts().await?;
        counts.retain(|name, _| State::parse(name).is_some_and(State::is_open));
        Ok(counts)
    }

    /// Writes into the history that the attempt's next hop was published again.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn republished(&self, case: &Case) -> Result<(), LedgerError> {
        let record = case.record.id.as_str();
        let mut tx = self.on_record(record).await?.ok_or(LedgerError::Missing("record"))?;
        self.note(&mut tx, swept(record, Some(case.attempt.id), "republished", None)).await?;
        Ok(tx.commit().await?)
    }

    /// Open attempts whose token is dead and that no confirmer is at. A write whose end is not
    /// known is waited for as long as `quarantine`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn expirable(&self, quarantine: Duration, most: usize) -> Result<Vec<AttemptId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a JOIN record r ON r.record_id = a.record_id \
             WHERE a.ended_at IS NULL AND a.state IN ('received', 'requested', 'answered') \
             AND a.token_expires_at <= (SELECT now_ms FROM clock) AND r.lease_until <= (SELECT now_ms FROM clock) \
             AND COALESCE(r.intent_at, 0) <= (SELECT now_ms FROM clock) - $1 \
             ORDER BY a.token_expires_at LIMIT $2",
        )
        .bind(millis(quarantine))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        attempts(&found)
    }

    /// Ends an attempt of [`Ledger::expirable`], unless that has changed.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn expire(&self, attempt: AttemptId, quarantine: Duration) -> Result<Expiry, LedgerError> {
        let Some(case) = self.case(attempt).await? else { return Ok(Expiry::LeftAlone) };
        let record = case.record.id.as_str();
        let Some(mut tx) = self.on_record(record).await? else { return Ok(Expiry::LeftAlone) };
        // The record's row is ours now: no lease and no intent can come in between.
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        let (state, now) = lease_state(&mut tx, case.record.id.as_str()).await?;
        let intended = case.record.intent.map(|intent| intent.at);
        let may = may_expire(&state, intended, now, quarantine) && case.attempt.state.is_open();
        if !may || case.attempt.token_expires_at > now {
            tx.rollback().await?;
            return Ok(Expiry::LeftAlone);
        }
        let ended = self.end_expired(&mut tx, &case, Stage::Sweep).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Marks the open attempts whose token dies within `notice`, once for each token's end, and
    /// returns them.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; those that were returned before stay marked.
    pub async fn warn_expiring(&self, notice: Duration, most: usize) -> Result<Vec<Case>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.attempt_id FROM attempt a WHERE a.ended_at IS NULL \
             AND a.token_expires_at > (SELECT now_ms FROM clock) \
             AND a.token_expires_at <= (SELECT now_ms FROM clock) + $1 \
             AND COALESCE(a.warned_for, 0) <> a.token_expires_at ORDER BY a.token_expires_at LIMIT $2",
        )
        .bind(millis(notice))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        let mut warned = Vec::new();
        for attempt in attempts(&found)? {
            let Some(case) = self.case(attempt).await? else { continue };
            let Some(mut tx) = self.on_record(case.record.id.as_str()).await? else { continue };
            if mark_warned(&mut tx, attempt).await? {
                let note = swept(
                    case.record.id.as_str(),
                    Some(attempt),
                    "token_expiring",
                    Some(Cause::TokenExpiring),
                );
                self.note(&mut tx, note).await?;
                tx.commit().await?;
                warned.push(case);
            }
        }
        Ok(warned)
    }

    /// Records of which something sealed is still kept that ended longer than `keep` ago.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn erasable(&self, keep: Duration, most: usize) -> Result<Vec<RecordId>, LedgerError> {
        let found = sqlx::query(
            "SELECT a.record_id FROM attempt a WHERE a.ended_at <= (SELECT now_ms FROM clock) - $1 \
             AND (a.sealed_view IS NOT NULL OR a.sealed_token IS NOT NULL) \
             UNION \
             SELECT r.record_id FROM record r JOIN attempt a ON a.attempt_id = r.newest_attempt \
             WHERE r.sealed_id IS NOT NULL AND a.ended_at <= (SELECT now_ms FROM clock) - $1 LIMIT $2",
        )
        .bind(millis(keep))
        .bind(limit(most))
        .fetch_all(&self.pool)
        .await?;
        found.iter().map(|row| required(row, "record_id", |text| RecordId::parse(text).ok())).collect()
    }

    /// Erases what is sealed of a record and ended longer than `keep` ago; the ID's fingerprint
    /// stays. Says whether there was anything.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is erased then.
    pub async fn erase(&self, record: &RecordId, keep: Duration) -> Result<bool, LedgerError> {
        let Some(mut tx) = self.on_record(record.as_str()).await? else { return Ok(false) };
        let of_attempts = sqlx::query(
            "UPDATE attempt SET sealed_view = NULL, sealed_token = NULL WHERE record_id = $1 \
             AND ended_at <= (SELECT now_ms FROM clock) - $2 \
             AND (sealed_view IS NOT NULL OR sealed_token IS NOT NULL)",
        )
        .bind(record.as_str())
        .bind(millis(keep))
        .execute(&mut *tx)
        .await?;
        // An open attempt still needs the ID.
        let of_record = sqlx::query(
            "UPDATE record SET sealed_id = NULL WHERE record_id = $1 AND sealed_id IS NOT NULL \
             AND EXISTS (SELECT 1 FROM attempt a WHERE a.attempt_id = record.newest_attempt \
             AND a.ended_at <= (SELECT now_ms FROM clock) - $2)",
        )
        .bind(record.as_str())
        .bind(millis(keep))
        .execute(&mut *tx)
        .await?;
        let erased = of_attempts.rows_affected() + of_record.rows_affected() > 0;
        if erased {
            self.note(&mut tx, swept(record.as_str(), None, "erased", None)).await?;
        }
        tx.commit().await?;
        Ok(erased)
    }
}

async fn mark_warned(tx: &mut Transaction<'static, Any>, attempt: AttemptId) -> Result<bool, LedgerError> {
    let marked = sqlx::query(
        "UPDATE attempt SET warned_for = token_expires_at WHERE attempt_id = $1 \
         AND ended_at IS NULL AND COALESCE(warned_for, 0) <> token_expires_at",
    )
    .bind(attempt.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(marked.rows_affected() == 1)
}

fn swept<'a>(record: &'a str, attempt: Option<AttemptId>, what: &'a str, cause: Option<Cause>) -> Note<'a> {
    Note { record, attempt, stage: Stage::Sweep, what, cause }
}
