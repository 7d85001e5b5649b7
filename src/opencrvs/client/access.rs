//! An access token of the bridge's client, and the rights that its scopes give.
//!
//! A scope is a query string such as `type=record.action.accept&event=birth,death`. Without
//! `event`, it is for every kind of event.
//!
//! Invariant: the scopes only predict what OpenCRVS will allow; OpenCRVS decides. The token is not
//! verified, because it came straight from auth.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded;

use crate::domain::EventKind;
use crate::opencrvs::token::unverified;

/// Time before its expiry at which an access token is replaced, but at most half of its lifetime.
const MARGIN: Duration = Duration::from_secs(60);

/// What a client may be allowed to do with the events of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Accept,
    Reject,
    Read,
    Search,
}

impl Right {
    pub const ALL: [Self; 4] = [Self::Accept, Self::Reject, Self::Read, Self::Search];

    /// The type of the scope that gives the right.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Accept => "record.action.accept",
            Self::Reject => "record.action.reject",
            Self::Read => "record.read",
            Self::Search => "record.search",
        }
    }
}

/// An access token of the client.
#[derive(Clone)]
pub struct AccessToken {
    raw: SecretString,
    expires_at: Timestamp,
    renew_at: Instant,
    scopes: Vec<Scope>,
}

#[derive(Debug, Clone)]
struct Scope {
    name: String,
    /// The kinds of event; `None` for all kinds.
    kinds: Option<Vec<EventKind>>,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    scope: ScopeClaim,
}

/// The claim `scope`: a list of scopes, or one text with spaces between them.
#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    List(Vec<String>),
    Text(String),
}

impl Default for ScopeClaim {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Scope {
    fn parse(text: &str) -> Self {
        let mut scope = Self { name: text.to_owned(), kinds: None };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match name.as_ref() {
                "type" => scope.name = value.into_owned(),
                "event" => scope.kinds = Some(value.split(',').map(EventKind::from_name).collect()),
                _ => {}
            }
        }
        scope
    }

    fn is(&self, name: &str, kind: &EventKind) -> bool {
        self.name == name && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }
}

impl AccessToken {
    /// Reads the claims of a token. `None` if it is not a JWT with an expiry.
    pub(in crate::opencrvs) fn read(raw: String) -> Option<Self> {
        let claims: Claims = unverified(&raw)?;
        let expires_at = Timestamp::from_second(claims.exp).ok()?;
        // Both times are by auth's clock, so it does no harm if the two clocks differ.
        let begin =
            claims.iat.and_then(|iat| Timestamp::from_second(iat).ok()).unwrap_or_else(Timestamp::now);
        let lifetime = Duration::try_from(expires_at.duration_since(begin)).unwrap_or_default();
        let scopes = match &claims.scope {
            ScopeClaim::List(list) => list.iter().map(|scope| Scope::parse(scope)).collect(),
            ScopeClaim::Text(text) => text.split_whitespace().map(Scope::parse).collect(),
        };
        Some(Self {
            raw: SecretString::from(raw),
            expires_at,
            renew_at: Instant::now() + (lifetime - MARGIN.min(lifetime / 2)),
            scopes,
        })
    }

    /// The text of the token, for the header `Authorization: Bearer`.
    pub fn secret(&self) -> &SecretString {
        &self.raw
    }

    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether the scopes of the token give a right for a kind of event.
    pub fn may(&self, right: Right, kind: &EventKind) -> bool {
        self.scopes.iter().any(|scope| scope.is(right.scope(), kind))
    }

    /// Whether the scopes let the client reject a record with a reason, as a registrar does. The
    /// documentation lists this scope for clients; it is not known whether 2.1 honours it.
    pub fn may_explain(&self, kind: &EventKind) -> bool {
        self.scopes.iter().any(|scope| scope.is("record.reject", kind))
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now < self.renew_at
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.raw.expose_secret() == other.raw.expose_secret()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_at", &self.expires_at)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn token(scope: &serde_json::Value) -> AccessToken {
        let claims = URL_SAFE_NO_PAD.encode(json!({ "exp": 4_000_000_000_i64, "scope": scope }).to_string());
        AccessToken::read(format!("e30.{claims}.c2ln")).unwrap()
    }

    #[test]
    fn a_scope_gives_one_right_for_the_kinds_that_it_names() {
        let births = token(&json!(["type=record.action.accept&event=birth,tennis-club-membership", "other"]));
        let tennis = EventKind::from_name("tennis-club-membership");
        assert!(births.may(Right::Accept, &EventKind::Birth) && births.may(Right::Accept, &tennis));
        assert!(!births.may(Right::Accept, &EventKind::Death));
        assert!(!births.may(Right::Reject, &EventKind::Birth));
        let encoded = token(&json!("event=birth%2Cdeath&type=record.read type=record.search"));
        assert!(encoded.may(Right::Read, &EventKind::Death));
        assert!(!encoded.may(Right::Read, &EventKind::Marriage));
        assert!(encoded.may(Right::Search, &EventKind::Marriage), "without `event` it is for every kind");
        let plain = token(&json!(["record.action.accept", "type=record.register&event=birth"]));
        assert!(plain.may(Right::Accept, &EventKind::Death));
        assert!(!plain.may(Right::Read, &EventKind::Birth));
        assert!(!token(&json!([])).may(Right::Accept, &EventKind::Birth));
    }

    #[test]
    fn a_token_is_fresh_until_the_instant_at_which_it_is_replaced() {
        let token = token(&json!([]));
        assert!(token.is_fresh(token.renew_at - Duration::from_nanos(1)));
        assert!(!token.is_fresh(token.renew_at));
    }

    #[test]
    fn a_text_that_is_not_a_token_with_an_expiry_is_refused() {
        for odd in ["", "<html>", "a.b.c", "e30.e30.c2ln"] {
            assert!(AccessToken::read(odd.to_owned()).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_token_ends_when_its_claim_says_and_explains_only_with_its_own_scope() {
        let rejecter = token(&json!(["type=record.reject&event=birth"]));
        assert_eq!(rejecter.expires_at(), Timestamp::from_second(4_000_000_000).unwrap());
        assert!(rejecter.may_explain(&EventKind::Birth) && !rejecter.may_explain(&EventKind::Death));
        assert!(!token(&json!(["type=record.action.reject&event=birth"])).may_explain(&EventKind::Birth));
    }
}
