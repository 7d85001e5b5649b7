//! Record tokens: a signed token is judged by its claims, and an unsigned one is never accepted.

use std::sync::LazyLock;

use jiff::Timestamp;
use nidbridge::opencrvs::{RecordToken, ServiceToken, TokenFault, VerifiedToken};
use proptest::prelude::*;
use proptest::sample::Index;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::checks::token::{Auth, SERVICE_USER};

static AUTH: LazyLock<Auth> = LazyLock::new(Auth::new);

const SCOPE: &str = "record.confirm-registration";
const AUDIENCE: &str = "opencrvs:countryconfig-user";
const NAMES: [&str; 8] =
    [SCOPE, AUDIENCE, "opencrvs:auth-service", "record-1", "exp", "aud", "scope", "recordId"];

fn record_token(token: VerifiedToken) -> RecordToken {
    match token {
        VerifiedToken::Record(token) => token,
        VerifiedToken::Service(token) => panic!("{token:?}"),
    }
}

fn claims() -> Value {
    json!({
        "iss": "opencrvs:auth-service", "aud": [AUDIENCE, "opencrvs:gateway-user"], "sub": "registrar",
        "scope": [SCOPE], "iat": 1, "exp": Timestamp::now().as_second() + 600, "recordId": "record-1",
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    #[test]
    fn a_token_is_good_exactly_when_each_of_its_claims_is(
        iss in prop_oneof![4 => Just(json!("opencrvs:auth-service")), 1 => super::json(&NAMES)],
        aud in prop_oneof![4 => Just(json!([AUDIENCE])), 1 => Just(json!(AUDIENCE)), 1 => super::json(&NAMES)],
        scope in prop_oneof![4 => Just(json!([SCOPE])), 1 => Just(json!(format!("a {SCOPE}"))), 1 => super::json(&NAMES)],
        record in prop_oneof![4 => Just(json!("record-1")), 1 => super::json(&NAMES), 1 => "\\PC{60,70}".prop_map(Value::from)],
        left in prop_oneof![4 => Just(600_i64), 1 => -700_i64..700, 1 => any::<i32>().prop_map(i64::from)],
    ) {
        let exp = Timestamp::now().as_second() + left;
        let claims = json!({ "iss": iss, "aud": aud, "scope": scope, "recordId": record, "exp": exp });
        let read = AUTH.check(claims.to_string().as_bytes());
        let has = |value: &Value, wanted: &str| {
            value == wanted || value.as_array().is_some_and(|all| {
                all.iter().all(Value::is_string) && all.iter().any(|one| one == wanted)
            })
        };
        let scoped = has(&scope, SCOPE) || scope.as_str().is_some_and(|text| text.split(' ').any(|one| one == SCOPE));
        let named = record.as_str().is_some_and(|id| {
            (1..=64).contains(&id.chars().count()) && !id.chars().any(char::is_control)
        });
        // The JWT library also accepts a list of issuers; auth never writes one.
        let good = has(&iss, "opencrvs:auth-service") && has(&aud, AUDIENCE) && scoped && named && left > 5;
        if !(-5..=5).contains(&left) {
            prop_assert_eq!(read.is_ok(), good, "{} {:?}", claims, read.err());
        }
        if let Ok(token) = read.map(record_token) {
            prop_assert_eq!(Some(token.record.as_str()), record.as_str());
            prop_assert_eq!(token.expires_at.as_second(), exp);
        }
    }

    #[test]
    fn any_claims_that_are_signed_are_judged_and_never_shown(claims in super::json(&NAMES)) {
        let text = claims.to_string();
        if let Err(fault) = AUTH.check(text.as_bytes()) {
            prop_assert!(fault != TokenFault::Signature && fault != TokenFault::NoKey);
        }
    }

    #[test]
    fn any_changed_character_makes_a_token_invalid(at in any::<Index>(), letter in "[A-Za-z0-9._ =-]", cut in any::<bool>()) {
        let token = AUTH.token(claims().to_string().as_bytes());
        prop_assert!(AUTH.judge(&token).is_ok());
        let at = at.index(token.len() - 1);
        let mut other = token.clone();
        match cut {
            true => other.truncate(at),
            false => other.replace_range(at..=at, &letter),
        }
        prop_assert!(other == token || AUTH.judge(&other).is_err(), "{} at {}", letter, at);
    }

    #[test]
    fn no_text_crashes_the_front(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(AUTH.judge(&text).is_err());
        prop_assert!(AUTH.check(&bytes).is_err());
    }
}

#[test]
fn a_token_with_another_algorithm_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let token = AUTH.token(claims().to_string().as_bytes());
    let (_, signed) = token.split_once('.').unwrap();
    let deep = format!(r#"{{"alg":"RS256","x":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    for header in
        [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"RS512"}"#, r#"{"alg":7}"#, "{}", "", &deep]
    {
        let token = format!("{}.{signed}", URL_SAFE_NO_PAD.encode(header));
        assert!(AUTH.judge(&token).is_err(), "{}", &header[..header.len().min(40)]);
    }
}

#[test]
fn what_is_read_of_a_token_is_what_was_signed() {
    let claims = claims();
    let token = AUTH.token(claims.to_string().as_bytes());
    let read = record_token(AUTH.judge(&token).unwrap());
    assert_eq!(read.record.as_str(), "record-1");
    assert_eq!(read.raw.expose_secret(), token);
    assert_eq!(Some(read.expires_at.as_second()), claims["exp"].as_i64());
}

/// The claims of OpenCRVS 2.1's service token, as its auth service writes them.
fn service(more: &Value) -> Vec<u8> {
    let mut claims = json!({
        "iss": "opencrvs:auth-service", "aud": [AUDIENCE], "sub": SERVICE_USER, "scope": [], "userType": "system",
        "iat": 1, "exp": Timestamp::now().as_second() + 600,
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.to_string().into_bytes()
}

#[test]
fn a_service_token_is_told_from_every_other_token_by_its_claims() {
    let gone = Timestamp::now().as_second() - 1;
    for (more, expected) in [
        (json!({}), Ok(None)),
        (json!({ "aud": [AUDIENCE, "opencrvs:gateway-user"] }), Ok(None)),
        (json!({ "scope": null }), Ok(None)),
        (json!({ "sub": "x", "eventId": "e", "actionId": "a" }), Ok(Some(("e", "a")))),
        (json!({ "sub": "another service" }), Err(TokenFault::OtherService)),
        (json!({ "sub": null }), Err(TokenFault::OtherService)),
        (
            json!({ "sub": "a user", "scope": ["record.register"], "userType": "user" }),
            Err(TokenFault::Scope),
        ),
        (json!({ "sub": "__ANONYMOUS_USER__", "scope": ["verify"] }), Err(TokenFault::Scope)),
        (json!({ "recordId": "r" }), Err(TokenFault::Scope)),
        (json!({ "eventId": "e" }), Err(TokenFault::Scope)),
        (json!({ "eventId": "", "actionId": "a" }), Err(TokenFault::Scope)),
        (json!({ "scope": [SCOPE] }), Err(TokenFault::NoRecord)),
        (json!({ "exp": gone }), Err(TokenFault::Expired)),
        (json!({ "iss": "somebody" }), Err(TokenFault::Issuer)),
        (json!({ "aud": ["opencrvs:gateway-user"] }), Err(TokenFault::Audience)),
    ] {
        let read = AUTH.check(&service(&more)).map(|token| match token {
            VerifiedToken::Service(ServiceToken { bound }) => bound,
            VerifiedToken::Record(token) => panic!("{more}: {token:?}"),
        });
        let names = read
            .as_ref()
            .map(|bound| bound.as_ref().map(|(event, action)| (event.as_str(), action.as_str())));
        assert_eq!(names.map_err(|fault| *fault), expected, "{more}");
    }
    let stranger = Auth::new().token(&service(&json!({})));
    assert_eq!(AUTH.judge(&stranger).unwrap_err(), TokenFault::Signature);
}
