//! The auth service's key and the tokens that it signs.
//!
//! Invariant: the private key is generated at the start and never leaves the process.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::SimulateError;

/// `iss` of every token of OpenCRVS.
pub const ISSUER: &str = "opencrvs:auth-service";

/// The hash of a token, to compare tokens without keeping them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TokenHash(String);

impl TokenHash {
    pub fn of(token: &str) -> Self {
        let sum = digest(&SHA256, token.as_bytes());
        Self(sum.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

const AUDIENCES: [&str; 13] = [
    "gateway-user",
    "user-mgnt-user",
    "auth-user",
    "hearth-user",
    "notification-user",
    "workflow-user",
    "search-user",
    "metrics-user",
    "countryconfig-user",
    "webhooks-user",
    "config-user",
    "documents-user",
    "notification-api-user",
];

/// The audiences of 2.x, where most services are gone.
const AUDIENCES_2: [&str; 6] =
    ["gateway-user", "events-user", "user-mgnt-user", "auth-user", "countryconfig-user", "documents-user"];

/// `sub` of the bootstrap token. A guess of the wire facts, except that it is a UUID.
const BOOTSTRAP_SUBJECT: &str = "00000000-0000-4000-8000-00000000c0de";

/// Claim `userType` of the events generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserType {
    User,
    /// A system client, or core itself.
    System,
}

/// The claims of a token. Tests change the claims that the bridge must refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    /// The registrar's user id.
    pub sub: String,
    /// The services that accept the token.
    pub aud: Vec<String>,
    /// The scopes that the token grants.
    pub scope: Vec<String>,
    /// Time of issue, in seconds since the Unix epoch.
    pub iat: i64,
    /// Time of expiry, in seconds since the Unix epoch.
    pub exp: i64,
    /// Who holds the token. Only the events generation says so.
    #[serde(rename = "userType", default, skip_serializing_if = "Option::is_none")]
    pub user_type: Option<UserType>,
    /// The record that the token is for.
    #[serde(rename = "recordId", default, skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// The event that the token is for (events generation).
    #[serde(rename = "eventId", default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The action that the token is for (events generation).
    #[serde(rename = "actionId", default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
}

impl Claims {
    /// Claims without a scope, a kind of user, or anything that the token is for.
    fn new(subject: &str, audience: &[&str], now: Timestamp, lifetime_s: i64) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            sub: subject.to_owned(),
            aud: audience.iter().map(|name| format!("opencrvs:{name}")).collect(),
            scope: Vec::new(),
            iat: now.as_second(),
            exp: now.as_second() + lifetime_s,
            user_type: None,
            record_id: None,
            event_id: None,
            action_id: None,
        }
    }

    fn with_scope(self, scope: &[&str]) -> Self {
        Self { scope: scope.iter().map(|&scope| scope.to_owned()).collect(), ..self }
    }

    /// The claims of a record token, as the token exchange makes them.
    pub fn record(registrar: &str, record: &str, now: Timestamp, lifetime_s: i64) -> Self {
        let claims = Self::new(registrar, &AUDIENCES, now, lifetime_s);
        let claims = claims.with_scope(&["record.confirm-registration", "record.reject-registration"]);
        Self { record_id: Some(record.to_owned()), ..claims }
    }

    /// The claims of a token for one action, as the token exchange of 2.0 makes them for a
    /// registrar who may also reject.
    pub fn action(registrar: &str, ids: (&str, &str), now: Timestamp, lifetime_s: i64) -> Self {
        let claims = Self::new(registrar, &AUDIENCES_2, now, lifetime_s).of_action(ids);
        claims.with_scope(&[
            "type=record.confirm-registration",
            "type=record.reject-registration",
            "type=record.reject",
            "type=record.read",
        ])
    }

    /// The claims of the same token in 1.9.13 and newer, with that generation's scopes.
    pub fn action_1_9(registrar: &str, ids: (&str, &str), now: Timestamp, lifetime_s: i64) -> Self {
        let claims = Self::new(registrar, &AUDIENCES, now, lifetime_s).of_action(ids);
        claims.with_scope(&[
            "record.confirm-registration",
            "record.reject-registration",
            "record.declared.reject[event=birth|death|marriage]",
            "record.read[event=birth|death|marriage]",
        ])
    }

    fn of_action(self, (event, action): (&str, &str)) -> Self {
        let (event_id, action_id) = (Some(event.to_owned()), Some(action.to_owned()));
        Self { user_type: Some(UserType::User), event_id, action_id, ..self }
    }

    /// The claims of a system client's token.
    pub fn client(client: &str, scope: Vec<String>, now: Timestamp, lifetime_s: i64) -> Self {
        let claims = Self::new(client, &AUDIENCES_2, now, lifetime_s);
        Self { scope, user_type: Some(UserType::System), ..claims }
    }

    /// The claims of the token on a trigger of 2.1, which only proves that core sent it.
    pub fn service(subject: &str, now: Timestamp, lifetime_s: i64) -> Self {
        let claims = Self::new(subject, &["countryconfig-user"], now, lifetime_s);
        Self { user_type: Some(UserType::System), ..claims }
    }

    /// The claims of the token with which the country registers its integrations.
    pub fn bootstrap(now: Timestamp) -> Self {
        let claims = Self::new(BOOTSTRAP_SUBJECT, &["countryconfig-user", "events-user"], now, 60);
        Self { user_type: Some(UserType::System), ..claims.with_scope(&["type=integration.create"]) }
    }

    pub(super) fn is_bootstrap(&self) -> bool {
        self.sub == BOOTSTRAP_SUBJECT
    }

    /// The claims of a user's own token, with these scopes.
    pub fn user(user: &str, scope: &[&str], now: Timestamp) -> Self {
        let claims = Self::new(user, &AUDIENCES, now, 7 * 24 * 3_600).with_scope(scope);
        Self { user_type: Some(UserType::User), ..claims }
    }

    /// The claims of the anonymous token.
    pub fn anonymous(now: Timestamp) -> Self {
        Self::new("__ANONYMOUS_USER__", &["countryconfig-user"], now, 600).with_scope(&["verify"])
    }
}

pub(super) struct SigningKey {
    signs: EncodingKey,
    checks: DecodingKey,
    pem: String,
}

impl SigningKey {
    pub(super) fn generate() -> Result<Self, SimulateError> {
        let failed = |_| SimulateError::Key;
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
        let public = pem("PUBLIC KEY", public.as_ref());
        Ok(Self {
            signs: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes())?,
            checks: DecodingKey::from_rsa_pem(public.as_bytes())?,
            pem: public,
        })
    }

    /// The public key as `/.well-known` serves it.
    pub(super) fn public_pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn sign(&self, claims: &Claims) -> Result<String, SimulateError> {
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &self.signs)?)
    }

    /// Verifies a token for this audience (without the prefix `opencrvs:`) and returns its claims.
    pub(super) fn verify(&self, token: &str, audience: &str) -> Option<Claims> {
        let mut rules = Validation::new(Algorithm::RS256);
        rules.leeway = 0;
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[format!("opencrvs:{audience}")]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        jsonwebtoken::decode::<Claims>(token, &self.checks, &rules).ok().map(|token| token.claims)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    for (position, letter) in text.chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            lines.push('\n');
        }
        lines.push(letter);
    }
    lines.push_str(&format!("\n-----END {label}-----\n"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_audience_key_and_time_only() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let claims = Claims::record("registrar", "record", Timestamp::now(), 60);
        let token = key.sign(&claims).unwrap();
        assert_eq!(key.verify(&token, "gateway-user"), Some(claims.clone()));
        assert!(key.verify(&token, "somebody-else").is_none());
        assert!(other.verify(&token, "gateway-user").is_none());
        let stale = key.sign(&Claims { exp: claims.iat - 5, ..claims }).unwrap();
        assert!(key.verify(&stale, "gateway-user").is_none());
    }
}
