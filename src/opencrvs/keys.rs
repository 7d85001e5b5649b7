//! Auth's public key: raw PEM at `{AUTH_URL}/.well-known` (not JWKS; the same in 1.3 to 2.0).
//!
//! Invariant: one fetch at a time and at most one per `refetch`; a token whose signature the known key does not match
//! waits for the next permitted fetch before it is refused, since a redeploy may have changed the key; the last good
//! key survives a restart while auth is away.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;
use url::Url;

use super::token::{RecordToken, TokenFault, plausible, verify};
use super::{ClientSettings, client, whole};

/// Names a key without showing it: the SHA-256 of its PEM, the same in every process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    fn of(pem: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pem);
        Self(URL_SAFE_NO_PAD.encode(digest.as_ref()))
    }

    /// The name as the ledger has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key and its name.
struct AuthKey {
    id: KeyId,
    key: DecodingKey,
}

impl AuthKey {
    fn parse(pem: &[u8]) -> Option<Self> {
        Some(Self { key: DecodingKey::from_rsa_pem(pem).ok()?, id: KeyId::of(pem) })
    }
}

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
    known: RwLock<Option<Arc<AuthKey>>>,
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
        let known = kept.and_then(|pem| AuthKey::parse(&pem)).map(Arc::new);
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
        if let Some(verdict) = self.judged(token).await {
            return verdict;
        }
        let mut last = self.last.lock().await;
        // The fetch that was waited for may have brought the key; another one would only make the caller wait.
        if let Some(verdict) = self.judged(token).await {
            return verdict;
        }
        if last.is_none_or(|begun| begun < arrived) {
            self.refresh(&mut last).await;
        }
        drop(last);
        self.key().await.map_or(Err(TokenFault::NoKey), |known| verify(token, &known.key))
    }

    /// Asks auth for its key as soon as that is permitted, and names it. `None`: auth did not give one; what was
    /// known before still holds.
    pub async fn look(&self) -> Option<KeyId> {
        let mut last = self.last.lock().await;
        if self.refresh(&mut last).await { Some(self.key().await?.id.clone()) } else { None }
    }

    /// What the key of this name says of a token, without asking anybody. `None`: another key is known by now.
    pub async fn judge(&self, token: &str, key: &KeyId) -> Option<Result<RecordToken, TokenFault>> {
        let known = self.key().await.filter(|known| known.id == *key)?;
        Some(plausible(token).and_then(|()| verify(token, &known.key)))
    }

    async fn key(&self) -> Option<Arc<AuthKey>> {
        self.known.read().await.clone()
    }

    /// What the known key says, unless another key might say something else.
    async fn judged(&self, token: &str) -> Option<Result<RecordToken, TokenFault>> {
        let verdict = verify(token, &self.key().await?.key);
        (verdict.as_ref().err() != Some(&TokenFault::Signature)).then_some(verdict)
    }

    /// Fetches the key as soon as that is permitted; says whether there was one.
    async fn refresh(&self, last: &mut Option<Instant>) -> bool {
        if let Some(begun) = *last {
            tokio::time::sleep_until(begun + self.refetch).await;
        }
        *last = Some(Instant::now());
        match self.fetch().await {
            Ok((pem, key)) => {
                *self.known.write().await = Some(Arc::new(key));
                self.keep(&pem);
                true
            }
            Err(cause) => {
                tracing::warn!(cause, "auth's public key could not be fetched");
                false
            }
        }
    }

    async fn fetch(&self) -> Result<(Vec<u8>, AuthKey), &'static str> {
        let answer = self.http.get(self.url.clone()).send().await.map_err(|_| "auth did not answer")?;
        if !answer.status().is_success() {
            return Err("auth answered with an error");
        }
        let pem = whole(answer).await.map_err(|_| "auth's answer broke off, or has no end")?;
        let key = AuthKey::parse(&pem).ok_or("auth's answer is not an RSA public key in PEM")?;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Slot;

    use futures_util::future::join_all;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::sandbox::opencrvs::{OpencrvsSettings, OpencrvsSim};

    const REFETCH: Duration = Duration::from_millis(300);

    /// Serves keys, and notes when it was asked.
    struct Auth {
        url: Url,
        key: Arc<Slot<String>>,
        asked: Arc<Slot<Vec<Instant>>>,
    }

    impl Auth {
        async fn serving(key: String) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = Url::parse(&format!("http://{}/base/", listener.local_addr().unwrap())).unwrap();
            let (key, asked) = (Arc::new(Slot::new(key)), Arc::new(Slot::new(Vec::new())));
            let auth = Self { url, key: Arc::clone(&key), asked: Arc::clone(&asked) };
            tokio::spawn(async move {
                while let Ok((mut caller, _)) = listener.accept().await {
                    let mut head = vec![0; 4096];
                    let read = caller.read(&mut head).await.unwrap();
                    assert!(head[..read].starts_with(b"GET /base/.well-known HTTP/1.1"));
                    asked.lock().unwrap().push(Instant::now());
                    let pem = key.lock().unwrap().clone();
                    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
                    caller.write_all(format!("{head} {}\r\n\r\n{pem}", pem.len()).as_bytes()).await.unwrap();
                }
            });
            auth
        }

        fn store(&self, cache: Option<PathBuf>) -> KeyStore {
            let limit = Duration::from_secs(5);
            let auth = ClientSettings { url: self.url.clone(), timeout: limit, connect_timeout: limit };
            KeyStore::new(KeyStoreSettings { auth, refetch: REFETCH, cache }).unwrap()
        }

        fn asked(&self) -> Vec<Instant> {
            self.asked.lock().unwrap().clone()
        }
    }

    async fn opencrvs() -> (OpencrvsSim, String) {
        let sim = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
        let token = sim.mint(&sim.record_claims("record-1")).unwrap();
        (sim, token)
    }

    #[tokio::test]
    async fn any_number_of_forged_tokens_costs_auth_one_question_per_pause() {
        let ((sim, good), (_stranger, forged)) = (opencrvs().await, opencrvs().await);
        let auth = Auth::serving(sim.public_key()).await;
        let keys = auth.store(None);
        for verdict in join_all((0..20).map(|_| keys.verify(&good))).await {
            assert_eq!(verdict.unwrap().record.as_str(), "record-1");
        }
        assert_eq!(auth.asked().len(), 1);
        for verdict in join_all((0..50).map(|_| keys.verify(&forged))).await {
            assert_eq!(verdict.unwrap_err(), TokenFault::Signature);
        }
        let asked = auth.asked();
        assert_eq!(asked.len(), 2);
        assert!(asked[1] - asked[0] >= REFETCH / 2, "{:?}", asked[1] - asked[0]);
        assert!(keys.verify(&good).await.is_ok());
        for odd in ["", "a", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
            assert!(keys.verify(odd).await.is_err());
        }
        assert_eq!(auth.asked().len(), 2);
    }

    #[tokio::test]
    async fn a_token_of_a_new_key_waits_for_it_and_what_is_no_key_displaces_none() {
        let ((old, of_old), (new, of_new)) = (opencrvs().await, opencrvs().await);
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("auth.pem");
        let auth = Auth::serving(old.public_key()).await;
        let keys = auth.store(Some(cache.clone()));
        assert!(keys.verify(&of_old).await.is_ok());
        *auth.key.lock().unwrap() = "<html>auth is starting</html>".to_owned();
        assert_eq!(keys.verify(&of_new).await.unwrap_err(), TokenFault::Signature);
        assert!(keys.verify(&of_old).await.is_ok());
        assert_eq!(std::fs::read_to_string(&cache).unwrap(), old.public_key());
        *auth.key.lock().unwrap() = new.public_key();
        assert!(keys.verify(&of_new).await.is_ok());
        assert_eq!(std::fs::read_to_string(&cache).unwrap(), new.public_key());
    }
}
