//! `searchEvents`: the list of records that a user of OpenCRVS may see.
//!
//! Invariant: as in core, a token without a search scope gets an empty list and no error, and the
//! list is stale by as much as the search index lags.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::errors::ErrorRow;
use super::graphql::Document;
use super::records::Records;

use super::keys::Claims;
use super::record::{HistoryRow, Record, Status, iso};
use crate::sandbox::population::Kind;

/// The resolver's default number of results.
const DEFAULT_COUNT: usize = 10;
/// The maximum number of results of the index (`max_result_window`).
const WINDOW: usize = 10_000;
/// The scope of a system client. Every record that such a client lists is marked as downloaded.
const SYSTEM_CLIENT: &str = "recordsearch";

/// A search: the caller's claims, the query, and the time up to which the index is current.
pub(super) struct Search<'a> {
    pub(super) claims: &'a Claims,
    pub(super) document: &'a Document,
    pub(super) indexed: Timestamp,
}

impl Search<'_> {
    /// The requested page, and how many records on it were marked as downloaded.
    pub(super) fn run(&self, records: &Records) -> Result<(Value, usize), ErrorRow> {
        let parameters = self.document.argument("advancedSearchParameters");
        let statuses = parameters.get("registrationStatuses").and_then(Value::as_array);
        let statuses = statuses.ok_or(ErrorRow::NOTHING_TO_SEARCH)?;
        let (skip, count) = (self.number("skip").unwrap_or_default(), self.number("count"));
        let count = count.filter(|count| *count > 0).unwrap_or(DEFAULT_COUNT);
        if skip + count > WINDOW {
            return Err(ErrorRow::WINDOW_TOO_LARGE);
        }
        let indexed = iso(self.indexed);
        let listed = |record: &Record| {
            let step = record.history.iter().rfind(|step| step.at <= indexed)?;
            (self.may_see(record) && statuses.iter().any(|name| name == step.status.name()))
                .then_some(step.status)
        };
        let mut found: Vec<(&str, &Record, Status)> =
            records.all().filter_map(|(id, record)| Some((id, record, listed(record)?))).collect();
        found.sort_by_key(|(id, record, _)| (record.history.first().map(|HistoryRow { at, .. }| at), *id));
        if self.document.argument("sort") != "asc" {
            found.reverse();
        }
        let row = |(id, record, status): &(&str, &Record, Status)| json!({"id": id, "registration": {"trackingId": record.tracking_id, "status": status.name()}});
        let results: Vec<Value> = found.iter().skip(skip).take(count).map(row).collect();
        let downloaded = if self.holds(SYSTEM_CLIENT) { results.len() } else { 0 };
        Ok((json!({"totalItems": found.len().min(WINDOW), "results": results}), downloaded))
    }

    fn holds(&self, scope: &str) -> bool {
        self.claims.scope.iter().any(|held| held == scope)
    }

    /// A simplification: the records of a user's jurisdiction are those that the user registered.
    fn may_see(&self, record: &Record) -> bool {
        let all = match record.kind {
            Kind::Birth => "search.birth",
            Kind::Death => "search.death",
            Kind::Marriage => "search.marriage",
        };
        let own = record.registrar == self.claims.sub && self.holds(&format!("{all}:my-jurisdiction"));
        self.holds(SYSTEM_CLIENT) || self.holds(all) || own
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.document.argument(name).as_u64().and_then(|number| usize::try_from(number).ok())
    }
}
