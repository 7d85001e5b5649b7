//! The record token: the only credential that can answer a registration (auth of 1.7–2.0).
//!
//! RS256 by auth's one key, seven days to live, for one record: `recordId` (FHIR), or one action of one event:
//! `eventId` and `actionId` (events). Which of them it names tells who must be answered, and how. Issuer and audience
//! alone would let anybody in: `GET /anonymous-token` is public and has both, so scope and record are asked for too.
//!
//! Invariant: a token is accepted for the record that it names and no other; none is ever shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::domain::{ActionId, Dialect, RecordId};

const ISSUER: &str = "opencrvs:auth-service";
const AUDIENCE: &str = "opencrvs:countryconfig-user";
/// 2.0 writes it as `type=record.confirm-registration`, a query string that may hold more.
const SCOPE: &str = "record.confirm-registration";

/// A token that has been verified.
#[derive(Debug, Clone)]
pub struct RecordToken {
    /// The record that it is for (claim `recordId` or `eventId`).
    pub record: RecordId,
    /// The action that it is for (claim `actionId`): the events generation, and only that, names one.
    pub action: Option<ActionId>,
    /// When it dies (claim `exp`).
    pub expires_at: Timestamp,
    /// The token as it came.
    pub raw: SecretString,
}

impl RecordToken {
    /// The generation of OpenCRVS that the token is for.
    pub fn dialect(&self) -> Dialect {
        if self.action.is_some() { Dialect::Events } else { Dialect::Fhir }
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// No `Authorization: Bearer`.
    #[error("the token is missing: send the record token as `Authorization: Bearer <token>`")]
    Missing,
    /// Not a JWT.
    #[error("the token is not a JWT: send the record token that auth issued for this record")]
    Garbage,
    /// Not RS256.
    #[error("the token is not signed with RS256: send the record token that OpenCRVS auth issued")]
    Algorithm,
    /// A signature of another key.
    #[error(
        "the token's signature does not match auth's public key: check AUTH_URL, or submit the record again"
    )]
    Signature,
    /// Too old.
    #[error("the token has expired: submit the record again")]
    Expired,
    /// Another issuer.
    #[error(
        "the token's issuer is not opencrvs:auth-service: send the record token that OpenCRVS auth issued"
    )]
    Issuer,
    /// Another audience.
    #[error(
        "the token is not for opencrvs:countryconfig-user: send the record token that OpenCRVS auth issued"
    )]
    Audience,
    /// Not a token to confirm with.
    #[error(
        "the token lacks the scope record.confirm-registration: send the record token, not a user's or an anonymous one"
    )]
    Scope,
    /// No record, or not one that could be.
    #[error(
        "the token names no record (claim recordId, or eventId and actionId): OpenCRVS 1.7 or newer is needed"
    )]
    NoRecord,
    /// A token of the other generation.
    #[error(
        "the token is for the other generation of OpenCRVS: FHIR tokens name a recordId, events tokens an actionId"
    )]
    OtherDialect,
    /// Another record.
    #[error("the token is for another record than the one in the body: send the token of this record")]
    OtherRecord,
    /// There is no key to verify it with.
    #[error("auth's public key could not be fetched yet: check AUTH_URL and that auth is up")]
    NoKey,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default, flatten)]
    subject: Subject,
}

/// What a token is for, as its claims say it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    record_id: Option<String>,
    event_id: Option<String>,
    action_id: Option<String>,
}

impl Subject {
    /// The record, and the action where the token is one of the events generation.
    fn read(&self) -> Option<(RecordId, Option<ActionId>)> {
        match (self.record_id.as_deref(), self.event_id.as_deref(), self.action_id.as_deref()) {
            (Some(record), _, _) => Some((RecordId::parse(record).ok()?, None)),
            (None, Some(event), Some(action)) => {
                Some((RecordId::parse(event).ok()?, Some(ActionId::parse(action).ok()?)))
            }
            (None, _, _) => None,
        }
    }
}

/// Whether a token of ours may also reject its record as its registrar may: `record.declared.reject…` (1.9.13 and newer)
/// or `type=record.reject…` (2.0). Nothing is verified.
pub(crate) fn may_reject_record(token: &SecretString) -> bool {
    #[derive(Deserialize)]
    struct Scopes {
        scope: Scope,
    }
    let claims = payload_of(token).and_then(|claims| serde_json::from_slice::<Scopes>(&claims).ok());
    let is_it = |scope: &str| {
        let name = scope.split('&').find_map(|part| part.strip_prefix("type=")).unwrap_or(scope);
        ["record.declared.reject", "record.reject"].into_iter().any(|right| {
            name.strip_prefix(right).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', ':']))
        })
    };
    claims.is_some_and(|claims| match &claims.scope {
        Scope::List(list) => list.iter().any(|scope| is_it(scope)),
        Scope::Text(text) => text.split(' ').any(is_it),
    })
}

fn payload_of(token: &SecretString) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(token.expose_secret().split('.').nth(1)?).ok()
}

/// The action that a token of ours is for. Nothing is verified: this says how to answer, not whether to believe.
pub(crate) fn action_of(token: &SecretString) -> Option<ActionId> {
    serde_json::from_slice::<Subject>(&payload_of(token)?).ok()?.read()?.1
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scope {
    List(Vec<String>),
    Text(String),
}

impl Scope {
    fn allows(&self, scope: &str) -> bool {
        match self {
            Self::List(list) => list.iter().any(|one| is_of_type(one, scope)),
            Self::Text(text) => text.split(' ').any(|one| is_of_type(one, scope)),
        }
    }
}

/// Whether a scope is this one, in the form of 1.x (its name) or of 2.0 (`type=name&…`).
fn is_of_type(scope: &str, name: &str) -> bool {
    scope == name || scope.split('&').any(|part| part.strip_prefix("type=") == Some(name))
}

/// Says whether the text could be one of our tokens at all, before any key is asked for.
pub(super) fn plausible(token: &str) -> Result<(), TokenFault> {
    match decode_header(token) {
        Ok(header) if header.alg == Algorithm::RS256 => Ok(()),
        Ok(_) => Err(TokenFault::Algorithm),
        // `alg: none` is no algorithm that the library knows.
        Err(error) if is_algorithm(&error) => Err(TokenFault::Algorithm),
        Err(_) => Err(TokenFault::Garbage),
    }
}

fn is_algorithm(error: &jsonwebtoken::errors::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm | ErrorKind::Json(_)
    )
}

/// Verifies a token with a key.
pub(super) fn verify(token: &str, key: &DecodingKey) -> Result<RecordToken, TokenFault> {
    let mut rules = Validation::new(Algorithm::RS256);
    rules.leeway = 0;
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    let claims = decode::<Claims>(token, key, &rules).map_err(|error| fault(error.kind()))?.claims;
    if !claims.scope.is_some_and(|scope| scope.allows(SCOPE)) {
        return Err(TokenFault::Scope);
    }
    let (record, action) = claims.subject.read().ok_or(TokenFault::NoRecord)?;
    let expires_at = Timestamp::from_second(claims.exp).map_err(|_| TokenFault::Garbage)?;
    Ok(RecordToken { record, action, expires_at, raw: SecretString::from(token) })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may add kinds; a token that is odd is garbage"
)]
fn fault(kind: &ErrorKind) -> TokenFault {
    match kind {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::ExpiredSignature => TokenFault::Expired,
        ErrorKind::InvalidIssuer => TokenFault::Issuer,
        ErrorKind::InvalidAudience => TokenFault::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm | ErrorKind::InvalidAlgorithmName => {
            TokenFault::Algorithm
        }
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => TokenFault::Issuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenFault::Audience,
        _ => TokenFault::Garbage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> SecretString {
        SecretString::from(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn the_claims_tell_the_generation() {
        let events = token(r#"{"eventId":"e","actionId":"a","exp":1}"#);
        assert_eq!(action_of(&events).unwrap().as_str(), "a");
        for fhir in [r#"{"recordId":"r"}"#, r#"{"recordId":"r","eventId":"e","actionId":"a"}"#, "{}", "["] {
            assert_eq!(action_of(&token(fhir)), None, "{fhir}");
        }
        for odd in [r#"{"eventId":"e"}"#, r#"{"actionId":"a"}"#, r#"{"eventId":"","actionId":"a"}"#] {
            let subject: Subject = serde_json::from_str(odd).unwrap();
            assert!(subject.read().is_none(), "{odd}");
        }
    }

    #[test]
    fn a_token_that_may_only_reject_the_registration_may_not_reject_the_record() {
        let may = |scope: &str| may_reject_record(&token(&format!(r#"{{"scope":["{scope}"]}}"#)));
        for yes in [
            "record.declared.reject",
            "record.declared.reject[event=birth]",
            "type=record.reject&event=birth",
        ] {
            assert!(may(yes), "{yes}");
        }
        for no in ["record.reject-registration", "type=record.reject-registration", "record.read"] {
            assert!(!may(no), "{no}");
        }
    }

    #[test]
    fn scopes_of_both_generations_allow_and_their_likes_do_not() {
        for good in [
            "record.confirm-registration",
            "type=record.confirm-registration",
            "type=record.confirm-registration&event=birth",
            "event=birth&type=record.confirm-registration",
        ] {
            assert!(Scope::List(vec!["other".into(), good.into()]).allows(SCOPE), "{good}");
            assert!(Scope::Text(format!("other {good}")).allows(SCOPE), "{good}");
        }
        for bad in [
            "record.confirm-registration2",
            "type=record.reject-registration",
            "x=record.confirm-registration",
        ] {
            assert!(!Scope::List(vec![bad.into()]).allows(SCOPE), "{bad}");
        }
    }
}
