//! The ledger: what was accepted, where each attempt stands, what OpenCRVS was told; and the only
//! home of SQL.
//!
//! PostgreSQL, or SQLite inside one machine; one set of SQL for both. A transaction on a record
//! starts with a write to its row, which makes the transactions of one record follow each other in
//! either database.
//!
//! Invariant: a commit is durable before the next step begins; an attempt moves only along
//! [`domain::next`](crate::domain::next) and by compare-and-set; sealed columns are written sealed;
//! history is only ever added to.

mod alerts;
mod answer;
mod asking;
mod confirm;
mod election;
mod error;
mod expiry;
mod fingerprint;
mod history;
mod parking;
mod receive;
mod resume;
mod rotate;
mod rows;
mod summary;
mod survey;
mod sweep;
mod tokens;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Any, AnyPool, Executor as _, Row as _, SqlSafeStr as _, Transaction};
use tokio::sync::Notify;

pub use alerts::{About, Alert};
pub use answer::{Resolution, SealedId, VendorReply};
pub use confirm::{Lease, LeaseRefusal};
pub use error::LedgerError;
pub use expiry::Expiry;
pub use history::{HistoryEntry, Stage};
pub use parking::Parked;
pub use receive::Receipt;
pub use resume::Resumed;
pub use rotate::{Rotated, SealedColumn};
pub use rows::{AttemptRow, Case, Intent, RecordRow};
pub use summary::AttemptSummary;
pub use survey::{AttemptGroup, ListedAttempt, Selection};
pub use tokens::{RenewalRule, Replaced, TokenChange, TokenCheck};

use crate::domain::NationalId;
use crate::seal::Sealer;
use fingerprint::Fingerprinter;

/// How often a start looks again when another process was in its way, and after how long.
const RACES: u32 = 10;
const AFTER_A_RACE: Duration = Duration::from_millis(100);

const COMMON: &str = include_str!("ledger/migrations/0001_ledger.sql");
const SWEEP: &str = include_str!("ledger/migrations/0003_sweep.sql");
const TOKENS: &str = include_str!("ledger/migrations/0004_tokens.sql");
const ALERTS: &str = include_str!("ledger/migrations/0005_alerts.sql");
const WAIT: &str = include_str!("ledger/migrations/0006_wait.sql");
const PARKING: &str = include_str!("ledger/migrations/0007_parking.sql");
const FOR_SQLITE: &str = include_str!("ledger/migrations/0002_sqlite.sql");
const FOR_POSTGRES: &str = include_str!("ledger/migrations/0002_postgres.sql");

/// How to reach a ledger.
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// `sqlite:<path>` or `postgres://user:password@host/database`.
    pub url: secrecy::SecretString,
    /// How many connections this process may hold (PostgreSQL; SQLite always has one writer).
    pub connections: u32,
    /// How long to wait for a connection or for SQLite's lock.
    pub timeout: Duration,
    /// Who this process is, in leases and in history.
    pub who: String,
    /// Whether a SQLite file is made where there is none. A command that only looks would take an
    /// empty ledger for the one that it was to look at.
    pub create: bool,
}

/// A connected, migrated ledger. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    pool: AnyPool,
    fingerprinter: Arc<Fingerprinter>,
    who: Arc<str>,
    /// Rung when a transaction has written an alert.
    alerted: Arc<Notify>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("who", &self.who).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Connects, brings the schema up to this release and opens the ledger's own key.
    ///
    /// # Errors [`LedgerError`] when the database cannot be reached, is of a newer release, or its
    /// key does not open with `SEAL_KEYS`.
    pub async fn open(settings: &LedgerSettings, sealer: &Sealer) -> Result<Self, LedgerError> {
        use secrecy::ExposeSecret as _;
        sqlx::any::install_default_drivers();
        let url = settings.url.expose_secret();
        let backend = Backend::of(url)?;
        let options = AnyConnectOptions::from_str(&backend.connect_url(url, settings.create))
            .map_err(LedgerError::Url)?;
        let busy = settings.timeout.as_millis();
        let pool = AnyPoolOptions::new()
            .max_connections(if backend == Backend::Sqlite { 1 } else { settings.connections })
            .acquire_timeout(settings.timeout)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if backend == Backend::Sqlite {
                        let pragmas = format!(
                            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout={busy}"
                        );
                        connection.execute(sqlx::AssertSqlSafe(pragmas)).await?;
                    } else {
                        connection.execute("SET synchronous_commit = on").await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await?;
        migrate(backend, &pool).await?;
        let fingerprinter = Arc::new(Fingerprinter::load(&pool, sealer).await?);
        Ok(Self { pool, fingerprinter, who: settings.who.as_str().into(), alerted: Arc::default() })
    }

    /// The time by the ledger's clock, which is the one that leases and quarantines go by.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn now(&self) -> Result<Timestamp, LedgerError> {
        let row = sqlx::query("SELECT now_ms FROM clock").fetch_one(&self.pool).await?;
        rows::timestamp(row.try_get("now_ms")?)
    }

    /// The keyed fingerprint of an ID: equal for equal IDs, of no use without the ledger's key.
    pub fn fingerprint(&self, id: &NationalId) -> String {
        self.fingerprinter.of(id)
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Starts a transaction that no other transaction on this record overlaps.
    /// Returns `None` for a record that the ledger does not have.
    async fn on_record(&self, record: &str) -> Result<Option<Transaction<'static, Any>>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let touched = sqlx::query("UPDATE record SET touched = touched + 1 WHERE record_id = $1")
            .bind(record)
            .execute(&mut *tx)
            .await?;
        Ok((touched.rows_affected() == 1).then_some(tx))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    fn of(url: &str) -> Result<Self, LedgerError> {
        match url.split(':').next() {
            Some("sqlite") => Ok(Self::Sqlite),
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            _ => Err(LedgerError::Scheme),
        }
    }

    fn connect_url(self, url: &str, create: bool) -> Cow<'_, str> {
        if self == Self::Sqlite && !url.contains("mode=") {
            let separator = if url.contains('?') { '&' } else { '?' };
            let mode = if create { "rwc" } else { "rw" };
            return Cow::Owned(format!("{url}{separator}mode={mode}"));
        }
        Cow::Borrowed(url)
    }
}

/// SQLite has no lock around migrations: of two processes that start at once one finds the other's
/// tables in its way, has changed nothing, and finds its work done when it looks again.
async fn migrate(backend: Backend, pool: &AnyPool) -> Result<(), LedgerError> {
    let mut left = RACES;
    loop {
        match migrator(backend).run(pool).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::ExecuteMigration(..) | MigrateError::Execute(_)) if left > 0 => left -= 1,
            Err(fault) => return Err(fault.into()),
        }
        tokio::time::sleep(AFTER_A_RACE).await;
    }
}

fn migrator(backend: Backend) -> Migrator {
    let dialect = if backend == Backend::Sqlite { FOR_SQLITE } else { FOR_POSTGRES };
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "ledger", COMMON),
        migration(2, "dialect", dialect),
        migration(3, "sweep", SWEEP),
        migration(4, "tokens", TOKENS),
        migration(5, "alerts", ALERTS),
        migration(6, "wait", WAIT),
        migration(7, "parking", PARKING),
    ])
}
