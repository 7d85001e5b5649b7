//! A secret that can be rotated without a restart.
//!
//! Invariant: a secret appears in no fault and no log line.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

/// Where a secret is read from.
#[derive(Clone)]
pub enum SecretSource {
    Value(SecretString),
    /// A file, which is read each time the secret is needed.
    File(PathBuf),
}

/// Why a secret is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    #[error("the file of the secret cannot be read: check its path and permissions")]
    Unreadable,
    #[error("the file of the secret is empty: write the secret into it")]
    Empty,
}

impl SecretSource {
    /// The current secret.
    ///
    /// # Errors
    /// [`SecretFault`].
    pub async fn read(&self) -> Result<SecretString, SecretFault> {
        let path = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let text = tokio::fs::read_to_string(path).await.map_err(|_| SecretFault::Unreadable)?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(SecretFault::Empty),
            secret => Ok(SecretString::from(secret)),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(***)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
