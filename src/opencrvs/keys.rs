//! Auth's public key, which auth serves as raw PEM (not as JWKS) at `{AUTH_URL}/.well-known`
//! (OpenCRVS 1.3 to 2.0).
//!
//! Invariant: at most one fetch runs at a time, and at most one begins per `refetch`. A token whose
//! signature does not match the known key is refused only after another fetch, because a
//! redeployment may have changed the key. With a cache file, the last good key survives a restart
//! while auth is unavailable.

mod fetch;
mod issued;
mod judge;
mod last_result;
#[cfg(test)]
pub(super) mod tests;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::DecodingKey;
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use super::call::{ClientSettings, HttpClient};
use super::token::{
    BootstrapToken, TokenFault, VerifiedToken, issued_at, plausible, verify, verify_bootstrap,
};
use issued::IssueTimes;
use last_result::{LastResult, began_before};

pub use fetch::KeyFault;
pub use judge::Judgement;

/// Name of a key: the SHA-256 of its PEM, which is the same in every process and does not show the
/// key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    fn of(pem: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pem);
        Self(URL_SAFE_NO_PAD.encode(digest.as_ref()))
    }

    /// The text that the ledger stores.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

struct AuthKey {
    id: KeyId,
    key: DecodingKey,
}

impl AuthKey {
    fn parse(pem: &[u8]) -> Option<Self> {
        Some(Self { key: DecodingKey::from_rsa_pem(pem).ok()?, id: KeyId::of(pem) })
    }
}

/// Verifies one type of token with a key.
type Verify<T> = fn(&KeyStore, &AuthKey, &str) -> Result<T, TokenFault>;

#[derive(Debug, Clone)]
pub struct KeyStoreSettings {
    pub auth: ClientSettings,
    /// Shortest time between two fetches of the key.
    pub refetch: Duration,
    /// File that caches the last good key.
    pub cache: Option<PathBuf>,
    /// Subjects of the service token (claim `sub`).
    pub service_users: Vec<String>,
}

/// Verifies tokens with auth's key, which it fetches and caches.
pub struct KeyStore {
    client: HttpClient,
    refetch: Duration,
    cache: Option<PathBuf>,
    service_users: Vec<String>,
    known: RwLock<Option<Arc<AuthKey>>>,
    /// Start of the last fetch. Locked while a fetch runs.
    last_fetch: Mutex<Option<Instant>>,
    last_result: StdMutex<Option<LastResult>>,
    issue_times: IssueTimes,
    /// Whether a task that [`KeyStore::judge`] started fetches the key, or waits until it may.
    fetching: AtomicBool,
}

impl KeyStore {
    /// Loads the cached key, if there is one. Auth is not called before a token needs its key.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: KeyStoreSettings) -> Result<Self, reqwest::Error> {
        let cached = settings.cache.as_deref().and_then(|path| std::fs::read(path).ok());
        let known = cached.and_then(|pem| AuthKey::parse(&pem)).map(Arc::new);
        Ok(Self {
            client: HttpClient::new(&settings.auth)?,
            refetch: settings.refetch,
            cache: settings.cache,
            service_users: settings.service_users,
            known: RwLock::new(known),
            last_fetch: Mutex::new(None),
            last_result: StdMutex::new(None),
            issue_times: IssueTimes::default(),
            fetching: AtomicBool::new(false),
        })
    }

    /// Verifies a token. Fetches auth's key first if no key is known, or if the known key does not
    /// match the signature.
    ///
    /// # Errors
    /// [`TokenFault`]; [`TokenFault::NoKey`] while no key is known.
    pub async fn verify(&self, token: &str) -> Result<VerifiedToken, TokenFault> {
        self.check(token, Self::verify_by).await
    }

    /// Verifies a bootstrap token, with the same key.
    ///
    /// # Errors
    /// As [`KeyStore::verify`].
    pub async fn verify_bootstrap(&self, token: &str) -> Result<BootstrapToken, TokenFault> {
        self.check(token, |_, known, token| verify_bootstrap(token, &known.key)).await
    }

    async fn check<T>(&self, token: &str, verify: Verify<T>) -> Result<T, TokenFault> {
        plausible(token)?;
        let arrived = Instant::now();
        if let Some(verdict) = self.verdict(token, verify).await {
            return verdict;
        }
        let mut last_fetch = self.last_fetch.lock().await;
        // The fetch that held the lock may have brought the key. Another fetch would only make the
        // caller wait.
        if let Some(verdict) = self.verdict(token, verify).await {
            return verdict;
        }
        if began_before(*last_fetch, arrived) {
            self.refresh(&mut last_fetch).await;
        }
        drop(last_fetch);
        self.known_key().await.map_or(Err(TokenFault::NoKey), |known| verify(self, &known, token))
    }

    /// Fetches auth's key as soon as `refetch` permits, and returns its name. Returns `None` if
    /// auth gave no key; the known key is then kept.
    pub async fn fetch_key(&self) -> Option<KeyId> {
        let mut last_fetch = self.last_fetch.lock().await;
        if self.refresh(&mut last_fetch).await { Some(self.known_key().await?.id.clone()) } else { None }
    }

    /// As [`KeyStore::fetch_key`], but without a fetch if the last one ended less than `refetch`
    /// ago and brought a key.
    pub async fn recent_key(&self) -> Option<KeyId> {
        match self.last_result() {
            Some(last) if last.has_recent_key(last.ended.elapsed(), self.refetch) => {
                Some(self.known_key().await?.id.clone())
            }
            Some(_) | None => self.fetch_key().await,
        }
    }

    /// Whether a key is known: from auth, or from the cache.
    pub async fn has_key(&self) -> bool {
        self.known_key().await.is_some()
    }

    /// Why the last fetch brought no key.
    pub fn fault(&self) -> Option<KeyFault> {
        self.last_result()?.fault
    }

    /// How far this machine's clock is ahead of auth's, by the last verified token: negative if it
    /// is behind. `None` if that token was not issued in the future.
    pub fn lead_over_tokens(&self) -> Option<SignedDuration> {
        self.issue_times.lead()
    }

    /// Shortest time between two fetches of the key.
    pub fn refetch(&self) -> Duration {
        self.refetch
    }

    fn last_result(&self) -> Option<LastResult> {
        *self.last_result.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies a token with the key of this name, without a call to auth. Returns `None` if the
    /// known key has changed.
    pub async fn verify_with(&self, token: &str, key: &KeyId) -> Option<Result<VerifiedToken, TokenFault>> {
        let known = self.known_key().await.filter(|known| known.id == *key)?;
        Some(plausible(token).and_then(|()| self.verify_by(&known, token)))
    }

    fn verify_by(&self, known: &AuthKey, token: &str) -> Result<VerifiedToken, TokenFault> {
        let verified = verify(token, &known.key, &self.service_users)?;
        if let Some(issued) = issued_at(token) {
            self.issue_times.observe(issued, Timestamp::now());
        }
        Ok(verified)
    }

    async fn known_key(&self) -> Option<Arc<AuthKey>> {
        self.known.read().await.clone()
    }

    /// Verifies a token with the known key. Returns `None` if no key is known, or if the signature
    /// does not match it but may match a newer key.
    async fn verdict<T>(&self, token: &str, verify: Verify<T>) -> Option<Result<T, TokenFault>> {
        let verdict = verify(self, &*self.known_key().await?, token);
        (verdict.as_ref().err() != Some(&TokenFault::Signature)).then_some(verdict)
    }
}
