//! What happened to a record, in order, for ever: the operator's evidence.
//!
//! Invariant: no personal data; entries are added within the transaction that they tell of.

use sqlx::{Any, Row as _, Transaction};
use uuid::Uuid;

use super::{Ledger, LedgerError, rows};
use crate::domain::{AttemptId, Cause, RecordId};

/// The stage that an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The registration is put on record.
    Record,
    /// The request goes to the ID system.
    Send,
    /// The ID system's reply is taken in.
    Resolve,
    /// OpenCRVS is told.
    Confirm,
    /// What is silent is looked after.
    Sweep,
    /// Tokens are kept alive.
    Tokens,
    /// An operator steps in.
    Operate,
}

impl Stage {
    /// The name in the ledger and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Send => "send",
            Self::Resolve => "resolve",
            Self::Confirm => "confirm",
            Self::Sweep => "sweep",
            Self::Tokens => "tokens",
            Self::Operate => "operate",
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When, by the ledger's clock.
    pub at: jiff::Timestamp,
    /// The attempt, where it concerns one.
    pub attempt: Option<AttemptId>,
    /// The stage's name.
    pub stage: String,
    /// What happened.
    pub what: String,
    /// Why, where there is a cause.
    pub cause: Option<String>,
    /// Which process, or which operator.
    pub who: String,
    /// What the operator says of it.
    pub why: Option<String>,
}

/// An entry to be written.
pub(super) struct Note<'a> {
    pub(super) record: &'a str,
    pub(super) attempt: Option<AttemptId>,
    pub(super) stage: Stage,
    pub(super) what: &'a str,
    pub(super) cause: Option<Cause>,
}

impl Ledger {
    pub(super) async fn note(
        &self,
        tx: &mut Transaction<'static, Any>,
        note: Note<'_>,
    ) -> Result<(), LedgerError> {
        let entry = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO history (entry_id, record_id, attempt_id, at, stage, what, cause, who) \
             VALUES ($1, $2, $3, (SELECT now_ms FROM clock), $4, $5, $6, $7)",
        )
        .bind(entry.to_string())
        .bind(note.record.to_owned())
        .bind(note.attempt.map(|id| id.to_string()))
        .bind(note.stage.as_str())
        .bind(note.what.to_owned())
        .bind(note.cause.map(Cause::as_str))
        .bind(self.who.to_string())
        .execute(&mut **tx)
        .await?;
        self.raise(tx, entry, &note).await
    }

    /// Adds an entry that goes with no change of state, such as a reply that was refused.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] for an unknown record, else [`LedgerError::Unavailable`].
    pub async fn remark(
        &self,
        record: &RecordId,
        stage: Stage,
        what: &str,
        cause: Cause,
    ) -> Result<(), LedgerError> {
        let mut tx = self.on_record(record.as_str()).await?.ok_or(LedgerError::Missing("record"))?;
        let note = Note { record: record.as_str(), attempt: None, stage, what, cause: Some(cause) };
        self.note(&mut tx, note).await?;
        Ok(tx.commit().await?)
    }

    /// The history of a record, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], [`LedgerError::Unreadable`].
    pub async fn history(&self, record: &RecordId) -> Result<Vec<HistoryEntry>, LedgerError> {
        let found = sqlx::query(
            "SELECT attempt_id, at, stage, what, cause, who, why FROM history WHERE record_id = $1 \
             ORDER BY at, entry_id",
        )
        .bind(record.as_str())
        .fetch_all(&self.pool)
        .await?;
        found
            .iter()
            .map(|row| {
                Ok(HistoryEntry {
                    at: rows::timestamp(row.try_get("at")?)?,
                    attempt: rows::optional(row, "attempt_id", |text| AttemptId::parse(text).ok())?,
                    stage: row.try_get("stage")?,
                    what: row.try_get("what")?,
                    cause: row.try_get("cause")?,
                    who: row.try_get("who")?,
                    why: row.try_get("why")?,
                })
            })
            .collect()
    }
}
