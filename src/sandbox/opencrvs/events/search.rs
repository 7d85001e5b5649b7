//! `event.search`: which events the search index shows, by conditions on their metadata.
//!
//! Wire source: opencrvs-core, `packages/commons/src/events/EventIndex.ts` (`QueryType`,
//! `QueryExpression`), `packages/events/src/service/indexing/query.ts`.
//!
//! Invariant: the index shows what was indexed, not what is stored. A request whose trigger failed
//! is not indexed.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::confirm::Refused;
use super::file::IndexRow;
use super::scopes::Grant;
use crate::sandbox::opencrvs::core::Core;
use crate::sandbox::opencrvs::record::Record;

/// Elasticsearch refuses pages beyond this.
const WINDOW: usize = 10_000;
const PAGE: usize = 100;

/// An event in the index.
struct Indexed<'r> {
    id: &'r str,
    record: &'r Record,
    row: &'r IndexRow,
}

pub(super) fn run(core: &Core, scopes: &[String], input: &Value) -> Result<Value, Refused> {
    let grant = Grant::of(scopes, "record.search").ok_or(Refused::FORBIDDEN)?;
    let query = Query::parse(input)?;
    let behind = core.faults.index_lag();
    let at = Timestamp::now().saturating_sub(behind).unwrap_or_default();
    let found = core.with_records(|records| {
        let indexed = records.all().filter_map(|(id, record)| {
            let row = record.event.as_ref()?.indexed(at)?;
            Some(Indexed { id, record, row })
        });
        let mut found: Vec<Indexed<'_>> =
            indexed.filter(|event| grant.covers(event.record.kind.name()) && query.matches(event)).collect();
        found.sort_by(|one, other| query.order(one).cmp(&query.order(other)).then(one.id.cmp(other.id)));
        if query.is_descending {
            found.reverse();
        }
        let total = found.len();
        let page = found.iter().skip(query.offset).take(query.limit).map(Indexed::document);
        json!({ "results": page.collect::<Vec<_>>(), "total": total })
    });
    Ok(found)
}

struct Query {
    is_any: bool,
    clauses: Vec<Map<String, Value>>,
    limit: usize,
    offset: usize,
    sort: Option<String>,
    is_descending: bool,
}

impl Query {
    fn parse(input: &Value) -> Result<Self, Refused> {
        let query = input.get("query").ok_or_else(|| Refused::required("query"))?;
        let is_any = match query.get("type").and_then(Value::as_str) {
            Some("and") => false,
            Some("or") => true,
            _ => return Err(Refused::required("type")),
        };
        let clauses = query.get("clauses").and_then(Value::as_array);
        let clauses = clauses.ok_or_else(|| Refused::required("clauses"))?;
        let clauses: Option<Vec<_>> = clauses.iter().map(|clause| clause.as_object().cloned()).collect();
        let clauses = clauses.filter(|clauses| !clauses.is_empty() && clauses.iter().all(is_known));
        let clauses = clauses.ok_or_else(|| invalid("clauses"))?;
        let number = |name: &str, default| match input.get(name) {
            None => Ok(default),
            Some(value) => {
                value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or_else(|| invalid(name))
            }
        };
        let (limit, offset) = (number("limit", PAGE)?, number("offset", 0)?);
        if limit.saturating_add(offset) > WINDOW {
            return Err(Refused::HIDDEN);
        }
        let sort = input.pointer("/sort/0");
        let text = |name: &str| sort?.get(name)?.as_str().map(str::to_owned);
        let is_descending = text("direction").as_deref() == Some("desc");
        Ok(Self { is_any, clauses, limit, offset, sort: text("field"), is_descending })
    }

    fn matches(&self, event: &Indexed<'_>) -> bool {
        let matches =
            |clause: &Map<String, Value>| clause.iter().all(|(name, condition)| event.meets(name, condition));
        if self.is_any { self.clauses.iter().any(matches) } else { self.clauses.iter().all(matches) }
    }

    fn order(&self, event: &Indexed<'_>) -> String {
        match self.sort.as_deref() {
            Some("createdAt") => event.created_at(),
            Some("updatedAt") => event.row.updated_at.clone(),
            Some(_) | None => String::new(),
        }
    }
}

fn invalid(name: &str) -> Refused {
    let issues = json!([{ "code": "invalid_union", "path": [name], "message": "Invalid input" }]);
    Refused::saying(StatusCode::BAD_REQUEST, issues.to_string())
}

/// Whether every condition of a clause is one that this simulation knows, and there is at least
/// one. Core refuses an unknown property as well.
fn is_known(clause: &Map<String, Value>) -> bool {
    let known = |(name, condition): (&String, &Value)| {
        let is = |kinds: &[&str]| {
            condition.get("type").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind))
        };
        match name.as_str() {
            "id" | "eventType" => condition.is_string(),
            "status" => is(&["exact", "anyOf"]),
            "trackingId" | "assignedTo" | "createdBy" => is(&["exact"]),
            "createdAt" | "updatedAt" => is(&["exact", "range"]) && are_dates(condition),
            "flags" => condition.get("anyOf").or(condition.get("noneOf")).is_some_and(Value::is_array),
            "data" => condition.as_object().is_some_and(Map::is_empty),
            _ => false,
        }
    };
    !clause.is_empty() && clause.iter().all(known)
}

/// Dates have no time of day.
fn are_dates(condition: &Value) -> bool {
    let is_date = |name: &str| {
        condition
            .get(name)
            .and_then(Value::as_str)
            .is_none_or(|date| date.parse::<jiff::civil::Date>().is_ok() && date.len() == 10)
    };
    ["term", "gte", "lte"].into_iter().all(is_date)
}

impl Indexed<'_> {
    fn created_at(&self) -> String {
        self.record.history.first().map(|step| step.at.clone()).unwrap_or_default()
    }

    fn meets(&self, name: &str, condition: &Value) -> bool {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        let list = |name: &str| condition.get(name).and_then(Value::as_array);
        let has_flag = |flags: &Vec<Value>| {
            flags.iter().filter_map(Value::as_str).any(|flag| self.row.flags.contains(&flag))
        };
        match name {
            "id" => condition.as_str() == Some(self.id),
            "eventType" => condition.as_str() == Some(self.record.kind.name()),
            "status" => match list("terms") {
                Some(terms) => terms.iter().any(|term| term.as_str() == Some(self.row.status)),
                None => text("term") == Some(self.row.status),
            },
            "trackingId" => text("term") == Some(self.record.tracking_id.as_str()),
            "assignedTo" => text("term") == self.row.assigned_to.as_deref(),
            "createdBy" => text("term") == Some(self.record.registrar.as_str()),
            "createdAt" => in_days(condition, &self.created_at()),
            "updatedAt" => in_days(condition, &self.row.updated_at),
            "flags" => list("anyOf").is_none_or(has_flag) && !list("noneOf").is_some_and(has_flag),
            _ => true,
        }
    }

    fn document(&self) -> Value {
        let registered = self.row.registration_number.as_ref();
        json!({
            "id": self.id,
            "type": self.record.kind.name(),
            "status": self.row.status,
            "trackingId": self.record.tracking_id,
            "createdAt": self.created_at(),
            "createdBy": self.record.registrar,
            "updatedAt": self.row.updated_at,
            "assignedTo": self.row.assigned_to,
            "flags": self.row.flags,
            "legalStatuses": registered.map_or_else(
                || json!({}),
                |number| json!({ "REGISTERED": { "registrationNumber": number } }),
            ),
            "declaration": {},
        })
    }
}

/// Whether the day of a time is in the range of a condition.
fn in_days(condition: &Value, at: &str) -> bool {
    let text = |name: &str| condition.get(name).and_then(Value::as_str);
    let day = at.get(..10).unwrap_or_default();
    text("term").is_none_or(|term| day == term)
        && text("gte").is_none_or(|from| from <= day)
        && text("lte").is_none_or(|to| day <= to)
}
