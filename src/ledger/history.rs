//! The history of a record: what happened, in order. It is kept for good, as the operator's
//! evidence.
//!
//! Invariant: entries hold no personal data. An entry is added in the transaction that makes the
//! change it describes, and is never changed or removed.

use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};
use uuid::Uuid;

use super::columns::{optional, timestamp};
use super::{Ledger, LedgerError, Recorded};
use crate::domain::{AttemptId, Cause, RecordId, State};

/// The stage that an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Writes a registration to the ledger.
    Record,
    /// Sends the request to the ID system.
    Send,
    /// Applies a reply of the ID system.
    Resolve,
    /// Writes the answer to OpenCRVS.
    Confirm,
    /// Looks after attempts that have stopped moving.
    Sweep,
    /// Renews tokens.
    Tokens,
    /// An operator's command.
    Operate,
}

impl Stage {
    pub(super) const ALL: [Self; 7] =
        [Self::Record, Self::Send, Self::Resolve, Self::Confirm, Self::Sweep, Self::Tokens, Self::Operate];

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

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    pub at: Timestamp,
    /// The attempt, if the entry concerns one.
    pub attempt: Option<AttemptId>,
    pub stage: Recorded<Stage>,
    /// What happened: the name of the state that the attempt went to, or of another event.
    pub what: String,
    pub cause: Option<Recorded<Cause>>,
    /// The process or the operator that made the entry.
    pub who: String,
    /// The reason that an operator gave, or what the bridge itself explains.
    pub why: Option<String>,
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The attempt went to this state.
    Moved(State),
    /// Something else happened.
    Event(&'static str),
}

impl What {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Moved(state) => state.as_str(),
            Self::Event(name) => name,
        }
    }

    pub(super) fn state(self) -> Option<State> {
        match self {
            Self::Moved(state) => Some(state),
            Self::Event(_) => None,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct NewEntry<'a> {
    pub(super) record: &'a str,
    pub(super) attempt: Option<AttemptId>,
    pub(super) stage: Stage,
    pub(super) what: What,
    pub(super) cause: Option<Cause>,
}

impl Ledger {
    /// Adds an entry, and raises the alert that it calls for.
    pub(super) async fn add_entry(
        &self,
        tx: &mut Transaction<'static, Any>,
        entry: NewEntry<'_>,
    ) -> Result<(), LedgerError> {
        self.add_explained_entry(tx, entry, None).await
    }

    /// As [`Ledger::add_entry`], with a text that says why.
    pub(super) async fn add_explained_entry(
        &self,
        tx: &mut Transaction<'static, Any>,
        entry: NewEntry<'_>,
        why: Option<&str>,
    ) -> Result<(), LedgerError> {
        let id = self.insert_entry(tx, &entry, why).await?;
        self.raise_alert(tx, id, &entry, None).await
    }

    /// As [`Ledger::add_explained_entry`]. The alert explains the same, so the text contains
    /// nothing that an operator wrote.
    pub(super) async fn add_detailed_entry(
        &self,
        tx: &mut Transaction<'static, Any>,
        entry: NewEntry<'_>,
        detail: Option<&str>,
    ) -> Result<(), LedgerError> {
        let id = self.insert_entry(tx, &entry, detail).await?;
        self.raise_alert(tx, id, &entry, detail).await
    }

    /// Adds an entry that raises no alert, because another entry of the transaction raises it.
    pub(super) async fn insert_entry(
        &self,
        tx: &mut Transaction<'static, Any>,
        entry: &NewEntry<'_>,
        why: Option<&str>,
    ) -> Result<Uuid, LedgerError> {
        let id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO history (entry_id, record_id, attempt_id, at, stage, what, cause, who, why) \
             VALUES ($1, $2, $3, (SELECT now_ms FROM clock), $4, $5, $6, $7, $8)",
        )
        .bind(id.to_string())
        .bind(entry.record.to_owned())
        .bind(entry.attempt.map(|id| id.to_string()))
        .bind(entry.stage.as_str())
        .bind(entry.what.as_str())
        .bind(entry.cause.map(Cause::as_str))
        .bind(self.who.to_string())
        .bind(why.map(str::to_owned))
        .execute(&mut **tx)
        .await?;
        Ok(id)
    }

    /// The history of a record, oldest entry first.
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
                    at: timestamp(row.try_get("at")?)?,
                    attempt: optional(row, "attempt_id", |text| AttemptId::parse(text).ok())?,
                    stage: Recorded::stage(row.try_get("stage")?),
                    what: row.try_get("what")?,
                    cause: row.try_get::<Option<String>, _>("cause")?.map(Recorded::cause),
                    who: row.try_get("who")?,
                    why: row.try_get("why")?,
                })
            })
            .collect()
    }
}
