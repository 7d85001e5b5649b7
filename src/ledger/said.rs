//! What the attempts of a record say of it.
//!
//! Invariant: dialect, tracking id and office of a record are those of its newest attempt. So are
//! its kind of event, its request id and its number, until the ID system is asked about the record
//! or the record has an answer.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::LedgerError;
use super::columns::{optional, required};
use crate::domain::{Dialect, EventKind, RecordId, Registration, RequestId, TrackingId};

/// What an attempt says of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) dialect: Dialect,
    pub(super) kind: EventKind,
    pub(super) tracking_id: TrackingId,
    pub(super) office: Option<String>,
}

impl Said {
    pub(super) fn by(registration: &Registration) -> Self {
        Self {
            dialect: registration.key.dialect,
            kind: registration.kind.clone(),
            tracking_id: registration.tracking_id.clone(),
            office: registration.office.clone(),
        }
    }

    /// `None` in a row that an older release wrote.
    pub(super) fn in_row(row: &AnyRow) -> Result<Option<Self>, LedgerError> {
        let Some(dialect) = optional(row, "dialect", Dialect::parse)? else { return Ok(None) };
        Ok(Some(Self {
            dialect,
            kind: required(row, "kind", |text| Some(EventKind::from_name(text)))?,
            tracking_id: required(row, "tracking_id", |text| TrackingId::parse(text).ok())?,
            office: row.try_get("office")?,
        }))
    }
}

/// Lets a record say what an attempt says. A record that said something else loses its number,
/// which may be made from that. Kind of event, request id and number stay once the ID system was
/// asked or the record has an answer; a number that the country gave stays with the tracking id.
pub(super) async fn follow(
    tx: &mut Transaction<'static, Any>,
    record: &RecordId,
    said: &Said,
) -> Result<(), LedgerError> {
    let row = sqlx::query(
        "SELECT r.dialect, r.kind, r.tracking_id, r.office, \
         CASE WHEN EXISTS (SELECT 1 FROM attempt a WHERE a.record_id = r.record_id \
         AND (a.asked_at IS NOT NULL OR a.answer IS NOT NULL)) THEN 1 ELSE 0 END AS fixed, \
         CASE WHEN EXISTS (SELECT 1 FROM attempt a WHERE a.record_id = r.record_id \
         AND a.given_number = r.number AND a.absent_at IS NULL) THEN 1 ELSE 0 END AS given \
         FROM record r WHERE r.record_id = $1",
    )
    .bind(record.to_string())
    .fetch_one(&mut **tx)
    .await?;
    let before = Said::in_row(&row)?;
    if before.as_ref() == Some(said) {
        return Ok(());
    }
    let is = |column| row.try_get::<i32, _>(column).map(|is| is == 1);
    sqlx::query("UPDATE record SET dialect = $2, tracking_id = $3, office = $4 WHERE record_id = $1")
        .bind(record.to_string())
        .bind(said.dialect.as_str())
        .bind(said.tracking_id.to_string())
        .bind(said.office.clone())
        .execute(&mut **tx)
        .await?;
    if is("fixed")? {
        return Ok(());
    }
    sqlx::query("UPDATE record SET kind = $2, request_id = $3 WHERE record_id = $1")
        .bind(record.to_string())
        .bind(said.kind.as_str().to_owned())
        .bind(RequestId::of(record, &said.kind).to_string())
        .execute(&mut **tx)
        .await?;
    let names_the_same =
        before.is_some_and(|before| before.tracking_id == said.tracking_id && before.kind == said.kind);
    if !(is("given")? && names_the_same) {
        sqlx::query("UPDATE record SET number = NULL, number_key = NULL WHERE record_id = $1")
            .bind(record.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
