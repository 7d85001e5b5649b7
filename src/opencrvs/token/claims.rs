//! Reads the claims of an OpenCRVS token without verifying it, and its scopes in the forms of 1.x
//! and 2.0.
//!
//! Source: `auth` of opencrvs-core, v1.7.0–v2.0.0.
//!
//! Invariant: what is read here says how to use a token, never whether to trust it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::{ActionId, RecordId};

/// Reads the claims of a JWT. Verifies nothing.
pub(in crate::opencrvs) fn unverified<T: DeserializeOwned>(token: &str) -> Option<T> {
    let mut parts = token.split('.');
    let (_, Some(claims), Some(_), None) = (parts.next()?, parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// The action that a token names, or `None` for a token of the FHIR generation. Verifies nothing.
pub(crate) fn action_of(token: &SecretString) -> Option<ActionId> {
    unverified::<Subject>(token.expose_secret())?.read()?.1
}

/// When auth issued a token (claim `iat`). Verifies nothing.
pub(in crate::opencrvs) fn issued_at(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        iat: i64,
    }
    Timestamp::from_second(unverified::<Claims>(token)?.iat).ok()
}

/// Whether a token also carries the registrar's right to reject the record: scope
/// `record.declared.reject…` (1.9.13 and newer) or `type=record.reject…` (2.0). Verifies nothing.
pub(crate) fn may_reject_record(token: &SecretString) -> bool {
    has_right(token, &["record.declared.reject", "record.reject"])
}

/// Whether a token also carries the registrar's right to read the record: scope `record.read…`
/// (1.9.13 and newer) or `type=record.read…` (2.0). Verifies nothing.
pub(crate) fn may_read_record(token: &SecretString) -> bool {
    has_right(token, &["record.read"])
}

fn has_right(token: &SecretString, rights: &[&str]) -> bool {
    #[derive(Deserialize)]
    struct Claims {
        scope: Scope,
    }
    let allows = |scope: &str| {
        let name = scope.split('&').find_map(|part| part.strip_prefix("type=")).unwrap_or(scope);
        rights.iter().any(|right| {
            name.strip_prefix(right).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', ':']))
        })
    };
    unverified::<Claims>(token.expose_secret()).is_some_and(|claims| claims.scope.any(allows))
}

/// What a token is for: a record, or an action of an event.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Subject {
    record_id: Option<String>,
    event_id: Option<String>,
    action_id: Option<String>,
}

impl Subject {
    /// Whether the token names neither a record nor an action.
    pub(super) fn is_empty(&self) -> bool {
        self.record_id.is_none() && self.event_id.is_none() && self.action_id.is_none()
    }

    /// The record and, in the events generation, the action.
    pub(super) fn read(&self) -> Option<(RecordId, Option<ActionId>)> {
        match (self.record_id.as_deref(), self.event_id.as_deref(), self.action_id.as_deref()) {
            (Some(record), _, _) => Some((RecordId::parse(record).ok()?, None)),
            (None, Some(event), Some(action)) => {
                Some((RecordId::parse(event).ok()?, Some(ActionId::parse(action).ok()?)))
            }
            (None, _, _) => None,
        }
    }
}

/// The claim `scope`: a list of scopes, or one text with spaces between them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Scope {
    List(Vec<String>),
    Text(String),
}

impl Scope {
    pub(super) fn allows(&self, name: &str) -> bool {
        self.any(|scope| is_of_type(scope, name))
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any(|scope| !scope.is_empty())
    }

    fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::List(list) => list.iter().any(|scope| test(scope)),
            Self::Text(text) => text.split(' ').any(test),
        }
    }
}

/// Whether a scope has this name. In 1.x the scope is the name; in 2.0 it is `type=name&…`.
fn is_of_type(scope: &str, name: &str) -> bool {
    scope == name || scope.split('&').any(|part| part.strip_prefix("type=") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIRM: &str = "record.confirm-registration";

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
    fn a_token_reads_the_record_only_with_the_scope_of_that_name() {
        let may = |scope: &str| may_read_record(&token(&format!(r#"{{"scope":["{scope}"]}}"#)));
        for yes in ["record.read", "record.read[event=birth|death]", "type=record.read&event=birth"] {
            assert!(may(yes), "{yes}");
        }
        for no in ["record.confirm-registration", "type=record.readers", "record.declared.reject"] {
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
            assert!(Scope::List(vec!["other".into(), good.into()]).allows(CONFIRM), "{good}");
            assert!(Scope::Text(format!("other {good}")).allows(CONFIRM), "{good}");
        }
        for bad in [
            "record.confirm-registration2",
            "type=record.reject-registration",
            "x=record.confirm-registration",
        ] {
            assert!(!Scope::List(vec![bad.into()]).allows(CONFIRM), "{bad}");
        }
    }

    #[test]
    fn a_subject_is_empty_only_without_any_claim() {
        let subject = |claims: &str| serde_json::from_str::<Subject>(claims).unwrap();
        assert!(subject("{}").is_empty());
        for claims in [r#"{"recordId":"r"}"#, r#"{"eventId":"e"}"#, r#"{"actionId":"a"}"#] {
            assert!(!subject(claims).is_empty(), "{claims}");
        }
    }
}
