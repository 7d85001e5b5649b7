//! Reseals the values of the ledger with the first key of `SEAL_KEYS`, so that an old key can be
//! removed.
//!
//! Invariant: a value is replaced only by the same plain text under the first key, and only if it
//! is still the value that was opened (compare-and-set). A value that no key opens is left as it
//! is, and counted.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Ledger, LedgerError};
use crate::seal::{Field, SealError, Sealer};

/// A column of sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealedColumn {
    View,
    Token,
    Id,
    LedgerKey,
}

/// The result of resealing one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// The key column of the last value, after which the next batch starts; `None` at the end.
    pub last: Option<String>,
    /// Number of values that are sealed with the first key now.
    pub resealed: u64,
    /// Number of values that another process changed or erased in the meantime.
    pub moved: u64,
    /// Number of values that could not be opened, by error.
    pub unopened: BTreeMap<String, u64>,
}

impl SealedColumn {
    pub const ALL: [Self; 4] = [Self::View, Self::Token, Self::Id, Self::LedgerKey];

    /// The name that operators see.
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

    /// Names of the table, the key column, the column of the owner that the seal is bound to, and
    /// the sealed column.
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
    /// The number of values of a column by the key that seals them. The empty key stands for values
    /// that are not sealed texts.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn sealed_counts(&self, sealed: SealedColumn) -> Result<BTreeMap<String, u64>, LedgerError> {
        let (table, _, _, column) = sealed.names();
        let mut counts = BTreeMap::new();
        let mut rest = format!("FROM {table} WHERE {column} IS NOT NULL");
        // One query per key, because the two databases have different functions for splitting a
        // text.
        loop {
            let sql = AssertSqlSafe(format!("SELECT {column} AS sealed {rest} LIMIT 1"));
            let Some(row) = sqlx::query(sql).fetch_optional(&self.pool).await? else { return Ok(counts) };
            let text: String = row.try_get("sealed")?;
            let key = Sealer::key_of(&text).filter(|key| is_key(key));
            let (count, rest_without) = match key {
                Some(key) => {
                    let prefix = Sealer::prefix_of(key);
                    let beginning = format!("substr({column}, 1, {})", prefix.len());
                    (
                        format!("{rest} AND {beginning} = '{prefix}'"),
                        format!(" AND {beginning} <> '{prefix}'"),
                    )
                }
                // A value that is not a sealed text is counted together with all values that are
                // left.
                None => (rest.clone(), " AND 1 = 0".to_owned()),
            };
            let sql = AssertSqlSafe(format!("SELECT COUNT(*) AS n {count}"));
            let count: i64 = sqlx::query(sql).fetch_one(&self.pool).await?.try_get("n")?;
            counts.insert(key.unwrap_or_default().to_owned(), count.unsigned_abs());
            rest.push_str(&rest_without);
        }
    }

    /// Reseals one batch of a column with the first key: at most `most` values whose key column
    /// comes after `after`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; values that were already resealed stay resealed.
    pub async fn reseal(
        &self,
        sealer: &Sealer,
        sealed: SealedColumn,
        after: Option<&str>,
        most: usize,
    ) -> Result<Rotated, LedgerError> {
        let (table, id, owner, column) = sealed.names();
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
            match reseal(sealer, sealed.field(), &value) {
                Ok(fresh) => {
                    let replaced = self.replace(sealed, &value, fresh).await?;
                    *(if replaced { &mut rotated.resealed } else { &mut rotated.moved }) += 1;
                }
                Err(why) => *rotated.unopened.entry(why.to_string()).or_default() += 1,
            }
            rotated.last = Some(value.id);
        }
        Ok(rotated)
    }

    async fn replace(&self, sealed: SealedColumn, value: &Value, fresh: String) -> Result<bool, LedgerError> {
        let (table, id, _, column) = sealed.names();
        let mut tx = match sealed {
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

/// Whether a key id may be put into an SQL statement without quoting.
fn is_key(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn reseal(sealer: &Sealer, field: Field, value: &Value) -> Result<String, SealError> {
    let plain = sealer.open_as(&value.owner, field, &value.sealed)?;
    sealer.seal_as(&value.owner, field, &plain)
}

fn value(row: &AnyRow) -> Result<Value, LedgerError> {
    Ok(Value { id: row.try_get("id")?, owner: row.try_get("owner")?, sealed: row.try_get("sealed")? })
}
