//! The records that OpenCRVS holds in external validation, as one of its users may list them (`searchEvents`, 1.7–1.9).
//!
//! The list comes from a search index, which may be some seconds behind: what follows from it is read again, record by
//! record, before it is told. Two kinds of token are refused before anything is asked: with that of a system client
//! (`recordsearch`) the gateway marks every record that it lists as downloaded, and one without a search scope gets an
//! empty list instead of an error.
//!
//! Invariant: only reading; names and dates, which the index has as well, are never asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Gateway, GatewayFault};
use crate::domain::{RecordId, TrackingId};

const LIST: &str = "query ($count: Int, $skip: Int) { searchEvents(advancedSearchParameters: \
     { registrationStatuses: [\"WAITING_VALIDATION\"] }, count: $count, skip: $skip, sort: \"asc\") \
     { totalItems results { id registration { trackingId } } } }";

/// Records that are asked for at a time.
const PAGE: usize = 500;
/// The search index gives no more than this (`max_result_window`).
const INDEX_GIVES: usize = 10_000;
/// What a user may be allowed to search.
const KINDS: [&str; 3] = ["birth", "death", "marriage"];
const SYSTEM_CLIENT: &str = "recordsearch";

/// The token of somebody who may search in OpenCRVS.
#[derive(Debug, Clone)]
pub struct UserToken {
    /// The token itself.
    pub raw: SecretString,
    /// What of OpenCRVS it does not show, in words; nothing if it shows all.
    pub limits: Vec<String>,
}

/// Why a token cannot be used to list records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserTokenFault {
    /// Not a JWT with scopes.
    #[error("it holds no token of OpenCRVS: put the token of a user in it, and nothing else")]
    Garbage,
    /// Too old.
    #[error("its token has expired: log in to OpenCRVS again and take a fresh one")]
    Expired,
    /// A token that lists nothing.
    #[error(
        "its token may not search (it has no scope search.birth, .death or .marriage): take that of a registrar"
    )]
    NoSearch,
    /// A token whose searches write.
    #[error(
        "its token is that of a system client (scope recordsearch), and OpenCRVS marks what such a client lists as \
         downloaded: take that of a user"
    )]
    SystemClient,
}

/// A record that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The record.
    pub record: RecordId,
    /// The family's code.
    pub tracking_id: Option<TrackingId>,
}

/// All records that wait, as far as they can be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitingList {
    /// The records, those that were declared first coming first.
    pub records: Vec<Waiting>,
    /// OpenCRVS holds more than its index gives.
    pub truncated: bool,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    scope: Vec<String>,
}

impl UserToken {
    /// Takes the token out of the text of a file. Its signature is the gateway's business.
    ///
    /// # Errors
    /// [`UserTokenFault`] for a token that would list nothing, or change something.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, UserTokenFault> {
        let token = text.trim();
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        let claims = claims(token).ok_or(UserTokenFault::Garbage)?;
        if claims.exp <= now.as_second() {
            return Err(UserTokenFault::Expired);
        }
        if claims.scope.iter().any(|scope| scope == SYSTEM_CLIENT) {
            return Err(UserTokenFault::SystemClient);
        }
        let has = |scope: String| claims.scope.contains(&scope);
        let mut limits = Vec::new();
        for kind in KINDS {
            let (all, own) = (format!("search.{kind}"), format!("search.{kind}:my-jurisdiction"));
            match (has(all), has(own)) {
                (true, _) => {}
                (false, true) => limits.push(format!("{kind}: only the user's own jurisdiction")),
                (false, false) => limits.push(format!("{kind}: nothing")),
            }
        }
        if limits.iter().filter(|limit| limit.ends_with(": nothing")).count() == KINDS.len() {
            return Err(UserTokenFault::NoSearch);
        }
        Ok(Self { raw: SecretString::from(token), limits })
    }
}

fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, Some(claims), Some(_), None) = (parts.next()?, parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

impl Gateway {
    /// Lists the records that wait in external validation.
    ///
    /// # Errors
    /// [`GatewayFault`].
    pub async fn waiting(&self, token: &UserToken) -> Result<WaitingList, GatewayFault> {
        let mut list = WaitingList::default();
        let mut skip = 0;
        loop {
            let data = self.call(&token.raw, LIST, json!({ "count": PAGE, "skip": skip })).await?;
            let found = data.get("searchEvents").ok_or(GatewayFault::Unreadable)?;
            let page = found.get("results").and_then(Value::as_array).ok_or(GatewayFault::Unreadable)?;
            list.records.extend(page.iter().filter_map(waiting));
            skip += PAGE;
            let total = found.get("totalItems").and_then(Value::as_u64).unwrap_or_default();
            list.truncated = total >= u64::try_from(INDEX_GIVES).unwrap_or(u64::MAX);
            if page.len() < PAGE || skip >= INDEX_GIVES {
                return Ok(list);
            }
        }
    }
}

fn waiting(found: &Value) -> Option<Waiting> {
    let record = RecordId::parse(found.get("id")?.as_str()?).ok()?;
    let code = found.pointer("/registration/trackingId").and_then(Value::as_str);
    Some(Waiting { record, tracking_id: code.and_then(|code| TrackingId::parse(code).ok()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(scope: &[&str], exp: i64) -> String {
        let claims = json!({ "exp": exp, "scope": scope, "sub": "5f" }).to_string();
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn read(scope: &[&str]) -> Result<Vec<String>, UserTokenFault> {
        UserToken::read(&token(scope, 2), Timestamp::from_second(1).unwrap()).map(|token| token.limits)
    }

    #[test]
    fn a_token_that_would_list_nothing_or_write_is_refused() {
        assert_eq!(read(&["record.confirm-registration"]), Err(UserTokenFault::NoSearch));
        assert_eq!(read(&["search.birth", "recordsearch"]), Err(UserTokenFault::SystemClient));
        let late = Timestamp::from_second(2).unwrap();
        let expired = UserToken::read(&token(&["search.birth"], 2), late).map(|token| token.limits);
        assert_eq!(expired, Err(UserTokenFault::Expired));
        for text in ["", "a.b", "no token", "e30.e30.e30"] {
            assert!(matches!(UserToken::read(text, late), Err(UserTokenFault::Garbage)), "{text}");
        }
    }

    #[test]
    fn what_a_token_does_not_show_is_said() {
        assert_eq!(read(&["search.birth", "search.death", "search.marriage"]), Ok(Vec::new()));
        let limits = read(&["search.birth", "search.death:my-jurisdiction"]).unwrap();
        assert_eq!(limits, ["death: only the user's own jurisdiction", "marriage: nothing"]);
    }

    #[test]
    fn a_token_is_taken_as_a_browser_or_an_editor_leaves_it() {
        let now = Timestamp::from_second(1).unwrap();
        for text in ["Bearer {}\n", "{}\r\n", "  {}"] {
            assert!(
                UserToken::read(&text.replace("{}", &token(&["search.birth"], 2)), now).is_ok(),
                "{text}"
            );
        }
    }
}
