//! Fetches auth's public key, and caches it in a file.
//!
//! Invariant: two fetches begin at least `refetch` apart. A fetch that brings no key leaves the
//! known key and the file as they are.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;

use super::last_result::LastResult;
use super::{AuthKey, KeyStore};
use crate::opencrvs::call::{CallFault, send};

/// Why a fetch brought no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("auth did not answer: check that it is up, and host and port")]
    NoAnswer,
    #[error("auth speaks no TLS on this port: write the URL with http://, or name the port with TLS")]
    NoTls,
    #[error("auth answered with HTTP {0}: check that the URL is auth's")]
    Status(u16),
    #[error("auth's answer broke off, or is too long: check that the URL is auth's")]
    BrokenOff,
    #[error("auth's answer is not an RSA public key in PEM: check that the URL is auth's")]
    NotAKey,
}

impl KeyStore {
    /// Fetches the key as soon as `refetch` permits. Returns `false` if auth gave none.
    pub(super) async fn refresh(&self, last_fetch: &mut Option<Instant>) -> bool {
        if let Some(begun) = *last_fetch {
            tokio::time::sleep_until(begun + self.refetch).await;
        }
        *last_fetch = Some(Instant::now());
        let begun_at = Timestamp::now();
        let fault = match self.fetch().await {
            Ok((pem, key)) => {
                *self.known.write().await = Some(Arc::new(key));
                self.write_cache(&pem);
                None
            }
            Err(fault) => {
                if self.fault() != Some(fault) {
                    tracing::warn!(error = %fault, "auth's public key could not be fetched");
                }
                Some(fault)
            }
        };
        let result = LastResult { begun_at, ended: Instant::now(), fault };
        *self.last_result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        result.brought_key()
    }

    async fn fetch(&self) -> Result<(Vec<u8>, AuthKey), KeyFault> {
        let response = send(self.client.get(".well-known")).await.map_err(|fault| match fault {
            CallFault::NoTls => KeyFault::NoTls,
            CallFault::NotSent | CallFault::TimedOut | CallFault::BrokenOff | CallFault::TooLong => {
                KeyFault::NoAnswer
            }
        })?;
        if !response.status().is_success() {
            return Err(KeyFault::Status(response.status().as_u16()));
        }
        let pem = response.body().await.map_err(|_| KeyFault::BrokenOff)?;
        let key = AuthKey::parse(&pem).ok_or(KeyFault::NotAKey)?;
        Ok((pem, key))
    }

    fn write_cache(&self, pem: &[u8]) {
        if let Some(path) = &self.cache
            && let Err(error) = replace_file(path, pem)
        {
            tracing::warn!(%error, "auth's public key could not be cached");
        }
    }
}

/// Replaces a file so that a reader finds the old content or the new one, never a part of either.
/// Only the owner can read it, and write to it: whoever could replace the key could forge tokens.
fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let removed = std::fs::remove_file(&beside);
    removed.or_else(|fault| if fault.kind() == ErrorKind::NotFound { Ok(()) } else { Err(fault) })?;
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    std::fs::rename(beside, path)
}
