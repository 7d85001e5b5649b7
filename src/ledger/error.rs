//! Errors of the ledger, and whether trying again may help.

use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;

use crate::domain::Conflict;
use crate::seal::SealError;

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("LEDGER_URL must start with sqlite: or postgres:")]
    Scheme,
    #[error("LEDGER_URL is not a valid URL: check user, host and database, and percent-encode the password")]
    Url(#[source] sqlx::Error),
    #[error("the ledger could not be migrated to this release: if it is of a newer release, run that one")]
    Migrate(#[source] MigrateError),
    /// The database did not answer, or it refused. As far as we know, the transaction was not
    /// committed.
    #[error("the ledger is not available")]
    Unavailable(#[from] sqlx::Error),
    #[error(
        "the ledger holds a {0} that this release cannot read: if a newer release wrote it, run that one"
    )]
    Unreadable(&'static str),
    #[error("the ledger's key does not open with SEAL_KEYS: add the key that this ledger was made with")]
    Key(#[source] SealError),
    /// The step is not legal in the attempt's state.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Another process moved the attempt between our read and our write.
    #[error("another process moved the attempt at the same moment")]
    Raced,
    #[error("another confirmer has taken the record over")]
    LeaseLost,
    #[error("the ledger does not have this {0}")]
    Missing(&'static str),
}

impl LedgerError {
    /// Whether the same step may succeed if it is tried again later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Raced | Self::LeaseLost => true,
            Self::Scheme
            | Self::Url(_)
            | Self::Migrate(_)
            | Self::Unreadable(_)
            | Self::Key(_)
            | Self::Conflict(_)
            | Self::Missing(_) => false,
        }
    }

    /// Whether the database itself fails, so that any other step would fail as well.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable(cause) => is_of_database(cause),
            Self::Raced
            | Self::LeaseLost
            | Self::Scheme
            | Self::Url(_)
            | Self::Migrate(_)
            | Self::Unreadable(_)
            | Self::Key(_)
            | Self::Conflict(_)
            | Self::Missing(_) => false,
        }
    }
}

/// A database that goes away during its migration counts as unavailable, because the migration may
/// succeed when it is tried again.
impl From<MigrateError> for LedgerError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others all concern the schema")]
    fn from(fault: MigrateError) -> Self {
        match fault {
            MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)
                if is_of_database(&cause) =>
            {
                Self::Unavailable(cause)
            }
            fault => Self::Migrate(fault),
        }
    }
}

/// Whether the error concerns the whole database. A database that only refuses one statement,
/// because of its data or because of a concurrent transaction, still works.
fn is_of_database(cause: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(refusal) = cause {
        let code = refusal.code().unwrap_or_default();
        // PostgreSQL's error classes 22 (data exception), 23 (integrity constraint violation) and
        // 40 (transaction rollback). The codes of SQLite are shorter than five characters.
        let of_one_statement =
            code.len() == 5 && ["22", "23", "40"].iter().any(|class| code.starts_with(class));
        return matches!(refusal.kind(), ErrorKind::Other) && !of_one_statement;
    }
    matches!(
        cause,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
    )
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_database_that_fails_during_its_migration_counts_as_unavailable() {
        let reset = || sqlx::Error::Io(io::ErrorKind::ConnectionReset.into());
        for away in [MigrateError::Execute(reset()), MigrateError::ExecuteMigration(reset(), 3)] {
            assert!(LedgerError::from(away).is_transient());
        }
        for other in [MigrateError::VersionMismatch(2), MigrateError::Execute(sqlx::Error::RowNotFound)] {
            assert!(matches!(LedgerError::from(other), LedgerError::Migrate(_)));
        }
    }
}
