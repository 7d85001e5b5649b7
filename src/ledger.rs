//! The ledger: a database of the accepted registrations, the state of each attempt, and what
//! OpenCRVS was told. No other module contains SQL.
//!
//! The database is PostgreSQL, or SQLite if all processes run on one machine. The same SQL works
//! for both. A transaction on a record starts with a write to the record's row, which serialises
//! the transactions of one record in either database.
//!
//! Invariant: a commit is durable before the next step begins; an attempt moves only along
//! [`domain::next`](crate::domain::next) and by compare-and-set; what goes into a sealed column is
//! sealed; history entries are only ever added.

mod absent;
mod alerts;
mod answer;
mod asking;
mod client;
mod columns;
mod decide;
mod erasure;
mod error;
mod expiry;
mod failures;
mod fingerprint;
mod history;
mod intent;
mod migrations;
mod newest;
mod number;
mod parking;
mod private;
mod receive;
mod record_lease;
mod recorded;
mod resume;
mod rotate;
mod rows;
mod said;
mod summary;
mod survey;
mod sweep;
mod task_lease;
mod tokens;
mod transition;
mod unheard;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Executor as _, Row as _, Transaction};
use tokio::sync::Notify;

pub use absent::Reverted;
pub use alerts::{About, Alert};
pub use answer::{Resolution, SealedId, VendorReply};
pub use decide::{Decided, Deciding};
pub use error::LedgerError;
pub use expiry::Expiry;
pub use failures::Failing;
pub use history::{HistoryEntry, Stage};
pub use parking::{Parked, ParkingReport};
pub use receive::{Receipt, Winner};
pub use record_lease::{Lease, LeaseRefusal};
pub use recorded::Recorded;
pub use resume::Resumed;
pub use rotate::{Rotated, SealedColumn};
pub use rows::{AttemptRow, Case, Intent, RecordRow};
pub use summary::AttemptSummary;
pub use survey::{AttemptGroup, ListedAttempt, Selection};
pub use tokens::{RenewalRule, Replaced, TokenChange, TokenCheck};

use crate::domain::{NationalId, RecordId};
use crate::seal::{Field, SealError, Sealer};
use fingerprint::Fingerprinter;
use migrations::{Backend, migrate};

#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// `sqlite:<path>` or `postgres://user:password@host/database`.
    pub url: secrecy::SecretString,
    /// Maximum number of connections of this process to PostgreSQL. With SQLite there is always
    /// one.
    pub connections: u32,
    /// Time to wait for a connection or for SQLite's lock.
    pub timeout: Duration,
    /// `STAMP_TOLERANCE`: largest time by which a believable stamp may lie after the acceptance.
    pub stamp_tolerance: Duration,
    /// The name of this process, in leases and in history.
    pub who: String,
    /// Whether to create the SQLite file if it does not exist. A command that only reads must not
    /// create it: it would report a new, empty ledger instead of a wrong path.
    pub create: bool,
}

/// A connected, migrated ledger. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    pool: AnyPool,
    fingerprinter: Arc<Fingerprinter>,
    stamp_tolerance: Duration,
    who: Arc<str>,
    deployment: Arc<str>,
    /// Notified when a transaction has written an alert.
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
    /// # Errors
    /// [`LedgerError`] if the database cannot be reached or is of a newer release, or if its key
    /// does not open with `SEAL_KEYS`.
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
        if backend == Backend::Sqlite {
            private::keep(url);
        }
        migrate(backend, &pool).await?;
        let fingerprinter = Arc::new(Fingerprinter::load(&pool, sealer).await?);
        let deployment = fingerprinter.deployment().into();
        let ledger = Self {
            pool,
            fingerprinter,
            stamp_tolerance: settings.stamp_tolerance,
            who: settings.who.as_str().into(),
            deployment,
            alerted: Arc::default(),
        };
        ledger.note_deployment().await?;
        Ok(ledger)
    }

    /// The time by the ledger's clock. Leases and quarantines are measured by this clock.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn now(&self) -> Result<Timestamp, LedgerError> {
        let row = sqlx::query("SELECT now_ms FROM clock").fetch_one(&self.pool).await?;
        columns::timestamp(row.try_get("now_ms")?)
    }

    /// Largest time by which a believable stamp may lie after the acceptance.
    pub fn stamp_tolerance(&self) -> Duration {
        self.stamp_tolerance
    }

    /// The keyed fingerprint of an ID: equal for equal IDs, useless without the ledger's key.
    pub fn fingerprint(&self, id: &NationalId) -> String {
        self.fingerprinter.of(&id.folded())
    }

    /// Seals an ID for its record, and takes its fingerprints.
    ///
    /// # Errors
    /// [`SealError`] when it cannot be sealed.
    pub fn seal_id(
        &self,
        sealer: &Sealer,
        record: &RecordId,
        id: &NationalId,
    ) -> Result<SealedId, SealError> {
        Ok(SealedId {
            sealed: sealer.seal(record, Field::NationalId, id.expose().as_bytes())?,
            fingerprint: self.fingerprint(id),
            earlier_fingerprints: id.earlier_forms().map(|form| self.fingerprinter.of(form)),
        })
    }

    /// The id of the installation. It is derived from the ledger's own key, so every copy of the
    /// ledger has the same id and no other ledger has it.
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    async fn note_deployment(&self) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO deployment (id, created_at) SELECT $1, now_ms FROM clock WHERE true ON CONFLICT (id) DO NOTHING",
        )
        .bind(self.deployment.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction on a record, serialised with every other on the same record. Returns
    /// `None` if the ledger does not have the record.
    async fn on_record(&self, record: &str) -> Result<Option<Transaction<'static, Any>>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let touched = sqlx::query("UPDATE record SET touched = touched + 1 WHERE record_id = $1")
            .bind(record)
            .execute(&mut *tx)
            .await?;
        Ok((touched.rows_affected() == 1).then_some(tx))
    }
}
