//! The bundle of `POST /event-registration` (OpenCRVS 1.7–1.9), turned into the view.
//!
//! It is not valid FHIR: it holds pseudo-resources such as `TaskHistory`, internal `_`-keys, histories with repeated
//! ids, and megabytes of geography. So it is read leniently, by exact `resourceType`, and what is not needed is skipped
//! without being built.
//!
//! Invariant: what is missing or odd in a person's data never refuses a registration; only what no answer could be
//! given without does.

mod amend;
mod bundle;
pub(super) mod gateway;
pub(super) mod graphql;
mod person;
mod place;
mod view;
mod waiting;

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::{EventKind, RecordId, TrackingId};
use bundle::Bundle;

pub use super::document::Document;
pub use amend::{Amendment, amend};
pub use gateway::{Confirmation, FetchedRecord, Gateway};
pub use waiting::{UserToken, UserTokenFault, WaitingList, WaitingRecord};

/// The longest text that is read at all.
const LONGEST: usize = 256;
/// The longest time or kind of event.
const LONGEST_MARK: usize = 64;

/// Why a body is not a registration that could ever be answered. Holds nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBundle {
    /// Nothing was sent.
    #[error("the body is empty: send the FHIR bundle of the record as JSON")]
    Empty,
    /// Not text.
    #[error("the body is not UTF-8: send the FHIR bundle of the record as JSON")]
    NotUtf8,
    /// Not JSON.
    #[error("the body is not JSON (or nested too deeply): send the FHIR bundle of the record as JSON")]
    NotJson,
    /// JSON, but not a bundle.
    #[error("the body is not a FHIR Bundle: send an object with resourceType `Bundle` and an `entry` list")]
    NotABundle,
    /// No `Composition`.
    #[error("the bundle has no Composition with an id: send the whole bundle of the record")]
    NoComposition,
    /// No `Task`.
    #[error("the bundle has no Task: send the whole bundle of the record")]
    NoTask,
    /// No time of the attempt.
    #[error(
        "the bundle's Task has no lastModified time: attempts of the record cannot be told apart without it"
    )]
    NoLastModified,
    /// No kind of event.
    #[error("the bundle does not say what kind of event it is: Task.code or Composition.type is needed")]
    NoEvent,
    /// No tracking id.
    #[error(
        "the bundle has no usable tracking id: Task.identifier with a system ending in `-tracking-id` is needed"
    )]
    NoTrackingId,
}

/// Reads a bundle.
///
/// # Errors
/// [`InvalidBundle`] says what is wrong with it and what is expected.
pub fn read(body: &[u8]) -> Result<Document, InvalidBundle> {
    let bundle = Bundle::read(body)?;
    let composition = bundle.first("Composition").ok_or(InvalidBundle::NoComposition)?;
    let record = text(composition, "/id")
        .and_then(|id| RecordId::parse(id).ok())
        .ok_or(InvalidBundle::NoComposition)?;
    let task = bundle.first("Task").ok_or(InvalidBundle::NoTask)?;
    let (mark, stamp) = attempt_time(task).ok_or(InvalidBundle::NoLastModified)?;
    let kind = kind(task, composition).ok_or(InvalidBundle::NoEvent)?;
    let tracking_id = tracking_id(task, composition).ok_or(InvalidBundle::NoTrackingId)?;
    let view = view::of(&bundle, composition, task, &kind);
    let office = view.office.code.clone();
    Ok(Document { record, mark, stamp, kind, tracking_id, office, view })
}

fn attempt_time(task: &Value) -> Option<(String, Timestamp)> {
    ["/lastModified", "/meta/lastUpdated"].into_iter().find_map(|path| {
        let mark = text(task, path).filter(|mark| mark.len() <= LONGEST_MARK)?;
        Some((mark.to_owned(), mark.parse().ok()?))
    })
}

fn kind(task: &Value, composition: &Value) -> Option<EventKind> {
    let by_code = task.get("code").and_then(|code| codes(code).next());
    // `birth-declaration`, `death-notification`, …
    let by_type = || codes(composition.get("type")?).find_map(|code| code.split('-').next());
    let usable = |name: &&str| !name.is_empty() && name.len() <= LONGEST_MARK;
    by_code.filter(usable).or_else(|| by_type().filter(usable)).map(EventKind::from_name)
}

fn tracking_id(task: &Value, composition: &Value) -> Option<TrackingId> {
    let identifiers = task.get("identifier").and_then(Value::as_array).into_iter().flatten();
    identifiers
        .filter(|id| text(id, "/system").is_some_and(|system| system.ends_with("-tracking-id")))
        .filter_map(|id| text(id, "/value"))
        .chain(text(composition, "/identifier/value"))
        .find_map(|id| TrackingId::parse(id).ok())
}

/// A text that says something; one that is longer than any name, date, code or reference does not.
fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    let text = value.pointer(pointer).and_then(Value::as_str).map(str::trim);
    text.filter(|text| !text.is_empty() && text.len() <= LONGEST)
}

/// A text that is a code, and so may stand in a log line and in a column: nothing in it controls either.
fn code<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    text(value, pointer).filter(|code| !code.chars().any(char::is_control))
}

/// The codes of a codeable concept, in any system.
fn codes(concept: &Value) -> impl Iterator<Item = &str> {
    concept
        .get("coding")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|coding| code(coding, "/code"))
}

/// The extension whose URL ends so.
fn extension<'v>(value: &'v Value, ends: &str) -> Option<&'v Value> {
    let all = value.get("extension").and_then(Value::as_array)?;
    all.iter().find(|extension| {
        text(extension, "/url").and_then(|url| url.rsplit('/').next()).is_some_and(|name| name == ends)
    })
}

#[cfg(test)]
mod tests;
