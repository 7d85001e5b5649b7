//! Gives a record its registration number.
//!
//! Invariant: a record has one number, and no other record has it. Which numbers are the same is
//! the country's rule ([`NumberRules`]). A number that the country gave is not replaced by one from
//! the template.

use sqlx::{Any, Row as _, Transaction};

use super::alerts::explain_alert;
use super::columns::{optional, record_id};
use super::history::{NewEntry, What};
use super::rows::{self, Case};
use super::{Ledger, LedgerError, Stage};
use crate::domain::{
    AttemptId, AttemptKey, Cause, Event, NumberRules, RecordId, Registration, RegistrationNumber,
};

impl Ledger {
    /// Gives the record of a received attempt a number, if it has none: an attempt that another one
    /// had superseded when it arrived goes on without. Parks the attempt if another record has the
    /// number. Returns the attempt as it is now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Conflict`] if the attempt has ended.
    pub async fn give_number(&self, case: &Case, numbers: &NumberRules) -> Result<Case, LedgerError> {
        let attempt = case.attempt.id;
        let mut tx = self.on_record(case.record.id.as_str()).await?.ok_or(LedgerError::Missing("record"))?;
        if let Allocation::Taken(owner) = ensure_number(&mut tx, attempt, numbers).await? {
            self.park_clash(&mut tx, &case.record.id, attempt, &owner).await?;
        }
        let case = rows::case_in(&mut tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
        tx.commit().await?;
        Ok(case)
    }

    /// Parks an attempt whose number another record has. The histories of both records name the
    /// other one, and so does the alert.
    pub(super) async fn park_clash(
        &self,
        tx: &mut Transaction<'static, Any>,
        record: &RecordId,
        attempt: AttemptId,
        owner: &RecordId,
    ) -> Result<(), LedgerError> {
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

    /// Records that the record keeps its number although the country gave another one, which alerts
    /// an operator. Neither number is named, because the history holds no personal data.
    pub(super) async fn add_number_entry(
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
}

/// Whether the country gave this submission another number than the record has.
pub(super) async fn is_other_number(
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

/// Gives the record of an attempt its number, if it has none yet.
pub(super) async fn ensure_number(
    tx: &mut Transaction<'static, Any>,
    attempt: AttemptId,
    numbers: &NumberRules,
) -> Result<Allocation, LedgerError> {
    let case = rows::case_in(tx, attempt).await?.ok_or(LedgerError::Missing("attempt"))?;
    allocate(tx, &registration(&case), numbers).await
}

/// The registration from which the number is made. Its mark is left empty because the number does
/// not depend on it.
fn registration(case: &Case) -> Registration {
    let Case { record, attempt } = case;
    Registration {
        key: AttemptKey {
            dialect: record.dialect,
            record: record.id.clone(),
            mark: String::new(),
            stamp: attempt.stamp,
        },
        kind: record.kind.clone(),
        tracking_id: record.tracking_id.clone(),
        office: record.office.clone(),
        accepted_at: attempt.accepted_at,
        wait: attempt.wait,
        token_expires_at: attempt.token_expires_at,
        number: None,
        unheard: false,
    }
}
