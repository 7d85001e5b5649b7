//! The record token: the only credential that can answer a registration (auth of 1.7–1.9).
//!
//! RS256 by auth's one key, `recordId` of one record, seven days to live. Issuer and audience alone would let anybody
//! in: `GET /anonymous-token` is public and has both, so scope and record are asked for as well.
//!
//! Invariant: a token is accepted for the record that it names and no other; none is ever shown.

use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::SecretString;
use serde::Deserialize;

use crate::domain::RecordId;

const ISSUER: &str = "opencrvs:auth-service";
const AUDIENCE: &str = "opencrvs:countryconfig-user";
const SCOPE: &str = "record.confirm-registration";

/// A token that has been verified.
#[derive(Debug, Clone)]
pub struct RecordToken {
    /// The record that it is for (claim `recordId`).
    pub record: RecordId,
    /// When it dies (claim `exp`).
    pub expires_at: Timestamp,
    /// The token as it came.
    pub raw: SecretString,
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
    #[error("the token names no record (claim recordId): OpenCRVS 1.7 to 1.9 is needed")]
    NoRecord,
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
    #[serde(default, rename = "recordId")]
    record: Option<String>,
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
            Self::List(list) => list.iter().any(|one| one == scope),
            Self::Text(text) => text.split(' ').any(|one| one == scope),
        }
    }
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
    let record = claims.record.and_then(|id| RecordId::parse(&id).ok()).ok_or(TokenFault::NoRecord)?;
    let expires_at = Timestamp::from_second(claims.exp).map_err(|_| TokenFault::Garbage)?;
    Ok(RecordToken { record, expires_at, raw: SecretString::from(token) })
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
