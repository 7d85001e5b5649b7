//! The tokens that come with a registration. Auth signs them with its only key (RS256).
//!
//! Up to OpenCRVS 2.0 the token can answer the registration, and is valid for seven days by
//! default. It is for one record (*record token*, claim `recordId`, FHIR generation) or for one
//! action of one event (*action token*, claims `eventId` and `actionId`, events generation). Since
//! 2.1 it is a *service token*: it has no scopes and proves only that OpenCRVS itself sends the
//! request. The claims tell these kinds apart.
//!
//! Issuer and audience alone prove nothing, because the public `GET /anonymous-token` returns a
//! token with both, and so does every login; so scope and record, or the subject, are checked too.
//!
//! Source: `auth` of opencrvs-core, v1.7.0–v2.1.0, and `SERVICE_USER_ID` in its `commons`.
//!
//! Invariant: a record or action token is accepted only for the record that it names; no error and
//! no log line shows a token.

mod bootstrap;
mod claims;

use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::{ActionId, Dialect, RecordId};
use claims::{Scope, Subject};

pub use bootstrap::BootstrapToken;
pub(super) use bootstrap::verify_bootstrap;
pub(crate) use claims::{action_of, may_read_record, may_reject_record};
pub(super) use claims::{issued_at, unverified};

const ISSUER: &str = "opencrvs:auth-service";
const AUDIENCE: &str = "opencrvs:countryconfig-user";
/// In 2.0 a scope is a query string, `type=record.confirm-registration`, which may have more
/// parameters.
const SCOPE: &str = "record.confirm-registration";

/// A verified token of any kind.
#[derive(Debug, Clone)]
pub enum VerifiedToken {
    /// A token that can answer the registration that it came with.
    Record(RecordToken),
    Service(ServiceToken),
}

impl VerifiedToken {
    /// The generation of OpenCRVS that issued the token.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Record(token) => token.dialect(),
            Self::Service(_) => Dialect::Events,
        }
    }

    /// The record that the token is for. `None` if it is for any.
    pub fn record(&self) -> Option<&RecordId> {
        match self {
            Self::Record(token) => Some(&token.record),
            Self::Service(token) => token.bound.as_ref().map(|(record, _)| record),
        }
    }
}

/// A verified service token. It cannot answer anything, so its text is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceToken {
    /// The event and the action that the token is limited to. The tokens of 2.1.0 name none; those
    /// of some builds before it do.
    pub bound: Option<(RecordId, ActionId)>,
}

/// A verified token that can answer a registration: a record token or an action token.
#[derive(Debug, Clone)]
pub struct RecordToken {
    /// Claim `recordId` or `eventId`.
    pub record: RecordId,
    /// Claim `actionId`. Every token of the events generation has it, and no other token does.
    pub action: Option<ActionId>,
    /// Claim `exp`.
    pub expires_at: Timestamp,
    pub raw: SecretString,
}

impl RecordToken {
    /// The generation of OpenCRVS that issued the token.
    pub fn dialect(&self) -> Dialect {
        if self.action.is_some() { Dialect::Events } else { Dialect::Fhir }
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error(
        "the token is missing, or came more than once: send the record token as `Authorization: Bearer <token>`"
    )]
    Missing,
    #[error("the token is not a JWT: send the record token that auth issued for this record")]
    Garbage,
    #[error("the token is not signed with RS256: send the record token that OpenCRVS auth issued")]
    Algorithm,
    #[error(
        "the token's signature does not match auth's public key: check AUTH_URL, or submit the record again"
    )]
    Signature,
    #[error("the token has expired: submit the record again")]
    Expired,
    #[error(
        "the token's issuer is not opencrvs:auth-service: send the record token that OpenCRVS auth issued"
    )]
    Issuer,
    #[error(
        "the token is not for opencrvs:countryconfig-user: send the record token that OpenCRVS auth issued"
    )]
    Audience,
    #[error(
        "the token lacks the scope record.confirm-registration: send the record token, not a user's or an anonymous one"
    )]
    Scope,
    #[error("the token is not from the service user of OpenCRVS (claim sub): check OPENCRVS_SERVICE_USER")]
    OtherService,
    /// The claims name no record, or the id of the record is not valid.
    #[error(
        "the token names no record (claim recordId, or eventId and actionId): OpenCRVS 1.7 or newer is needed"
    )]
    NoRecord,
    #[error(
        "the token is for the other generation of OpenCRVS: FHIR tokens name a recordId, events tokens an actionId or nothing"
    )]
    OtherDialect,
    #[error("the token is for another record than the one in the body: send the token of this record")]
    OtherRecord,
    #[error(
        "the token may not register a client (scope integration.create): only OpenCRVS core makes this call"
    )]
    NotBootstrap,
    /// Auth has never been reached, so there is no key to verify with.
    #[error("auth's public key could not be fetched yet: check AUTH_URL and that auth is up")]
    NoKey,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default, flatten)]
    subject: Subject,
}

/// Checks cheaply whether a text can be a record token, before a key is fetched to verify it.
pub(super) fn plausible(token: &str) -> Result<(), TokenFault> {
    match decode_header(token) {
        Ok(header) if header.alg == Algorithm::RS256 => Ok(()),
        Ok(_) => Err(TokenFault::Algorithm),
        // The library cannot parse a header with `alg: none`.
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

/// Verifies signature, expiry, issuer and audience of a token, and reads its claims.
fn verified_claims<T: DeserializeOwned>(token: &str, key: &DecodingKey) -> Result<T, TokenFault> {
    let mut rules = Validation::new(Algorithm::RS256);
    rules.leeway = 0;
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    Ok(decode(token, key, &rules).map_err(|error| fault(error.kind()))?.claims)
}

/// Verifies signature, expiry, issuer, audience and scope of a token, and reads which record (and
/// action) it is for. A token without the scope is a service token if its subject is one of
/// `service_users`, or if it is for one action.
pub(super) fn verify(
    token: &str,
    key: &DecodingKey,
    service_users: &[String],
) -> Result<VerifiedToken, TokenFault> {
    let claims: Claims = verified_claims(token, key)?;
    if !claims.scope.as_ref().is_some_and(|scope| scope.allows(SCOPE)) {
        return service_token(&claims, service_users).map(VerifiedToken::Service);
    }
    let (record, action) = claims.subject.read().ok_or(TokenFault::NoRecord)?;
    let expires_at = Timestamp::from_second(claims.exp).map_err(|_| TokenFault::Garbage)?;
    Ok(VerifiedToken::Record(RecordToken { record, action, expires_at, raw: SecretString::from(token) }))
}

fn service_token(claims: &Claims, service_users: &[String]) -> Result<ServiceToken, TokenFault> {
    if !claims.subject.is_empty() {
        let bound = match claims.subject.read() {
            Some((record, Some(action))) => (record, action),
            Some((_, None)) | None => return Err(TokenFault::Scope),
        };
        return Ok(ServiceToken { bound: Some(bound) });
    }
    if claims.sub.as_ref().is_some_and(|sub| service_users.contains(sub)) {
        return Ok(ServiceToken { bound: None });
    }
    // A user's token and the anonymous one have scopes.
    let has_scopes = claims.scope.as_ref().is_some_and(|scope| !scope.is_empty());
    Err(if has_scopes { TokenFault::Scope } else { TokenFault::OtherService })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may add kinds; a token that it rejects for any other reason is garbage"
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
