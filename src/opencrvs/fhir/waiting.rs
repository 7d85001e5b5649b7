//! Lists the records in external validation, with the token of an OpenCRVS user (`searchEvents`,
//! 1.7–1.9).
//!
//! The list comes from a search index that may be some seconds behind, so the caller must read each
//! listed record again before it concludes anything. Two kinds of token are refused before any
//! request: with the token of a system client (scope `recordsearch`) the gateway marks every listed
//! record as downloaded, and a token without a search scope gets an empty list instead of an error.
//!
//! Source: `gateway` and `search` of opencrvs-core, v1.7.0–v1.9.15.
//!
//! Invariant: this module only reads, and never requests names and dates, although the index has
//! them.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::gateway::Gateway;
use crate::domain::{RecordId, TrackingId};
use crate::opencrvs::fault::OpencrvsFault;
use crate::opencrvs::token::unverified;

const LIST: &str = "query ($count: Int, $skip: Int) { searchEvents(advancedSearchParameters: \
     { registrationStatuses: [\"WAITING_VALIDATION\"] }, count: $count, skip: $skip, sort: \"asc\") \
     { totalItems results { id registration { trackingId } } } }";

/// Records per request.
const PAGE: usize = 500;
/// Limit of the records that the search index returns (`max_result_window`).
const INDEX_LIMIT: usize = 10_000;
/// The kinds of event that search scopes name.
const KINDS: [&str; 3] = ["birth", "death", "marriage"];
const SYSTEM_CLIENT: &str = "recordsearch";

/// The token of a user who may search in OpenCRVS.
#[derive(Debug, Clone)]
pub struct UserToken {
    pub raw: SecretString,
    /// What a search with this token does not show, in words. Empty if it shows everything.
    pub limits: Vec<String>,
}

/// Why a token cannot be used to list records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserTokenFault {
    /// The text is not a JWT with scopes.
    #[error("it holds no token of OpenCRVS: put the token of a user in it, and nothing else")]
    Garbage,
    #[error("its token has expired: log in to OpenCRVS again and take a fresh one")]
    Expired,
    /// OpenCRVS would answer with an empty list.
    #[error(
        "its token may not search (it has no scope search.birth, .death or .marriage): take that of a registrar"
    )]
    NoSearch,
    /// A search with such a token changes the records.
    #[error(
        "its token is that of a system client (scope recordsearch), and OpenCRVS marks what such a client lists as \
         downloaded: take that of a user"
    )]
    SystemClient,
}

/// A record in external validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRecord {
    pub record: RecordId,
    pub tracking_id: Option<TrackingId>,
}

/// The records in external validation, as far as they can be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitingList {
    /// Oldest declaration first.
    pub records: Vec<WaitingRecord>,
    /// Whether there may be more records than the search index returns.
    pub truncated: bool,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    scope: Vec<String>,
}

impl UserToken {
    /// Reads the token from the text of a file. The gateway verifies its signature.
    ///
    /// # Errors
    /// [`UserTokenFault`] for a token that would list nothing, or whose searches change records.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, UserTokenFault> {
        let token = text.trim();
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        let claims: Claims = unverified(token).ok_or(UserTokenFault::Garbage)?;
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

impl Gateway {
    /// Lists the records in external validation.
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn waiting(&self, token: &UserToken) -> Result<WaitingList, OpencrvsFault> {
        let mut list = WaitingList::default();
        let mut skip = 0;
        loop {
            let data = self.call(&token.raw, LIST, json!({ "count": PAGE, "skip": skip })).await?;
            let found = data.get("searchEvents").ok_or(OpencrvsFault::Unreadable)?;
            let page = found.get("results").and_then(Value::as_array).ok_or(OpencrvsFault::Unreadable)?;
            list.records.extend(page.iter().filter_map(waiting_record));
            skip += PAGE;
            let total = found.get("totalItems").and_then(Value::as_u64).unwrap_or_default();
            list.truncated = total >= u64::try_from(INDEX_LIMIT).unwrap_or(u64::MAX);
            if page.len() < PAGE || skip >= INDEX_LIMIT {
                return Ok(list);
            }
        }
    }
}

fn waiting_record(found: &Value) -> Option<WaitingRecord> {
    let record = RecordId::parse(found.get("id")?.as_str()?).ok()?;
    let code = found.pointer("/registration/trackingId").and_then(Value::as_str);
    Some(WaitingRecord { record, tracking_id: code.and_then(|code| TrackingId::parse(code).ok()) })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::opencrvs::bare_server::{Server, server};

    /// A page of the list with this many records, of `total` in the index.
    fn page(count: usize, total: usize) -> (u16, String) {
        let record =
            |n: usize| json!({ "id": format!("r-{n}"), "registration": { "trackingId": "B123456" } });
        let results: Vec<Value> = (0..count).map(record).collect();
        (200, json!({ "data": { "searchEvents": { "totalItems": total, "results": results } } }).to_string())
    }

    async fn waiting(server: &Server) -> WaitingList {
        let token = UserToken { raw: SecretString::from("t"), limits: Vec::new() };
        Gateway::new(&server.settings()).unwrap().waiting(&token).await.unwrap()
    }

    #[tokio::test]
    async fn the_list_is_read_page_by_page_to_its_last_one() {
        for last in [0, 1, PAGE - 1] {
            let total = PAGE + last;
            let server = server(&[page(PAGE, total), page(last, total)]).await;
            let list = waiting(&server).await;
            assert_eq!((list.records.len(), list.truncated), (total, false), "{last}");
            let requests = server.requests();
            assert_eq!(requests.len(), 2, "{last}");
            let [first, second] = [r#""skip":0"#.to_owned(), format!(r#""skip":{PAGE}"#)];
            assert!(requests[0].contains(&first) && requests[1].contains(&second), "{requests:?}");
        }
    }

    #[tokio::test]
    async fn a_list_that_is_longer_than_the_index_returns_is_read_to_that_limit_and_says_so() {
        let server = server(&[page(PAGE, INDEX_LIMIT)]).await;
        let list = waiting(&server).await;
        assert_eq!((list.records.len(), list.truncated), (INDEX_LIMIT, true));
        assert_eq!(server.requests().len(), INDEX_LIMIT / PAGE);
        let record = &list.records[1];
        assert_eq!(
            (record.record.as_str(), record.tracking_id.as_ref().unwrap().as_str()),
            ("r-1", "B123456")
        );
    }

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
    fn the_limits_of_a_token_are_reported() {
        assert_eq!(read(&["search.birth", "search.death", "search.marriage"]), Ok(Vec::new()));
        let limits = read(&["search.birth", "search.death:my-jurisdiction"]).unwrap();
        assert_eq!(limits, ["death: only the user's own jurisdiction", "marriage: nothing"]);
    }

    #[test]
    fn a_token_is_read_with_bearer_and_white_space_around_it() {
        let now = Timestamp::from_second(1).unwrap();
        for text in ["Bearer {}\n", "{}\r\n", "  {}"] {
            assert!(
                UserToken::read(&text.replace("{}", &token(&["search.birth"], 2)), now).is_ok(),
                "{text}"
            );
        }
    }
}
