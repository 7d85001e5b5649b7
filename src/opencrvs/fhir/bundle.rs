//! The bundle as a list of resources, of which only the ones that are needed are ever built.
//!
//! Invariant: a body of 50 MiB costs little more than itself; a resource that is odd is as good as absent.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Refusal, text};

/// The resources that the view is made of. `TaskHistory` and its like are not among them.
const NEEDED: [&str; 8] = [
    "Composition",
    "Task",
    "Patient",
    "RelatedPerson",
    "Encounter",
    "QuestionnaireResponse",
    "Location",
    "Observation",
];

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, default, rename = "resourceType")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    entry: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default, rename = "fullUrl")]
    full_url: Option<Value>,
    #[serde(borrow)]
    resource: &'a RawValue,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceType")]
    kind: String,
}

/// A `Location` without its boundary, which may be megabytes of geography.
#[derive(Deserialize)]
struct LeanLocation {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    identifier: Value,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default, rename = "partOf")]
    part_of: Value,
}

struct Resource {
    kind: String,
    full_url: Option<String>,
    body: Value,
}

pub(super) struct Bundle(Vec<Resource>);

impl Bundle {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body).map_err(|_| Refusal::NotUtf8)?.trim();
        if text.is_empty() {
            return Err(Refusal::Empty);
        }
        let outer: Outer<'_> = match serde_json::from_str(text) {
            Ok(outer) if text.starts_with('{') => outer,
            Ok(_) => return Err(Refusal::NotABundle),
            // JSON of another shape is told from what is not JSON at all.
            Err(_) if serde_json::from_str::<IgnoredAny>(text).is_ok() => return Err(Refusal::NotABundle),
            Err(_) => return Err(Refusal::NotJson),
        };
        if outer.kind.is_none_or(|kind| kind.get() != "\"Bundle\"") {
            return Err(Refusal::NotABundle);
        }
        let entries = outer.entry.ok_or(Refusal::NotABundle)?;
        Ok(Self(entries.into_iter().filter_map(resource).collect()))
    }

    /// The first resource of exactly this type.
    pub(super) fn first(&self, kind: &str) -> Option<&Value> {
        self.of(kind).next()
    }

    pub(super) fn of<'b>(&'b self, kind: &str) -> impl Iterator<Item = &'b Value> {
        self.0.iter().filter(move |resource| resource.kind == kind).map(|resource| &resource.body)
    }

    /// Follows a reference such as `Patient/<id>` or `urn:uuid:<id>`.
    pub(super) fn resolve(&self, reference: &str) -> Option<&Value> {
        let id = reference.rsplit(['/', ':']).next()?;
        let kind = reference.split_once('/').map(|(kind, _)| kind);
        let named = |resource: &&Resource| {
            kind.is_none_or(|kind| resource.kind == kind) && text(&resource.body, "/id") == Some(id)
        };
        let found = self.0.iter().find(named);
        let by_url = || self.0.iter().find(|resource| resource.full_url.as_deref() == Some(reference));
        found.or_else(by_url).map(|resource| &resource.body)
    }

    /// What a section of the composition refers to.
    pub(super) fn section<'b>(&'b self, composition: &Value, code: &str) -> Option<&'b Value> {
        let sections = composition.get("section").and_then(Value::as_array)?;
        let section = sections.iter().find(|section| {
            section.get("code").is_some_and(|c| super::codes(c).any(|found| found == code))
        })?;
        self.resolve(text(section, "/entry/0/reference")?)
    }
}

fn resource(entry: &RawValue) -> Option<Resource> {
    let entry: Entry<'_> = serde_json::from_str(entry.get()).ok()?;
    let Head { kind } = serde_json::from_str(entry.resource.get()).ok()?;
    if !NEEDED.contains(&kind.as_str()) {
        return None;
    }
    let body = if kind == "Location" {
        let LeanLocation { id, identifier, kind, part_of } =
            serde_json::from_str(entry.resource.get()).ok()?;
        serde_json::json!({ "id": id, "identifier": identifier, "type": kind, "partOf": part_of })
    } else {
        serde_json::from_str(entry.resource.get()).ok()?
    };
    let full_url = entry.full_url.and_then(|url| url.as_str().map(str::to_owned));
    Some(Resource { kind, full_url, body })
}
