//! Auth's public key: raw PEM at `{AUTH_URL}/.well-known` (not JWKS; the same in 1.3 to 2.0).
//!
//! Invariant: one fetch at a time and at most one per `refetch`; a token whose signature the known key does not match
//! waits for the next permitted fetch before it is refused, since a redeploy may have changed the key; the last good
//! key survives a restart while auth is away.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;
use url::Url;

use super::token::{RecordToken, TokenFault, plausible, verify};
use super::{ClientSettings, client};

/// How the key is got.
#[derive(Debug, Clone)]
pub struct KeyStoreSettings {
    /// Auth.
    pub auth: ClientSettings,
    /// The shortest pause between two fetches.
    pub refetch: Duration,
    /// Where the last good key is kept.
    pub cache: Option<PathBuf>,
}

/// Verifies record tokens with auth's key, which it keeps.
pub struct KeyStore {
    http: reqwest::Client,
    url: Url,
    refetch: Duration,
    cache: Option<PathBuf>,
    known: RwLock<Option<Arc<DecodingKey>>>,
    /// When the last fetch was begun; held while one runs.
    last: Mutex<Option<Instant>>,
}

impl KeyStore {
    /// Takes the kept key, if there is one; auth is asked when the first token comes.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: KeyStoreSettings) -> Result<Self, reqwest::Error> {
        let kept = settings.cache.as_deref().and_then(|path| std::fs::read(path).ok());
        let known = kept.and_then(|pem| DecodingKey::from_rsa_pem(&pem).ok()).map(Arc::new);
        Ok(Self {
            http: client(&settings.auth)?,
            url: well_known(&settings.auth.url),
            refetch: settings.refetch,
            cache: settings.cache,
            known: RwLock::new(known),
            last: Mutex::new(None),
        })
    }

    /// Whether there is a key to verify with.
    pub async fn has_key(&self) -> bool {
        self.known.read().await.is_some()
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// [`TokenFault`]; [`TokenFault::NoKey`] when auth has never been reached.
    pub async fn verify(&self, token: &str) -> Result<RecordToken, TokenFault> {
        plausible(token)?;
        let arrived = Instant::now();
        let known = self.known.read().await.clone();
        match known.map(|key| verify(token, &key)) {
            Some(Err(TokenFault::Signature)) | None => {}
            Some(verdict) => return verdict,
        }
        self.refresh(arrived).await;
        let known = self.known.read().await.clone();
        known.map_or(Err(TokenFault::NoKey), |key| verify(token, &key))
    }

    /// Fetches the key unless that was begun after `arrived`; waits until it is permitted.
    async fn refresh(&self, arrived: Instant) {
        let mut last = self.last.lock().await;
        if last.is_some_and(|begun| begun >= arrived) {
            return;
        }
        if let Some(begun) = *last {
            tokio::time::sleep_until(begun + self.refetch).await;
        }
        *last = Some(Instant::now());
        match self.fetch().await {
            Ok((pem, key)) => {
                *self.known.write().await = Some(Arc::new(key));
                self.keep(&pem);
            }
            Err(cause) => tracing::warn!(cause, "auth's public key could not be fetched"),
        }
    }

    async fn fetch(&self) -> Result<(Vec<u8>, DecodingKey), &'static str> {
        let answer = self.http.get(self.url.clone()).send().await.map_err(|_| "auth did not answer")?;
        if !answer.status().is_success() {
            return Err("auth answered with an error");
        }
        let pem = answer.bytes().await.map_err(|_| "auth's answer broke off")?.to_vec();
        let key =
            DecodingKey::from_rsa_pem(&pem).map_err(|_| "auth's answer is not an RSA public key in PEM")?;
        Ok((pem, key))
    }

    fn keep(&self, pem: &[u8]) {
        if let Some(path) = &self.cache
            && let Err(error) = write_whole(path, pem)
        {
            tracing::warn!(%error, "auth's public key could not be kept");
        }
    }
}

fn well_known(auth: &Url) -> Url {
    let mut url = auth.clone();
    url.set_path(&format!("{}/.well-known", auth.path().trim_end_matches('/')));
    url
}

/// Writes a file so that a reader finds the old one or the new one, never half of one.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes)?;
    std::fs::rename(beside, path)
}
