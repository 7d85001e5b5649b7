//! The schema of the ledger as a list of migrations, and the two databases that it supports.
//!
//! Invariant: a migration that was released is never changed, because the database keeps its
//! checksum.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr as _};

use super::LedgerError;

/// Maximum number of retries of a migration that collides with the migration of another process.
const RACE_RETRIES: u32 = 10;
const RACE_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    pub(super) fn of(url: &str) -> Result<Self, LedgerError> {
        match url.split(':').next() {
            Some("sqlite") => Ok(Self::Sqlite),
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            _ => Err(LedgerError::Scheme),
        }
    }

    pub(super) fn connect_url(self, url: &str, create: bool) -> Cow<'_, str> {
        if self == Self::Sqlite && !url.contains("mode=") {
            let separator = if url.contains('?') { '&' } else { '?' };
            let mode = if create { "rwc" } else { "rw" };
            return Cow::Owned(format!("{url}{separator}mode={mode}"));
        }
        Cow::Borrowed(url)
    }
}

/// Brings the schema up to this release. SQLite has no lock around migrations. If two processes
/// start at the same time, the migration of one of them fails because the other has made the
/// tables. The failed migration changes nothing; when it is tried again, it finds the work done.
pub(super) async fn migrate(backend: Backend, pool: &AnyPool) -> Result<(), LedgerError> {
    let mut retries = RACE_RETRIES;
    loop {
        match migrator(backend).run(pool).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::ExecuteMigration(..) | MigrateError::Execute(_)) if retries > 0 => retries -= 1,
            Err(fault) => return Err(fault.into()),
        }
        tokio::time::sleep(RACE_PAUSE).await;
    }
}

fn migrator(backend: Backend) -> Migrator {
    let (dialect, action) = match backend {
        Backend::Sqlite => {
            (include_str!("migrations/0002_sqlite.sql"), include_str!("migrations/0009_sqlite.sql"))
        }
        Backend::Postgres => {
            (include_str!("migrations/0002_postgres.sql"), include_str!("migrations/0009_postgres.sql"))
        }
    };
    let migrations = [
        (1, "ledger", include_str!("migrations/0001_ledger.sql")),
        (2, "dialect", dialect),
        (3, "sweep", include_str!("migrations/0003_sweep.sql")),
        (4, "tokens", include_str!("migrations/0004_tokens.sql")),
        (5, "alerts", include_str!("migrations/0005_alerts.sql")),
        (6, "wait", include_str!("migrations/0006_wait.sql")),
        (7, "parking", include_str!("migrations/0007_parking.sql")),
        (8, "unread", include_str!("migrations/0008_unread.sql")),
        (9, "action", action),
        (10, "country", include_str!("migrations/0010_country.sql")),
        (11, "failed_at", include_str!("migrations/0011_failed_at.sql")),
        (12, "absent_at", include_str!("migrations/0012_absent_at.sql")),
        (13, "said", include_str!("migrations/0013_said.sql")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(migrations.into_iter().map(migration).collect())
}
