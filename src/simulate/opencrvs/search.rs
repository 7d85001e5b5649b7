//! `searchEvents`: the list of records as a user of OpenCRVS may ask for it.
//!
//! Invariant: as in core, a token without a search scope gets an empty list and no error.

use serde_json::{Value, json};

use super::book::Book;
use super::keys::Claims;
use super::record::Record;

/// What the resolver gives when nobody says how many.
const DEFAULT_COUNT: usize = 10;
const SEARCH: [&str; 3] = ["search.birth", "search.death", "search.marriage"];

/// The records in external validation, those that were declared first coming first.
pub(super) fn waiting(book: &Book, claims: &Claims, variables: &Value) -> Value {
    let may = |kind: &str| claims.scope.iter().any(|held| held.split(':').next() == Some(kind));
    let mut found: Vec<(&str, &Record)> = if SEARCH.into_iter().any(may) {
        book.records().filter(|(_, record)| record.status().name() == "WAITING_VALIDATION").collect()
    } else {
        Vec::new()
    };
    found.sort_by_key(|(id, record)| (record.history.first().map(|step| step.at.clone()), *id));
    let number = |name: &str| variables.get(name)?.as_u64().and_then(|number| usize::try_from(number).ok());
    let count = number("count").filter(|count| *count > 0).unwrap_or(DEFAULT_COUNT);
    let page = found.iter().skip(number("skip").unwrap_or_default()).take(count);
    let results: Vec<Value> = page
        .map(|(id, record)| {
            json!({"id": id, "registration": {"trackingId": record.tracking_id, "status": record.status().name()}})
        })
        .collect();
    json!({"totalItems": found.len(), "results": results})
}
