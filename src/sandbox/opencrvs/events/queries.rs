//! The queries of the events service that read: `event.get` and `event.search`.
//!
//! Wire source: `opencrvs-events.md` §2.4. For `event.search`, opencrvs-core itself:
//! `packages/events/src/router/event/event.search.*.test.ts` and
//! `packages/events/src/service/indexing/query.ts`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::Value;

use super::answers::{answer, row_error};
use super::confirm::Refused;
use super::credential::{Caller, Credential, admit};
use super::file::Actor;
use super::release::Release;
use super::scopes::Grant;
use super::search;
use crate::sandbox::opencrvs::call::Call;
use crate::sandbox::opencrvs::calls::Calls;
use crate::sandbox::opencrvs::connection::ConnectionBreaker;
use crate::sandbox::opencrvs::core::Core;

type Parameters = Query<HashMap<String, String>>;
type Connection = ConnectInfo<ConnectionBreaker>;
type Outcome = Result<Value, Refused>;

pub(super) async fn read(
    State(core): State<Arc<Core>>,
    connection: Connection,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Response {
    let event = event_id(&core, &input(&query)).map(str::to_owned);
    let record = event.clone().unwrap_or_default();
    let query = QueryCall { core, procedure: "event.get", headers };
    query.run((Calls::Read, record), connection, |core, caller| get(core, caller, event)).await
}

pub(super) async fn search(
    State(core): State<Arc<Core>>,
    connection: Connection,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Response {
    let input = input(&query);
    let query = QueryCall { core, procedure: "event.search", headers };
    let search = move |core: &Core, caller: &Caller| search::run(core, &caller.claims.scope, &input);
    query.run((Calls::Search, String::new()), connection, search).await
}

struct QueryCall {
    core: Arc<Core>,
    procedure: &'static str,
    headers: HeaderMap,
}

impl QueryCall {
    async fn run(
        self,
        (calls, record): (Calls, String),
        ConnectInfo(connection): Connection,
        work: impl FnOnce(&Core, &Caller) -> Outcome + Send + 'static,
    ) -> Response {
        let call = Call { core: Arc::clone(&self.core), calls: Some(calls), record, connection: &connection };
        let work = move |_| {
            move || {
                let caller = admit(&self.core, &self.headers, "gateway-user", self.procedure);
                answer(caller.and_then(|caller| work(&self.core, &caller)), self.procedure)
            }
        };
        call.perform(work, row_error).await
    }
}

fn input(query: &HashMap<String, String>) -> Value {
    let input: Option<Value> = query.get("input").and_then(|text| serde_json::from_str(text).ok());
    input.and_then(|mut input| input.get_mut("json").map(Value::take)).unwrap_or_default()
}

/// 1.9 takes the bare id, 2.0 an object.
fn event_id<'i>(core: &Core, input: &'i Value) -> Option<&'i str> {
    let bare = input.as_str();
    let event = bare.or_else(|| input.get("eventId").and_then(Value::as_str))?;
    let takes_bare = core.release_of(event) == Release::V1_9;
    (takes_bare == bare.is_some()).then_some(event)
}

fn get(core: &Core, caller: &Caller, event: Option<String>) -> Outcome {
    let grant = Grant::of(&caller.claims.scope, "record.read").ok_or(Refused::FORBIDDEN)?;
    let event = event.ok_or_else(|| Refused::required("eventId"))?;
    kind_in_scope(core, &event, &grant)?;
    let is_system = caller.credential == Credential::Client;
    let reader = Actor { id: caller.claims.sub.clone(), is_system };
    let now = Timestamp::now();
    core.with_records(|records| records.read_event(&event, &reader, now))
        .ok_or_else(|| Refused::no_event(&event))
}

/// Refuses an event of a kind outside the grant as if it did not exist.
pub(super) fn kind_in_scope(core: &Core, event: &str, grant: &Grant) -> Result<(), Refused> {
    let covered = core.with_records(|records| {
        let record = records.record(event).filter(|record| record.event.is_some());
        record.is_some_and(|record| grant.covers(record.kind.name()))
    });
    if covered { Ok(()) } else { Err(Refused::no_event(event)) }
}
