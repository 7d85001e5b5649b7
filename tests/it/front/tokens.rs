//! Only the token of the record itself is accepted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use nidbridge::sandbox::opencrvs::{Claims, OpencrvsSettings, OpencrvsSim};
use url::Url;

use super::wire::{Post, ask};
use super::{births, boom, bundle, stored, token};
use crate::harness::world::World;

/// A refused token: what is wrong with it, the header, and the advice in the answer.
struct Case {
    what: &'static str,
    authorization: Option<Vec<u8>>,
    fix: &'static str,
}

fn case(what: &'static str, token: &str, fix: &'static str) -> Case {
    Case { what, authorization: Some(format!("Bearer {token}").into_bytes()), fix }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_the_token_of_the_record_is_refused_and_told_why() {
    let world = World::with_front(&[]).await;
    let [ours, other] = births(2, 101).try_into().unwrap();
    let body = bundle(&ours).to_string();
    let cases = unreadable().into_iter().chain(forged(&world, &ours.record).await);
    let cases: Vec<Case> = cases.chain(not_for_this(&world, &ours.record, &other.record).await).collect();
    for Case { what, authorization, fix } in &cases {
        let post = Post { authorization: authorization.clone(), headers: vec![], body: body.clone().into() };
        let answer = post.to(&world.front).await;
        let message = boom(&answer, what, 401, "Unauthorized");
        assert!(message.contains(": ") && message.contains(fix), "{what}: {message}");
        let said = format!("{answer:?}{}", world.log_text("front"));
        for secret in secrets(authorization.as_deref()) {
            assert!(!said.contains(&secret), "{what}: the token is shown");
        }
        assert!(!said.contains(super::NAME), "{what}: a name is shown");
    }
    let refused = world.metric("front", "nidbridge_received_total", "outcome=\"unauthorized\"");
    assert_eq!(refused as usize, cases.len());
    // The body, which the front does not read, may be long; the caller gets the answer all the
    // same.
    let long = format!("{}{body}", " ".repeat(20 * 1024 * 1024));
    let answer = Post::new("not.a.jwt", long).to(&world.front).await;
    boom(&answer, "a long body", 401, "Unauthorized");
    assert_eq!(Post::new(&token(&world, &ours), body).to(&world.front).await.status, 202);
    let stored = stored(&world).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].correlation_id.as_deref(), Some(ours.record.as_str()));
}

/// The parts of a header that must not appear in logs or answers.
fn secrets(authorization: Option<&[u8]>) -> Vec<String> {
    let text = String::from_utf8_lossy(authorization.unwrap_or_default()).into_owned();
    let parts = text.split([' ', '.']).filter(|part| part.len() > 20);
    parts.map(str::to_owned).collect()
}

fn unreadable() -> Vec<Case> {
    let raw = |what, value: &[u8], fix| Case { what, authorization: Some(value.to_vec()), fix };
    let bearer = "`Authorization: Bearer <token>`";
    vec![
        Case { what: "none", authorization: None, fix: bearer },
        raw("empty", b"", bearer),
        raw("no token", b"Bearer", bearer),
        raw("Basic", b"Basic cmVnaXN0cmFyOnBhc3N3b3JkMTIzNDU2Nzg5MA==", bearer),
        raw("not ASCII", b"Bearer \xff\xfe", "send the record token"),
        case("garbage", "garbage", "send the record token"),
        case("three parts of garbage", "not.a.jwt", "send the record token"),
        case("endless", &"A".repeat(8_000), "send the record token"),
    ]
}

async fn forged(world: &World, record: &str) -> Vec<Case> {
    let claims = world.opencrvs.record_claims(record);
    let stranger = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
    let pem = world.opencrvs.public_key();
    let hmac = |secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
    };
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let payload = part(serde_json::to_string(&claims).unwrap());
    let unsigned = |alg: &str| format!("{}.{payload}.", part(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#)));
    let good = world.opencrvs.mint(&claims).unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let header = signed.split('.').next().unwrap();
    let richer = Claims { exp: claims.exp + 1, ..claims.clone() };
    let richer = part(serde_json::to_string(&richer).unwrap());
    let signature_fix = "check AUTH_URL";
    let algorithm_fix = "send the record token";
    vec![
        case("another key", &stranger.mint(&claims).unwrap(), signature_fix),
        case("changed", &format!("{header}.{richer}.{signature}"), signature_fix),
        case("signature cut off", &format!("{signed}."), signature_fix),
        case("alg none", &unsigned("none"), algorithm_fix),
        case("alg None", &unsigned("None"), algorithm_fix),
        case("alg none, with a signature", &format!("{}{signature}", unsigned("none")), algorithm_fix),
        case("alg RS256 without a signature", &unsigned("RS256"), signature_fix),
        case("HS256 with the public key", &hmac(&pem), algorithm_fix),
        case("HS256 with the public key, trimmed", &hmac(pem.trim()), algorithm_fix),
    ]
}

async fn not_for_this(world: &World, record: &str, other: &str) -> Vec<Case> {
    let claims = world.opencrvs.record_claims(record);
    let mint = |claims: Claims| world.opencrvs.mint(&claims).unwrap();
    let without = || claims.aud.iter().filter(|name| !name.ends_with(":countryconfig-user")).cloned();
    let auth = Url::parse(&world.opencrvs.auth_url()).unwrap();
    let anonymous = ask(&auth, "GET", "/anonymous-token").await;
    let anonymous: serde_json::Value = serde_json::from_str(&anonymous.body).unwrap();
    let scope_fix = "send the record token, not a user's or an anonymous one";
    vec![
        case("expired", &mint(Claims { exp: claims.iat - 1, ..claims.clone() }), "submit the record again"),
        case(
            "other issuer",
            &mint(Claims { iss: "x".to_owned(), ..claims.clone() }),
            "send the record token",
        ),
        case(
            "other audience",
            &mint(Claims { aud: without().collect(), ..claims.clone() }),
            "send the record",
        ),
        case("no audience", &mint(Claims { aud: vec![], ..claims.clone() }), "send the record token"),
        case("anonymous", anonymous["token"].as_str().unwrap(), scope_fix),
        case("no scope", &mint(Claims { scope: vec![], ..claims.clone() }), scope_fix),
        case(
            "another scope",
            &mint(Claims { scope: vec!["record.reject-registration".to_owned()], ..claims.clone() }),
            scope_fix,
        ),
        case("no record", &mint(Claims { record_id: None, ..claims.clone() }), "OpenCRVS 1.7 or newer"),
        case(
            "of an action",
            &mint(world.opencrvs.action_claims(record, "action-1")),
            "FHIR tokens name a recordId",
        ),
        case("another record", &mint(world.opencrvs.record_claims(other)), "send the token of this record"),
    ]
}
