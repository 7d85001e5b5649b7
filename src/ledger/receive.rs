//! Receives a registration: creates its record, number and attempt, and supersedes older attempts.
//!
//! Invariant: a record has one number, allocated once; each attempt that is sent has its own
//! submission number; receiving the same attempt again changes nothing. A stamp of a wrong clock
//! does not order attempts ([`order_stamp`]).

use jiff::Timestamp;
use sqlx::{Any, Transaction};

use super::columns::{attempt_id, required};
use super::history::{NewEntry, What};
use super::newest::lead;
use super::number::{Allocation, allocate, is_other_number};
use super::rows::{self, Case};
use super::said::{Said, follow};
use super::{Ledger, LedgerError, Stage};
use crate::domain::lease::supersedes;
use crate::domain::order::{is_believable, order_stamp};
use crate::domain::{AttemptId, Cause, Event, NumberRules, Registration, RequestId, State, next};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub case: Case,
    /// Whether this call created the attempt; `false` for a repeat.
    pub fresh: bool,
    /// Whether the attempt is fresh and its stamp is not believable: it lies in the future, or many
    /// years ago.
    pub from_future: bool,
    /// Whether the attempt is fresh and the country gave another number than the record has.
    pub number_kept: bool,
    /// The newer attempt, if the attempt is fresh and was superseded when it arrived.
    pub winner: Option<Winner>,
}

/// An attempt that is newer than one that has just arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Winner {
    pub attempt: AttemptId,
    pub stamp: Timestamp,
    /// Whether its stamp was not believable when it was accepted.
    pub from_future: bool,
}

/// An attempt that is being received.
#[derive(Clone, Copy)]
struct Arriving<'a> {
    registration: &'a Registration,
    sealed_view: &'a str,
    sealed_token: Option<&'a str>,
    /// Whether the record was made for this attempt.
    is_new: bool,
}

impl Ledger {
    /// Writes an attempt to the ledger. A record that has no number yet gets one by `numbers`.
    ///
    /// An attempt that is newer than all others of its record supersedes those that have not ended;
    /// an older one is recorded as superseded. If another record has the number, the attempt is
    /// parked.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; nothing is changed then.
    pub async fn receive(
        &self,
        registration: &Registration,
        numbers: &NumberRules,
        sealed_view: &str,
        sealed_token: Option<&str>,
    ) -> Result<Receipt, LedgerError> {
        let key = &registration.key;
        let is_new = self.ensure_record(registration).await?;
        let mut tx = self.on_record(key.record.as_str()).await?.ok_or(LedgerError::Missing("record"))?;
        if let Some(case) = rows::case_in(&mut tx, key.id()).await? {
            tx.rollback().await?;
            return Ok(Receipt { case, fresh: false, from_future: false, number_kept: false, winner: None });
        }
        let from_future = !is_believable(key.stamp, registration.accepted_at, self.stamp_tolerance);
        let arriving = Arriving { registration, sealed_view, sealed_token, is_new };
        let winner = self.insert_attempt(&mut tx, &arriving).await?;
        if winner.is_none()
            && let Allocation::Taken(owner) = allocate(&mut tx, registration, numbers).await?
        {
            self.park_clash(&mut tx, &key.record, key.id(), &owner).await?;
        }
        let number_kept = is_other_number(&mut tx, registration).await?;
        if number_kept {
            self.add_number_entry(&mut tx, registration).await?;
        }
        if from_future {
            self.add_stamp_entry(&mut tx, registration).await?;
        }
        if let Some(winner) = &winner {
            self.add_superseded_entry(&mut tx, registration, winner).await?;
        }
        let case = rows::case_in(&mut tx, key.id()).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(Receipt { case, fresh: true, from_future, number_kept, winner })
    }

    /// Returns whether this call made the record.
    async fn ensure_record(&self, registration: &Registration) -> Result<bool, LedgerError> {
        let key = &registration.key;
        let known = sqlx::query("SELECT 1 AS one FROM record WHERE record_id = $1")
            .bind(key.record.as_str())
            .fetch_optional(&self.pool)
            .await?;
        if known.is_some() {
            return Ok(false);
        }
        let inserted = sqlx::query(
            "INSERT INTO record (record_id, dialect, kind, tracking_id, office, request_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, (SELECT now_ms FROM clock)) ON CONFLICT DO NOTHING",
        )
        .bind(key.record.as_str())
        .bind(key.dialect.as_str())
        .bind(registration.kind.as_str())
        .bind(registration.tracking_id.as_str())
        .bind(registration.office.clone())
        .bind(RequestId::of(&key.record, &registration.kind).to_string())
        .execute(&self.pool)
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Inserts the attempt. Returns the newer attempt of the record, if there is one.
    async fn insert_attempt(
        &self,
        tx: &mut Transaction<'static, Any>,
        arriving: &Arriving<'_>,
    ) -> Result<Option<Winner>, LedgerError> {
        let Arriving { registration, sealed_view, sealed_token, is_new } = *arriving;
        let key = &registration.key;
        let id = key.id();
        let (submissions, previous) = self.newest_in(tx, key.record.as_str()).await?;
        let order = order_stamp(key.stamp, registration.accepted_at, self.stamp_tolerance);
        let newest = supersedes(order, previous.as_ref().map(|previous| previous.order));
        let state = if newest { State::Received } else { State::Superseded };
        if newest {
            self.supersede_all(tx, key.record.as_str()).await?;
            lead(tx, key.record.as_str(), id, order, 1).await?;
            // An older attempt may have come before this one, even if this one made the record.
            if !is_new || submissions > 0 {
                follow(tx, &key.record, &Said::by(registration)).await?;
            }
        }
        sqlx::query(
            "INSERT INTO attempt (attempt_id, record_id, stamp, submission, accepted_at, token_expires_at, \
             sealed_view, sealed_token, state, wait_ms, action_id, given_number, dialect, kind, tracking_id, office, \
             recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
             (SELECT now_ms FROM clock))",
        )
        .bind(id.to_string())
        .bind(key.record.as_str())
        .bind(key.stamp.as_millisecond())
        .bind(if newest { submissions + 1 } else { 0 })
        .bind(registration.accepted_at.as_millisecond())
        .bind(registration.token_expires_at.map(Timestamp::as_millisecond))
        .bind(sealed_view)
        .bind(sealed_token)
        .bind(state.as_str())
        .bind(i64::try_from(registration.wait.as_millis()).unwrap_or(i64::MAX))
        .bind(key.action().map(|action| action.to_string()))
        .bind(registration.number.as_ref().map(|number| number.as_str().to_owned()))
        .bind(key.dialect.as_str())
        .bind(registration.kind.as_str().to_owned())
        .bind(registration.tracking_id.to_string())
        .bind(registration.office.clone())
        .execute(&mut **tx)
        .await?;
        let entry = NewEntry {
            record: key.record.as_str(),
            attempt: Some(id),
            stage: Stage::Record,
            what: What::Moved(state),
            cause: None,
        };
        if registration.unheard {
            self.add_entry(tx, NewEntry { what: What::Event("unheard"), ..entry }).await?;
        }
        self.add_entry(tx, entry).await?;
        Ok(previous.filter(|_| !newest).map(|previous| previous.winner))
    }

    /// Records that OpenCRVS dates the attempt in the future, or many years ago, which alerts an
    /// operator.
    async fn add_stamp_entry(
        &self,
        tx: &mut Transaction<'static, Any>,
        registration: &Registration,
    ) -> Result<(), LedgerError> {
        let is_old = registration.key.stamp < registration.accepted_at;
        let what = if is_old { "stamp_too_old" } else { "stamp_in_future" };
        let why =
            format!("submitted at {}, accepted at {}", registration.key.stamp, registration.accepted_at);
        let entry = NewEntry {
            record: registration.key.record.as_str(),
            attempt: Some(registration.key.id()),
            stage: Stage::Record,
            what: What::Event(what),
            cause: Some(Cause::StampInFuture),
        };
        self.add_explained_entry(tx, entry, Some(&why)).await
    }

    /// Records which newer attempt superseded this one before it arrived. It alerts an operator if
    /// the order of the two is a guess.
    async fn add_superseded_entry(
        &self,
        tx: &mut Transaction<'static, Any>,
        registration: &Registration,
        winner: &Winner,
    ) -> Result<(), LedgerError> {
        let why = format!("attempt {}, submitted at {}, is newer", winner.attempt, winner.stamp);
        let entry = NewEntry {
            record: registration.key.record.as_str(),
            attempt: Some(registration.key.id()),
            stage: Stage::Record,
            what: What::Event("superseded_on_arrival"),
            cause: winner.from_future.then_some(Cause::StampInFuture),
        };
        self.add_explained_entry(tx, entry, Some(&why)).await
    }

    /// Supersedes all attempts of a record that have not ended.
    async fn supersede_all(
        &self,
        tx: &mut Transaction<'static, Any>,
        record: &str,
    ) -> Result<(), LedgerError> {
        let attempts = sqlx::query("SELECT attempt_id, state FROM attempt WHERE record_id = $1")
            .bind(record.to_owned())
            .fetch_all(&mut **tx)
            .await?;
        for row in &attempts {
            let id = attempt_id(row)?;
            let state = required(row, "state", State::parse)?;
            if next(state, Event::Supersede).is_ok() {
                self.move_attempt(tx, id, Event::Supersede, Stage::Record, None).await?;
            }
        }
        Ok(())
    }
}
