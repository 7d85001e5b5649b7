//! Auth's public key: it is fetched at most once per pause, and only a valid key replaces it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use nidbridge::opencrvs::{ClientSettings, KeyStore, KeyStoreSettings, TokenFault};
use nidbridge::sandbox::opencrvs::{OpencrvsSettings, OpencrvsSim};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;
use url::Url;

const REFETCH: Duration = Duration::from_millis(300);

/// Serves keys, and notes when it was asked.
struct Auth {
    url: Url,
    key: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Auth {
    async fn serving(key: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/base/", listener.local_addr().unwrap())).unwrap();
        let (key, asked) = (Arc::new(Mutex::new(key)), Arc::new(Mutex::new(Vec::new())));
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
        let auth =
            ClientSettings { url: self.url.clone(), timeout: limit, connect_timeout: limit, proxy: None };
        KeyStore::new(KeyStoreSettings { auth, refetch: REFETCH, cache, service_users: vec![] }).unwrap()
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
        assert_eq!(verdict.unwrap().record().unwrap().as_str(), "record-1");
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
