//! Searches for events with a pending registration, and reads the whole document of one.
//!
//! Both calls need the client, because an action token may not search. `event.search` shows which
//! events wait, but not with which action; only `event.get` shows that.
//!
//! When the trigger is answered with 202, core indexes the registration as pending. When the
//! trigger fails, core stores the registration, but does not index it until somebody reads the
//! event. In the index such an event is not registered and its registrar is still assigned, so
//! [`Waiting::Assigned`] finds it among others.
//!
//! Source: `packages/events/src/router/event` and `packages/commons/src/events` (`SearchQuery`,
//! `state/flags.ts`) of opencrvs-core, 2.0–2.1.
//!
//! Invariant: of a search result only id, kind and time are kept; no fault contains a text from
//! OpenCRVS.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::trpc::result_of;
use crate::domain::{Budget, EventKind, RecordId};
use crate::opencrvs::call::{ClientSettings, HttpClient, send};
use crate::opencrvs::fault::OpencrvsFault;
use crate::opencrvs::raw::{each_element, member};

/// Flag of an event whose last registration action waits for its answer. The status of an event
/// does not show that: it is that of the last accepted action.
const PENDING: &str = "register:requested";
/// Statuses of an event that is not registered. Releases differ in the other statuses.
const UNREGISTERED: [&str; 3] = ["CREATED", "NOTIFIED", "DECLARED"];
/// Maximum number of events in one response.
const PAGE: usize = 100;
/// OpenCRVS's search engine refuses to return results beyond this one.
const DEEPEST: usize = 10_000;

/// Which events a search shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Events with a pending registration, the oldest first.
    Requested,
    /// Events that are not registered and that a user is assigned to, the newest first. Some of
    /// them have a registration whose trigger failed; on the others a registrar is working.
    Assigned,
}

/// Searches with an access token of the bridge's client.
#[derive(Debug, Clone)]
pub struct EventSearch {
    client: HttpClient,
}

/// An event that may have a pending registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEvent {
    pub record: RecordId,
    /// Time of the last accepted action. A pending action is newer.
    pub updated_at: Option<Timestamp>,
}

/// A page of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingPage {
    pub events: Vec<WaitingEvent>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<usize>,
}

impl EventSearch {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(gateway: &ClientSettings) -> Result<Self, reqwest::Error> {
        Ok(Self { client: HttpClient::new(gateway)? })
    }

    /// Fetches a page of the events of a kind. OpenCRVS notes the search in the client's audit log.
    ///
    /// # Errors
    /// [`OpencrvsFault`].
    pub async fn page(
        &self,
        token: &SecretString,
        kind: &EventKind,
        waiting: Waiting,
        offset: usize,
    ) -> Result<WaitingPage, OpencrvsFault> {
        let input = json!({
            "query": { "type": "and", "clauses": [waiting.clause(kind)] },
            "limit": PAGE,
            "offset": offset,
            "sort": [{ "field": "updatedAt", "direction": waiting.direction() }],
        });
        let found = self.query("event.search", token, &input).await?;
        page(&found, waiting, offset).ok_or(OpencrvsFault::Unreadable)
    }

    /// Reads the whole document of an event, as a trigger would send it. OpenCRVS notes the read in
    /// the event itself, so do not read an event again without need.
    ///
    /// # Errors
    /// [`OpencrvsFault`]; [`OpencrvsFault::EventNotFound`] also for an event that the client may
    /// not read.
    pub async fn document(&self, token: &SecretString, record: &RecordId) -> Result<Vec<u8>, OpencrvsFault> {
        let event = match self.query("event.get", token, &json!({ "eventId": record.as_str() })).await {
            // The input is the bare id in 1.9, and an object in 2.x.
            Err(OpencrvsFault::Contract) => {
                self.query("event.get", token, &Value::from(record.as_str())).await?
            }
            result => result?,
        };
        Ok(event.get().as_bytes().to_vec())
    }

    async fn query(
        &self,
        procedure: &str,
        token: &SecretString,
        input: &Value,
    ) -> Result<Box<RawValue>, OpencrvsFault> {
        let input = json!({ "json": input }).to_string();
        let request = self.client.get(&format!("events/{procedure}")).query(&[("input", input.as_str())]);
        let response = send(request.bearer_auth(token.expose_secret())).await?.complete().await?;
        result_of(&response).map(ToOwned::to_owned)
    }
}

impl Waiting {
    fn clause(self, kind: &EventKind) -> Value {
        match self {
            Self::Requested => json!({ "eventType": kind.as_str(), "flags": { "anyOf": [PENDING] } }),
            Self::Assigned => json!({
                "eventType": kind.as_str(),
                "status": { "type": "anyOf", "terms": UNREGISTERED },
                "flags": { "noneOf": [PENDING] },
            }),
        }
    }

    fn direction(self) -> &'static str {
        match self {
            Self::Requested => "asc",
            Self::Assigned => "desc",
        }
    }

    /// Whether the event meets the conditions of the search, because an index may ignore one.
    fn includes(self, event: &Value) -> bool {
        let flags = event.get("flags").and_then(Value::as_array);
        let is_pending = flags.is_some_and(|flags| flags.iter().any(|flag| flag.as_str() == Some(PENDING)));
        match self {
            Self::Requested => is_pending,
            Self::Assigned => !is_pending && event.get("assignedTo").is_some_and(Value::is_string),
        }
    }
}

fn page(found: &RawValue, waiting: Waiting, offset: usize) -> Option<WaitingPage> {
    let total: usize = member(found, "total")?.get().parse().ok()?;
    let (mut count, mut events, mut unreadable) = (0, Vec::new(), false);
    each_element(member(found, "results")?, |result| {
        count += 1;
        match Budget::of(result.get().len()).build_short(result.get()) {
            Ok(result) if waiting.includes(&result) => events.extend(event(&result)),
            Ok(_) => {}
            Err(_) => unreadable = true,
        }
    })?;
    if unreadable {
        return None;
    }
    let end = offset + count;
    // The last page may end at the limit, not beyond it.
    let more = count > 0 && end < total && end + PAGE <= DEEPEST;
    Some(WaitingPage { events, next: more.then_some(end) })
}

fn event(result: &Value) -> Option<WaitingEvent> {
    let record = RecordId::parse(result.get("id")?.as_str()?).ok()?;
    let updated_at = result.get("updatedAt").and_then(Value::as_str).and_then(|at| at.parse().ok());
    Some(WaitingEvent { record, updated_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opencrvs::bare_server::server;

    fn raw(found: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(found).unwrap()
    }

    #[test]
    fn only_events_that_were_searched_for_are_kept_and_the_next_page_begins_after_all_results() {
        let found = json!({ "total": 7, "results": [
            { "id": "e1", "flags": ["register:requested"], "updatedAt": "2026-01-01T00:00:00.000Z",
              "declaration": { "child.name": "Ada" }, "assignedTo": "user" },
            { "id": "e2", "flags": ["register:rejected"], "assignedTo": "user" },
            { "id": "e3", "flags": ["incomplete", "register:requested"] },
            { "id": 4, "flags": ["register:requested"] },
            { "id": "e5", "flags": [] },
        ]});
        let page = |waiting: Waiting| page(&raw(&found), waiting, 0);
        let requested = page(Waiting::Requested).unwrap();
        let names = |page: &WaitingPage| {
            page.events.iter().map(|event| event.record.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&requested), "e1 e3");
        assert!(requested.events[0].updated_at.is_some() && requested.events[1].updated_at.is_none());
        assert_eq!(requested.next, Some(5));
        assert_eq!(names(&page(Waiting::Assigned).unwrap()), "e2");
    }

    #[test]
    fn the_last_page_an_empty_page_and_the_deepest_page_have_no_next_one() {
        let one = json!({ "id": "e1", "flags": ["register:requested"] });
        let next = |total: usize, offset: usize, results: &[Value]| {
            let found = raw(&json!({ "total": total, "results": results }));
            page(&found, Waiting::Requested, offset).unwrap().next
        };
        assert_eq!(next(3, 2, std::slice::from_ref(&one)), None);
        assert_eq!(next(3, 0, &[]), None);
        assert_eq!(next(20_000, 9_900, std::slice::from_ref(&one)), None);
        assert_eq!(next(20_000, 9_899, &[one]), Some(9_900));
        assert_eq!(page(&raw(&json!([])), Waiting::Requested, 0), None);
        let dense = json!({ "total": 1, "results": [vec![json!({ "": 0 }); 10_000]] });
        assert_eq!(page(&raw(&dense), Waiting::Requested, 0), None);
    }

    /// The input of a query, read from the query string of its URL.
    fn input(request: &str) -> Value {
        let target = request.split(' ').nth(1).unwrap();
        let url = url::Url::parse(&format!("http://host{target}")).unwrap();
        let (_, input) = url.query_pairs().find(|(name, _)| name == "input").unwrap();
        serde_json::from_str::<Value>(&input).unwrap()["json"].take()
    }

    fn result(json: &Value) -> (u16, String) {
        (200, json!({ "result": { "data": { "json": json } } }).to_string())
    }

    #[tokio::test]
    async fn a_search_asks_for_pending_events_oldest_first_and_for_assigned_ones_newest_first() {
        let token = SecretString::from("t");
        for (waiting, clause, direction) in [
            (
                Waiting::Requested,
                json!({ "eventType": "birth", "flags": { "anyOf": ["register:requested"] } }),
                "asc",
            ),
            (
                Waiting::Assigned,
                json!({ "eventType": "birth", "flags": { "noneOf": ["register:requested"] },
                    "status": { "type": "anyOf", "terms": ["CREATED", "NOTIFIED", "DECLARED"] } }),
                "desc",
            ),
        ] {
            let server = server(&[result(&json!({ "total": 0, "results": [] }))]).await;
            let search = EventSearch::new(&server.settings()).unwrap();
            let page = search.page(&token, &EventKind::Birth, waiting, 100).await.unwrap();
            assert_eq!(page, WaitingPage { events: Vec::new(), next: None });
            let expected = json!({
                "query": { "type": "and", "clauses": [clause] }, "limit": PAGE, "offset": 100,
                "sort": [{ "field": "updatedAt", "direction": direction }],
            });
            assert_eq!(input(&server.requests()[0]), expected);
        }
    }

    #[tokio::test]
    async fn a_document_is_read_in_either_form_of_the_input() {
        let refused =
            json!({ "error": { "json": { "message": "Invalid input", "data": { "code": "BAD_REQUEST" } } } });
        let event = json!({ "id": "event-1", "type": "birth" });
        let server = server(&[(400, refused.to_string()), result(&event)]).await;
        let search = EventSearch::new(&server.settings()).unwrap();
        let record = RecordId::parse("event-1").unwrap();
        let document = search.document(&SecretString::from("t"), &record).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&document).unwrap(), event);
        let requests = server.requests();
        assert_eq!(input(&requests[0]), json!({ "eventId": "event-1" }));
        assert_eq!(input(&requests[1]), json!("event-1"));
    }
}
