//! Receives a registration: creates its record, number and attempt, and supersedes older attempts.
//!
//! Invariant: a record has one number, allocated once; each attempt that is sent has its own
//! submission number; receiving the same attempt again changes nothing. A stamp of a wrong clock
//! does not order attempts ([`order_stamp`]).

use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::absent::lead;
use super::alerts::explain_alert;
use super::columns::{attempt_id, optional, record_id, required, timestamp};
use super::history::{NewEntry, What};
use super::rows::{self, Case};
use super::{Ledger, LedgerError, Stage};
use crate::domain::lease::supersedes;
use crate::domain::order::{is_believable, order_stamp};
use crate::domain::{
    AttemptId, Cause, Event, NumberRules, RecordId, Registration, RegistrationNumber, RequestId, State, next,
};

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

/// The newest attempt of a record, and the time that orders it.
struct Newest {
    winner: Winner,
    order: Timestamp,
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
        let is_known = self.ensure_record(registration).await?;
        let mut tx = self.on_record(key.record.as_str()).await?.ok_or(LedgerError::Missing("record"))?;
        if let Some(case) = rows::case_in(&mut tx, key.id()).await? {
            tx.rollback().await?;
            return Ok(Receipt { case, fresh: false, from_future: false, number_kept: false, winner: None });
        }
        if is_known {
            self.correct_tracking_id(&mut tx, registration).await?;
        }
        let numbered = allocate(&mut tx, registration, numbers).await?;
        let from_future = !is_believable(key.stamp, registration.accepted_at, self.stamp_tolerance);
        let winner = self.insert_attempt(&mut tx, registration, sealed_view, sealed_token).await?;
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
        if winner.is_none()
            && let Allocation::Taken(owner) = &numbered
        {
            self.park_clash(&mut tx, registration, owner).await?;
        }
        let case = rows::case_in(&mut tx, key.id()).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(Receipt { case, fresh: true, from_future, number_kept, winner })
    }

    /// Parks an attempt whose number another record has. The histories of both records name the
    /// other one, and so does the alert.
    async fn park_clash(
        &self,
        tx: &mut Transaction<'static, Any>,
        registration: &Registration,
        owner: &RecordId,
    ) -> Result<(), LedgerError> {
        let (record, attempt) = (&registration.key.record, registration.key.id());
        for (here, there, what) in [(record, owner, "number_of_record"), (owner, record, "number_wanted_by")]
        {
            let entry = NewEntry {
                record: here.as_str(),
                attempt: (here == record).then_some(attempt),
                stage: Stage::Record,
                what: What::Event(what),
                cause: None,
            };
            self.add_explained_entry(tx, entry, Some(there.as_str())).await?;
        }
        self.move_attempt(tx, attempt, Event::Park, Stage::Record, Some(Cause::NumberTaken)).await?;
        explain_alert(tx, attempt, Cause::NumberTaken, owner.as_str()).await
    }

    /// Returns whether the ledger had the record before.
    async fn ensure_record(&self, registration: &Registration) -> Result<bool, LedgerError> {
        let key = &registration.key;
        let known = sqlx::query("SELECT 1 AS one FROM record WHERE record_id = $1")
            .bind(key.record.as_str())
            .fetch_optional(&self.pool)
            .await?;
        if known.is_some() {
            return Ok(true);
        }
        sqlx::query(
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
        Ok(false)
    }

    /// Takes the tracking id of an attempt that is newer than all others, if the record has another
    /// one: one of the two is invented, and *send* finds out which. The record gets a new number
    /// then. Changes nothing once the ID system was asked or the record has an answer.
    async fn correct_tracking_id(
        &self,
        tx: &mut Transaction<'static, Any>,
        registration: &Registration,
    ) -> Result<(), LedgerError> {
        let key = &registration.key;
        let (_, newest) = self.newest_in(tx, key.record.as_str()).await?;
        let order = order_stamp(key.stamp, registration.accepted_at, self.stamp_tolerance);
        if !supersedes(order, newest.map(|newest| newest.order)) {
            return Ok(());
        }
        sqlx::query(
            "UPDATE record SET tracking_id = $2, office = $3, number = NULL, number_key = NULL \
             WHERE record_id = $1 AND tracking_id <> $2 AND NOT EXISTS (SELECT 1 FROM attempt a \
             WHERE a.record_id = $1 AND (a.asked_at IS NOT NULL OR a.answer IS NOT NULL))",
        )
        .bind(key.record.to_string())
        .bind(registration.tracking_id.to_string())
        .bind(registration.office.clone())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Inserts the attempt. Returns the newer attempt of the record, if there is one.
    async fn insert_attempt(
        &self,
        tx: &mut Transaction<'static, Any>,
        registration: &Registration,
        sealed_view: &str,
        sealed_token: Option<&str>,
    ) -> Result<Option<Winner>, LedgerError> {
        let key = &registration.key;
        let id = key.id();
        let (submissions, previous) = self.newest_in(tx, key.record.as_str()).await?;
        let order = order_stamp(key.stamp, registration.accepted_at, self.stamp_tolerance);
        let newest = supersedes(order, previous.as_ref().map(|previous| previous.order));
        let state = if newest { State::Received } else { State::Superseded };
        if newest {
            self.supersede_all(tx, key.record.as_str()).await?;
            lead(tx, key.record.as_str(), id, order, 1).await?;
        }
        sqlx::query(
            "INSERT INTO attempt (attempt_id, record_id, stamp, submission, accepted_at, token_expires_at, \
             sealed_view, sealed_token, state, wait_ms, action_id, given_number, recorded_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, (SELECT now_ms FROM clock))",
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

    /// The number of submissions of a record, and its newest attempt, unless that one is absent.
    ///
    /// An older release stored the stamp of the newest attempt even if it lay in the future, so the
    /// stored time is judged again.
    async fn newest_in(
        &self,
        tx: &mut Transaction<'static, Any>,
        record: &str,
    ) -> Result<(i64, Option<Newest>), LedgerError> {
        let row = sqlx::query(
            "SELECT r.submissions, a.absent_at, r.newest_stamp, a.attempt_id, a.stamp, a.accepted_at FROM record r \
             LEFT JOIN attempt a ON a.attempt_id = r.newest_attempt WHERE r.record_id = $1",
        )
        .bind(record.to_owned())
        .fetch_one(&mut **tx)
        .await?;
        let submissions = row.try_get("submissions")?;
        let ordered = row.try_get::<Option<i64>, _>("newest_stamp")?;
        let is_absent = row.try_get::<Option<i64>, _>("absent_at")?.is_some();
        let Some(ordered) = ordered.filter(|_| !is_absent) else {
            return Ok((submissions, None));
        };
        let (stamp, accepted_at) =
            (timestamp(row.try_get("stamp")?)?, timestamp(row.try_get("accepted_at")?)?);
        let from_future = !is_believable(stamp, accepted_at, self.stamp_tolerance);
        let order = order_stamp(timestamp(ordered)?, accepted_at, self.stamp_tolerance);
        let winner = Winner { attempt: attempt_id(&row)?, stamp, from_future };
        Ok((submissions, Some(Newest { winner, order })))
    }

    /// Records that the record keeps its number although the country gave another one, which alerts
    /// an operator. Neither number is named, because the history holds no personal data.
    async fn add_number_entry(
        &self,
        tx: &mut Transaction<'static, Any>,
        registration: &Registration,
    ) -> Result<(), LedgerError> {
        let why = "X-Registration-Number of this submission is not the number that the record has";
        let entry = NewEntry {
            record: registration.key.record.as_str(),
            attempt: Some(registration.key.id()),
            stage: Stage::Record,
            what: What::Event("number_kept"),
            cause: Some(Cause::NumberKept),
        };
        self.add_detailed_entry(tx, entry, Some(why)).await
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

/// Whether the country gave this submission another number than the record has.
async fn is_other_number(
    tx: &mut Transaction<'static, Any>,
    registration: &Registration,
) -> Result<bool, LedgerError> {
    let Some(given) = &registration.number else { return Ok(false) };
    let row = sqlx::query("SELECT number FROM record WHERE record_id = $1")
        .bind(registration.key.record.as_str())
        .fetch_one(&mut **tx)
        .await?;
    let number: Option<String> = row.try_get("number")?;
    Ok(number.is_some_and(|number| number != given.as_str()))
}

/// Whether a record has its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allocation {
    Numbered,
    /// Another record, this one, has the number already.
    Taken(RecordId),
    /// The template makes no usable number.
    Unusable,
}

/// Gives the record its number, unless it has one already: the one that the country gave to its
/// newest attempt with a number, else one from the template.
pub(super) async fn allocate(
    tx: &mut Transaction<'static, Any>,
    registration: &Registration,
    numbers: &NumberRules,
) -> Result<Allocation, LedgerError> {
    let record = registration.key.record.as_str();
    let row = sqlx::query(
        "SELECT number, (SELECT given_number FROM attempt a WHERE a.record_id = r.record_id \
         AND given_number IS NOT NULL AND absent_at IS NULL ORDER BY submission DESC LIMIT 1) AS given \
         FROM record r WHERE record_id = $1",
    )
    .bind(record)
    .fetch_one(&mut **tx)
    .await?;
    if row.try_get::<Option<String>, _>("number")?.is_some() {
        return Ok(Allocation::Numbered);
    }
    let earlier = optional(&row, "given", |text| RegistrationNumber::parse(text).ok())?;
    let given = registration.number.as_ref().or(earlier.as_ref());
    let Ok(number) = numbers.number_for(registration, given) else { return Ok(Allocation::Unusable) };
    let numbered = sqlx::query(
        "UPDATE record SET number = $2, number_key = $3 WHERE record_id = $1 AND number IS NULL \
         AND NOT EXISTS (SELECT 1 FROM record AS other WHERE other.number_key = $3)",
    )
    .bind(record)
    .bind(number.number.as_str())
    .bind(number.key.clone())
    .execute(&mut **tx)
    .await?;
    if numbered.rows_affected() == 1 {
        return Ok(Allocation::Numbered);
    }
    let owner = sqlx::query("SELECT record_id FROM record WHERE number_key = $1")
        .bind(number.key)
        .fetch_one(&mut **tx)
        .await?;
    Ok(Allocation::Taken(record_id(&owner)?))
}
