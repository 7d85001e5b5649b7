//! Sealing anew what the ledger holds, so that an old key can go.
//!
//! Invariant: a value is replaced only by the same plain text under the first key, and only while
//! it is still the value that was opened (compare-and-set); what no key opens is left as it is, and
//! counted.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Ledger, LedgerError};
use crate::seal::{Field, SealError, Sealer};

/// Where something sealed rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealedColumn {
    /// The view of an attempt.
    View,
    /// The record token of an attempt.
    Token,
    /// The issued ID of a record.
    Id,
    /// The ledger's own key.
    LedgerKey,
}

/// A part of the rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Where to go on; nothing at the end.
    pub last: Option<String>,
    /// Values that rest under the first key now.
    pub resealed: u64,
    /// Values that were changed or erased by another process meanwhile.
    pub moved: u64,
    /// Values that could not be opened, by the reason.
    pub unopened: BTreeMap<String, u64>,
}

impl SealedColumn {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::View, Self::Token, Self::Id, Self::LedgerKey];

    /// What rests there, for operators.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Token => "token",
            Self::Id => "national_id",
            Self::LedgerKey => "ledger_key",
        }
    }

    fn field(self) -> Field {
        match self {
            Self::View => Field::View,
            Self::Token => Field::Token,
            Self::Id => Field::NationalId,
            Self::LedgerKey => Field::LedgerKey,
        }
    }

    /// Table, key column, column of whom it belongs to, sealed column.
    fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::View => ("attempt", "attempt_id", "record_id", "sealed_view"),
            Self::Token => ("attempt", "attempt_id", "record_id", "sealed_token"),
            Self::Id => ("record", "record_id", "record_id", "sealed_id"),
            Self::LedgerKey => ("ledger_key", "name", "name", "sealed"),
        }
    }
}

struct Value {
    id: String,
    owner: String,
    sealed: String,
}

impl Ledger {
    /// How many values rest under which key, one place after the other.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn sealed_counts(&self, place: SealedColumn) -> Result<BTreeMap<String, u64>, LedgerError> {
        let (table, _, _, column) = place.names();
        let mut counts = BTreeMap::new();
        let mut rest = format!("FROM {table} WHERE {column} IS NOT NULL");
        // Key by key: the two databases spell what would take a text apart differently.
        loop {
            let sql = AssertSqlSafe(format!("SELECT {column} AS sealed {rest} LIMIT 1"));
            let Some(row) = sqlx::query(sql).fetch_optional(&self.pool).await? else { return Ok(counts) };
            let sealed: String = row.try_get("sealed")?;
            let key = Sealer::key_of(&sealed).filter(|key| is_key(key));
            let (count, known) = match key {
                Some(key) => {
                    let prefix = Sealer::prefix_of(key);
                    let beginning = format!("substr({column}, 1, {})", prefix.len());
                    (
                        format!("{rest} AND {beginning} = '{prefix}'"),
                        format!(" AND {beginning} <> '{prefix}'"),
                    )
                }
                // What is no sealed text at all is counted together with all that is left.
                None => (rest.clone(), " AND 1 = 0".to_owned()),
            };
            let sql = AssertSqlSafe(format!("SELECT COUNT(*) AS n {count}"));
            let count: i64 = sqlx::query(sql).fetch_one(&self.pool).await?.try_get("n")?;
            counts.insert(key.unwrap_or_default().to_owned(), count.unsigned_abs());
            rest.push_str(&known);
        }
    }

    /// Seals a batch of a place anew with the first key, those values whose key column comes after
    /// `after`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; what was sealed anew before stays so.
    pub async fn reseal(
        &self,
        sealer: &Sealer,
        place: SealedColumn,
        after: Option<&str>,
        most: usize,
    ) -> Result<Rotated, LedgerError> {
        let (table, id, owner, column) = place.names();
        let prefix = sealer.first_key().map(Sealer::prefix_of).ok_or(LedgerError::Key(SealError::Cipher))?;
        let sql = format!(
            "SELECT {id} AS id, {owner} AS owner, {column} AS sealed FROM {table} WHERE {column} IS NOT NULL \
             AND substr({column}, 1, {}) <> $1 AND {id} > $2 ORDER BY {id} LIMIT $3",
            prefix.chars().count()
        );
        let found = sqlx::query(AssertSqlSafe(sql))
            .bind(prefix)
            .bind(after.unwrap_or_default().to_owned())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        let mut rotated = Rotated::default();
        for row in &found {
            let value = value(row)?;
            match anew(sealer, place.field(), &value) {
                Ok(fresh) => {
                    let replaced = self.replace(place, &value, fresh).await?;
                    *(if replaced { &mut rotated.resealed } else { &mut rotated.moved }) += 1;
                }
                Err(why) => *rotated.unopened.entry(why.to_string()).or_default() += 1,
            }
            rotated.last = Some(value.id);
        }
        Ok(rotated)
    }

    async fn replace(&self, place: SealedColumn, value: &Value, fresh: String) -> Result<bool, LedgerError> {
        let (table, id, _, column) = place.names();
        let mut tx = match place {
            SealedColumn::View | SealedColumn::Token | SealedColumn::Id => {
                match self.on_record(&value.owner).await? {
                    Some(tx) => tx,
                    None => return Ok(false),
                }
            }
            SealedColumn::LedgerKey => self.pool.begin().await?,
        };
        let sql = format!("UPDATE {table} SET {column} = $1 WHERE {id} = $2 AND {column} = $3");
        let replaced = sqlx::query(AssertSqlSafe(sql))
            .bind(fresh)
            .bind(value.id.clone())
            .bind(value.sealed.clone())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(replaced.rows_affected() == 1)
    }
}

/// What may stand in a statement as it is.
fn is_key(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn anew(sealer: &Sealer, field: Field, value: &Value) -> Result<String, SealError> {
    let plain = sealer.open_as(&value.owner, field, &value.sealed)?;
    sealer.seal_as(&value.owner, field, &plain)
}

fn value(row: &AnyRow) -> Result<Value, LedgerError> {
    Ok(Value { id: row.try_get("id")?, owner: row.try_get("owner")?, sealed: row.try_get("sealed")? })
}
