use std::sync::atomic::Ordering;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::domain::Dialect;
use crate::opencrvs::bare_server::{Server, server};

/// Auth's key: it signs tokens, and its public half is what auth serves.
pub(in crate::opencrvs) struct SigningKey {
    signs: EncodingKey,
    pub(in crate::opencrvs) pem: String,
}

impl SigningKey {
    pub(in crate::opencrvs) fn generate() -> Self {
        let pem = |label: &str, der: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
        };
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            signs: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).unwrap(),
            pem: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    /// A token with these claims besides, or instead of, those that every token has.
    pub(in crate::opencrvs) fn token(&self, changed: &Value) -> String {
        let now = Timestamp::now().as_second();
        let mut claims = json!({
            "iss": "opencrvs:auth-service", "aud": ["opencrvs:countryconfig-user"], "sub": "u-1",
            "iat": now - 100, "exp": now + 600, "scope": ["record.confirm-registration"],
        });
        for (name, value) in changed.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.signs).unwrap()
    }
}

pub(in crate::opencrvs) fn store(auth: &Server, refetch: Duration, cache: Option<PathBuf>) -> Arc<KeyStore> {
    let service_users = vec!["core".to_owned()];
    Arc::new(
        KeyStore::new(KeyStoreSettings { auth: auth.settings(), refetch, cache, service_users }).unwrap(),
    )
}

async fn fault(keys: &KeyStore, token: &str) -> TokenFault {
    keys.verify(token).await.unwrap_err()
}

#[tokio::test]
async fn a_token_is_accepted_for_what_it_names_and_every_other_is_refused_by_its_first_fault() {
    let key = SigningKey::generate();
    let auth = server(&[(200, key.pem.clone())]).await;
    let keys = store(&auth, Duration::from_millis(1), None);
    let verified = keys.verify(&key.token(&json!({ "recordId": "r" }))).await.unwrap();
    assert_eq!((verified.dialect(), verified.record().unwrap().as_str()), (Dialect::Fhir, "r"));
    let verified = keys.verify(&key.token(&json!({ "eventId": "e", "actionId": "a" }))).await.unwrap();
    assert_eq!((verified.dialect(), verified.record().unwrap().as_str()), (Dialect::Events, "e"));
    let bound = json!({ "scope": null, "eventId": "e", "actionId": "a" });
    let verified = keys.verify(&key.token(&bound)).await.unwrap();
    assert!(matches!(&verified, VerifiedToken::Service(token) if token.bound.is_some()));
    assert_eq!((verified.dialect(), verified.record().unwrap().as_str()), (Dialect::Events, "e"));
    let verified = keys.verify(&key.token(&json!({ "scope": null, "sub": "core" }))).await.unwrap();
    assert!(matches!(&verified, VerifiedToken::Service(token) if token.bound.is_none()));
    assert_eq!((verified.dialect(), verified.record()), (Dialect::Events, None));
    for (changed, expected) in [
        (json!({ "exp": Timestamp::now().as_second() - 1 }), TokenFault::Expired),
        (json!({ "iss": "somebody" }), TokenFault::Issuer),
        (json!({ "iss": null }), TokenFault::Issuer),
        (json!({ "aud": ["opencrvs:gateway-user"] }), TokenFault::Audience),
        (json!({ "aud": null }), TokenFault::Audience),
        (json!({ "exp": null }), TokenFault::Garbage),
        (json!({}), TokenFault::NoRecord),
        (json!({ "eventId": "e" }), TokenFault::NoRecord),
        (json!({ "scope": ["register"], "recordId": "r" }), TokenFault::Scope),
        (json!({ "scope": ["register"], "eventId": "e" }), TokenFault::Scope),
        (json!({ "scope": ["register"] }), TokenFault::Scope),
        (json!({ "scope": [] }), TokenFault::OtherService),
        (json!({ "scope": null }), TokenFault::OtherService),
    ] {
        assert_eq!(fault(&keys, &key.token(&changed)).await, expected, "{changed}");
    }
    assert_eq!(fault(&keys, "no token").await, TokenFault::Garbage);
    let unsigned = format!("{}.e30.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
    assert_eq!(fault(&keys, &unsigned).await, TokenFault::Algorithm);
    let secret = EncodingKey::from_secret(b"secret");
    let shared = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &json!({}), &secret).unwrap();
    assert_eq!(fault(&keys, &shared).await, TokenFault::Algorithm);
    assert_eq!(auth.requests().len(), 1, "a key that verifies is not fetched again");
}

#[tokio::test]
async fn a_bootstrap_token_needs_its_scope() {
    let key = SigningKey::generate();
    let keys = store(&server(&[(200, key.pem.clone())]).await, Duration::from_millis(1), None);
    assert!(keys.verify_bootstrap(&key.token(&json!({ "scope": ["integration.create"] }))).await.is_ok());
    let other = keys.verify_bootstrap(&key.token(&json!({}))).await;
    assert_eq!(other.unwrap_err(), TokenFault::NotBootstrap);
    // It has no claim of which the absence is found before the library checks the claims.
    for (absent, expected) in
        [("exp", TokenFault::Garbage), ("iss", TokenFault::Issuer), ("aud", TokenFault::Audience)]
    {
        let token = key.token(&json!({ "scope": ["integration.create"], absent: null }));
        assert_eq!(keys.verify_bootstrap(&token).await.unwrap_err(), expected, "{absent}");
    }
}

#[test]
fn a_token_of_another_algorithm_is_refused_without_a_key_and_with_one() {
    let key = SigningKey::generate();
    let known = AuthKey::parse(key.pem.as_bytes()).unwrap().key;
    let secret = EncodingKey::from_secret(b"secret");
    let shared = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &json!({}), &secret).unwrap();
    assert_eq!(plausible(&shared), Err(TokenFault::Algorithm));
    assert_eq!(verify(&shared, &known, &[]).unwrap_err(), TokenFault::Algorithm);
    assert_eq!(plausible(&key.token(&json!({}))), Ok(()));
}

#[tokio::test]
async fn a_signature_that_does_not_match_is_refused_only_after_another_fetch() {
    let (old, new) = (SigningKey::generate(), SigningKey::generate());
    let auth = server(&[(200, old.pem.clone()), (200, new.pem.clone())]).await;
    let keys = store(&auth, Duration::from_millis(1), None);
    let first = keys.fetch_key().await.unwrap();
    let token = new.token(&json!({ "recordId": "r" }));
    assert_eq!(keys.verify_with(&token, &first).await.unwrap().unwrap_err(), TokenFault::Signature);
    assert!(keys.verify(&token).await.is_ok());
    assert_eq!(
        keys.verify(&old.token(&json!({ "recordId": "r" }))).await.unwrap_err(),
        TokenFault::Signature
    );
    assert!(keys.verify_with(&token, &first).await.is_none(), "the key of that name is not known any more");
    assert_eq!(auth.requests().len(), 3);
    assert!(auth.requests()[0].starts_with("GET /base/.well-known HTTP/1.1\r\n"));
    let second = keys.fetch_key().await.unwrap();
    assert_ne!(first.as_str(), second.as_str());
    assert_eq!(second.as_str(), KeyId::of(new.pem.as_bytes()).as_str());
}

#[tokio::test]
async fn tasks_that_arrive_before_a_fetch_begins_share_its_result() {
    let key = SigningKey::generate();
    let auth = server(&[(500, String::new()), (500, String::new()), (200, key.pem.clone())]).await;
    let keys = store(&auth, Duration::from_millis(1), None);
    let token = key.token(&json!({ "recordId": "r" }));
    // The second and the third arrive while the first one's fetch is in flight.
    let all = tokio::join!(keys.verify(&token), keys.verify(&token), keys.verify(&token));
    for result in [all.0, all.1, all.2] {
        assert_eq!(result.unwrap_err(), TokenFault::NoKey);
    }
    assert_eq!(auth.requests().len(), 2);
}

/// Makes the last fetch end this long ago, so that no test waits.
async fn last_ended(keys: &KeyStore, age: Duration, brought_key: bool) {
    let ended = Instant::now().checked_sub(age).unwrap();
    let fault = (!brought_key).then_some(KeyFault::NoAnswer);
    *keys.last_result.lock().unwrap() = Some(LastResult { begun_at: Timestamp::now(), ended, fault });
    *keys.last_fetch.lock().await = None;
}

#[tokio::test]
async fn a_key_that_was_fetched_lately_is_good_enough() {
    let key = SigningKey::generate();
    let auth = server(&[(200, key.pem.clone())]).await;
    let refetch = Duration::from_secs(20);
    let keys = store(&auth, refetch, None);
    assert_eq!(keys.refetch(), refetch);
    assert!(keys.recent_key().await.is_some());
    last_ended(&keys, refetch / 10, true).await;
    assert!(keys.recent_key().await.is_some());
    assert_eq!(auth.requests().len(), 1);
    last_ended(&keys, refetch * 2, true).await;
    assert!(keys.recent_key().await.is_some());
    assert_eq!(auth.requests().len(), 2, "the last fetch ended too long ago");
    last_ended(&keys, refetch / 10, false).await;
    assert!(keys.recent_key().await.is_some());
    assert_eq!(auth.requests().len(), 3, "the last fetch brought no key");
}

#[tokio::test]
async fn two_fetches_begin_at_least_the_interval_apart() {
    let key = SigningKey::generate();
    let refetch = Duration::from_millis(300);
    let keys = store(&server(&[(200, key.pem.clone())]).await, refetch, None);
    let began = Instant::now();
    assert!(keys.fetch_key().await.is_some());
    assert!(keys.fetch_key().await.is_some());
    assert!(began.elapsed() >= refetch);
}

#[tokio::test]
async fn a_fetch_that_fails_or_brings_no_key_leaves_the_cached_key_in_force() {
    let key = SigningKey::generate();
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("key.pem");
    let token = key.token(&json!({ "recordId": "r" }));
    let auth = server(&[(404, key.pem.clone()), (200, "<html>".to_owned()), (200, key.pem.clone())]).await;
    let keys = store(&auth, Duration::from_millis(1), Some(cache.clone()));
    assert_eq!(keys.verify(&token).await.unwrap_err(), TokenFault::NoKey);
    assert_eq!(keys.recent_key().await, None);
    assert!(keys.verify(&token).await.is_ok());
    assert_eq!(std::fs::read_to_string(&cache).unwrap(), key.pem);
    let down = server(&[(500, String::new())]).await;
    let keys = store(&down, Duration::from_millis(1), Some(cache));
    assert!(keys.verify(&token).await.is_ok());
    assert_eq!(keys.fetch_key().await, None);
    assert!(keys.verify(&token).await.is_ok());
}

/// Judges until the key has been fetched.
async fn judged(keys: &Arc<KeyStore>, token: &str) -> Judgement {
    for _ in 0..3_000 {
        let judgement = keys.judge(token).await;
        if judgement != Judgement::Pending {
            return judgement;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Judgement::Pending
}

#[tokio::test]
async fn a_refused_token_is_judged_by_the_key_that_auth_had_after_it() {
    let (key, other) = (SigningKey::generate(), SigningKey::generate());
    let auth = server(&[(200, key.pem.clone())]).await;
    let keys = store(&auth, Duration::from_secs(60), None);
    let (good, bad) = (key.token(&json!({ "recordId": "r" })), other.token(&json!({ "recordId": "r" })));
    assert_eq!(keys.judge(&good).await, Judgement::Pending);
    assert_eq!(judged(&keys, &good).await, Judgement::Valid);
    assert_eq!(keys.judge(&bad).await, Judgement::Dead);
    let fresh = other.token(&json!({ "recordId": "r", "iat": Timestamp::now().as_second() }));
    assert_eq!(keys.judge(&fresh).await, Judgement::Pending, "a newer key may have signed it");
    assert_eq!(auth.requests().len(), 1);
}

#[tokio::test]
async fn a_fetch_without_a_key_is_an_outage_for_three_times_the_interval() {
    let auth = server(&[(500, String::new())]).await;
    let refetch = Duration::from_secs(20);
    let keys = store(&auth, refetch, None);
    for (age, fetches, expected) in [
        (refetch / 10, false, Judgement::NoKey),
        (refetch * 2, true, Judgement::NoKey),
        (refetch * 4, true, Judgement::Pending),
    ] {
        last_ended(&keys, age, false).await;
        keys.fetching.store(false, Ordering::Release);
        assert_eq!(keys.judge("x").await, expected, "{age:?}");
        assert_eq!(keys.fetching.load(Ordering::Acquire), fetches, "{age:?}");
    }
}
