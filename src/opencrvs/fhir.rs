//! The FHIR generation (OpenCRVS 1.7–1.9): reads the bundle of `POST /event-registration` into the
//! view, and answers through GraphQL ([`Gateway`]).
//!
//! The bundle is not valid FHIR: it contains pseudo-resources such as `TaskHistory`, internal keys
//! that begin with `_`, histories with repeated ids, and megabytes of geography. This module
//! therefore reads it leniently, by exact `resourceType`, and skips what is not needed without
//! building it in memory.
//!
//! Source: `workflow` of opencrvs-core, v1.7.0–v1.9.15.
//!
//! Invariant: missing or malformed personal data never causes a refusal; a bundle is refused only
//! if it lacks what every answer needs (record id, attempt time, kind of event, tracking id).

mod amend;
mod bundle;
pub(super) mod gateway;
pub(super) mod graphql;
mod person;
mod place;
mod sources;
mod submission;
mod view;
mod waiting;

use jiff::Timestamp;
use serde_json::Value;

use super::text::is_within;
use crate::domain::{EventKind, RecordId, TrackingId};
use bundle::Bundle;

pub use super::document::Document;
use super::reading::Reading;
pub use amend::{Amendment, amend};
pub use gateway::{Confirmation, FetchedRecord, Gateway};
pub use submission::FoundRecord;
pub use waiting::{UserToken, UserTokenFault, WaitingList, WaitingRecord};

/// Limit of a reference, a type or a code, in characters. A longer text counts as absent.
const LONGEST: usize = 256;
/// Limit of a time or of a kind of event, in bytes.
const LONGEST_MARK: usize = 64;

/// Why a body is not a registration that can be answered. Contains no text from the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBundle {
    #[error("the body is empty: send the FHIR bundle of the record as JSON")]
    Empty,
    #[error("the body is not UTF-8: send the FHIR bundle of the record as JSON")]
    NotUtf8,
    #[error("the body is not JSON (or nested too deeply): send the FHIR bundle of the record as JSON")]
    NotJson,
    #[error("the body is not a FHIR Bundle: send an object with resourceType `Bundle` and an `entry` list")]
    NotABundle,
    #[error("the bundle has no Composition with an id: send the whole bundle of the record")]
    NoComposition,
    #[error("the bundle has no Task: send the whole bundle of the record")]
    NoTask,
    #[error(
        "the bundle's Task has no lastModified time: attempts of the record cannot be told apart without it"
    )]
    NoLastModified,
    #[error(
        "the bundle's Task has a lastModified that is no time with a date, a time of day and a zone, such as \
         2026-10-23T10:00:00.107Z: attempts of the record cannot be told apart without it"
    )]
    UnreadableLastModified,
    #[error("the bundle does not say what kind of event it is: Task.code or Composition.type is needed")]
    NoEvent,
    #[error(
        "the bundle has no usable tracking id: Task.identifier with a system ending in `-tracking-id` is needed"
    )]
    NoTrackingId,
}

/// # Errors
/// [`InvalidBundle`].
pub fn read(body: &[u8], reading: &Reading) -> Result<Document, InvalidBundle> {
    let bundle = Bundle::read(body)?;
    let composition = bundle.first("Composition").ok_or(InvalidBundle::NoComposition)?;
    let record = text(composition, "/id")
        .and_then(|id| RecordId::parse(id).ok())
        .ok_or(InvalidBundle::NoComposition)?;
    let task = bundle.first("Task").ok_or(InvalidBundle::NoTask)?;
    let (mark, stamp) = attempt_time(task)?;
    let kind = kind(task, composition).ok_or(InvalidBundle::NoEvent)?;
    let tracking_id = tracking_id(task, composition).ok_or(InvalidBundle::NoTrackingId)?;
    let mut view = view::of(&bundle, composition, task, &kind, reading);
    reading.localise(&mut view);
    let office = view.office.code.clone();
    Ok(Document { record, mark, stamp, kind, tracking_id, office, view })
}

fn attempt_time(task: &Value) -> Result<(String, Timestamp), InvalidBundle> {
    const PATHS: [&str; 2] = ["/lastModified", "/meta/lastUpdated"];
    let read = PATHS.into_iter().find_map(|path| {
        let mark = text(task, path).filter(|mark| mark.len() <= LONGEST_MARK)?;
        Some((mark.to_owned(), mark.parse().ok()?))
    });
    let is_there = |path: &str| task.pointer(path).is_some_and(|time| !time.is_null());
    read.ok_or(if PATHS.into_iter().any(is_there) {
        InvalidBundle::UnreadableLastModified
    } else {
        InvalidBundle::NoLastModified
    })
}

fn kind(task: &Value, composition: &Value) -> Option<EventKind> {
    let by_code = task.get("code").and_then(|code| codes(code).next());
    // For example `birth-declaration` or `death-notification`.
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

/// Returns the trimmed text at this JSON pointer, or `None` if it is absent, empty, or longer than
/// any reference, type or language code.
fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    let text = value.pointer(pointer).and_then(Value::as_str).map(str::trim);
    text.filter(|text| !text.is_empty() && is_within(text, LONGEST))
}

/// The personal data at this JSON pointer, which counts as present however long it is.
fn identifying(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(super::text::identifying_value)
}

/// Like `text`, but also returns `None` for a text with control characters, because codes are
/// stored in columns and logged.
fn code<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    text(value, pointer).filter(|code| !code.chars().any(char::is_control))
}

/// The codes of a `CodeableConcept`, whatever their coding system.
fn codes(concept: &Value) -> impl Iterator<Item = &str> {
    concept
        .get("coding")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|coding| code(coding, "/code"))
}

/// Finds the extension whose URL ends with this path segment.
fn extension<'v>(value: &'v Value, ends: &str) -> Option<&'v Value> {
    let all = value.get("extension").and_then(Value::as_array)?;
    all.iter().find(|extension| {
        text(extension, "/url").and_then(|url| url.rsplit('/').next()).is_some_and(|name| name == ends)
    })
}

#[cfg(test)]
mod tests;
