//! Ledgers for tests. A test that uses one runs on SQLite and on PostgreSQL.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nidbridge::ledger::{Ledger, LedgerError, LedgerSettings};
use nidbridge::sandbox::guardian::Guardian;
use nidbridge::seal::Sealer;
use secrecy::SecretString;
use tokio::sync::OnceCell;

use super::postgres::{copy_of_database, fresh_database};
use super::vhosts::temporary;

/// Sealing keys for test data.
pub const SEAL_KEYS: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// One directory for the whole test process. Its guardian removes it.
static DIRECTORY: OnceCell<(PathBuf, Guardian)> = OnceCell::const_new();

async fn directory() -> &'static Path {
    let made = DIRECTORY.get_or_init(async || {
        let dir = temporary("ledgers");
        std::fs::create_dir_all(&dir).expect("a directory for SQLite");
        let guardian = Guardian::watch(&[], Some(&dir)).expect("a guardian");
        (dir, guardian)
    });
    &made.await.0
}

/// The URL of a new, empty database.
pub async fn fresh_url(engine: Engine) -> String {
    match engine {
        Engine::Sqlite => {
            let own = directory().await.join(uuid::Uuid::new_v4().simple().to_string());
            std::fs::create_dir(&own).expect("a directory for SQLite");
            format!("sqlite:{}", own.join("ledger.db").display())
        }
        Engine::Postgres => fresh_database().await,
    }
}

/// Copies a database that no process writes to, and returns the URL of the copy.
pub async fn copy_of(url: &str) -> String {
    let Some(file) = url.strip_prefix("sqlite:") else { return copy_of_database(url).await };
    let copy = fresh_url(Engine::Sqlite).await;
    let to = copy.trim_start_matches("sqlite:").to_owned();
    for end in ["", "-wal"] {
        let from = format!("{file}{end}");
        if std::fs::exists(&from).expect("the ledger") {
            std::fs::copy(&from, format!("{to}{end}")).expect("a copy");
        }
    }
    copy
}

pub struct OpenLedger {
    pub ledger: Ledger,
    pub seal_keys: String,
    url: String,
}

pub async fn both() -> Vec<OpenLedger> {
    let mut open = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let url = fresh_url(engine).await;
        let ledger = ledger(&url, SEAL_KEYS).await.expect("a ledger");
        open.push(OpenLedger { ledger, seal_keys: SEAL_KEYS.to_owned(), url });
    }
    open
}

pub async fn ledger(url: &str, seal_keys: &str) -> Result<Ledger, LedgerError> {
    ledger_of(url, seal_keys, "test").await
}

async fn ledger_of(url: &str, seal_keys: &str, who: &str) -> Result<Ledger, LedgerError> {
    let settings = LedgerSettings {
        url: SecretString::from(url),
        connections: 4,
        timeout: Duration::from_secs(20),
        stamp_tolerance: Duration::from_secs(300),
        who: who.to_owned(),
        create: true,
    };
    Ledger::open(&settings, &Sealer::parse(&SecretString::from(seal_keys)).expect("keys")).await
}

impl OpenLedger {
    pub fn engine(&self) -> Engine {
        if self.url.starts_with("sqlite:") { Engine::Sqlite } else { Engine::Postgres }
    }

    /// Opens the same database again with these keys.
    pub async fn reopen(&self, seal_keys: &str) -> Result<Ledger, LedgerError> {
        ledger(&self.url, seal_keys).await
    }

    /// Opens the same database under another process's name.
    pub async fn reopen_as(&self, who: &str) -> Ledger {
        ledger_of(&self.url, &self.seal_keys, who).await.expect("the same ledger")
    }

    /// Runs a statement on the database directly.
    pub async fn execute(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        execute(&self.url, sql).await
    }
}

/// Runs a statement on a database directly.
pub async fn execute(url: &str, sql: &'static str) -> Result<(), sqlx::Error> {
    use sqlx::Connection as _;
    let mut connection = sqlx::AnyConnection::connect(url).await?;
    sqlx::query(sql).execute(&mut connection).await.map(|_| ())
}
