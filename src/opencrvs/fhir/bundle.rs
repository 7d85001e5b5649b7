//! Reads a bundle into a list of resources; only the fields that the view needs are built in
//! memory.
//!
//! Invariant: what is built from a body stays within its [`Budget`], whatever is in it; a malformed
//! field or resource counts as absent.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{InvalidBundle, text};
use crate::domain::Budget;
use crate::opencrvs::raw::each_element;

/// The types of resource from which the view is made. Pseudo-resources such as `TaskHistory` are
/// not among them.
const NEEDED: [&str; 7] =
    ["Composition", "Task", "Patient", "RelatedPerson", "Encounter", "QuestionnaireResponse", "Location"];

/// The fields that are read from resources of these types.
const FIELDS: [&str; 20] = [
    "resourceType",
    "id",
    "identifier",
    "type",
    "section",
    "code",
    "lastModified",
    "meta",
    "extension",
    "active",
    "name",
    "gender",
    "birthDate",
    "deceasedDateTime",
    "address",
    "relationship",
    "patient",
    "location",
    "item",
    "partOf",
];

/// Limit of a field that is built in memory, in bytes. A longer field holds an attachment and is
/// skipped.
const LONGEST_FIELD: usize = 1024 * 1024;
/// What a resource takes besides the values of its fields, in bytes.
const RESOURCE: usize = 1024;
/// Limit of the resources that are kept from one bundle. A record has about thirty.
const MOST_RESOURCES: usize = 2_000;

#[derive(Deserialize)]
struct RawBundle<'a> {
    #[serde(borrow, default, rename = "resourceType")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    entry: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow, default, rename = "fullUrl")]
    full_url: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: &'a RawValue,
}

struct Resource {
    kind: String,
    full_url: Option<String>,
    body: Value,
}

pub(super) struct Bundle(Vec<Resource>);

impl Bundle {
    pub(super) fn read(body: &[u8]) -> Result<Self, InvalidBundle> {
        let text = std::str::from_utf8(body).map_err(|_| InvalidBundle::NotUtf8)?.trim();
        if text.is_empty() {
            return Err(InvalidBundle::Empty);
        }
        let bundle: RawBundle<'_> = match serde_json::from_str(text) {
            Ok(bundle) if text.starts_with('{') => bundle,
            Ok(_) => return Err(InvalidBundle::NotABundle),
            // Tells JSON of another shape from text that is not JSON.
            Err(_) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                return Err(InvalidBundle::NotABundle);
            }
            Err(_) => return Err(InvalidBundle::NotJson),
        };
        if bundle.kind.is_none_or(|kind| kind.get() != "\"Bundle\"") {
            return Err(InvalidBundle::NotABundle);
        }
        let mut resources = Resources { kept: Vec::new(), budget: Budget::of(body.len()) };
        let entries = bundle.entry.ok_or(InvalidBundle::NotABundle)?;
        each_element(entries, |entry| resources.add(entry)).ok_or(InvalidBundle::NotABundle)?;
        Ok(Self(resources.kept))
    }

    /// The first resource of exactly this type.
    pub(super) fn first(&self, kind: &str) -> Option<&Value> {
        self.of(kind).next()
    }

    pub(super) fn of<'b>(&'b self, kind: &str) -> impl Iterator<Item = &'b Value> {
        self.0.iter().filter(move |resource| resource.kind == kind).map(|resource| &resource.body)
    }

    /// Follows a reference: `Patient/<id>`, `urn:uuid:<id>`, or a URL of either with or without its
    /// version.
    pub(super) fn resolve(&self, reference: &str) -> Option<&Value> {
        let plain = reference.split("/_history/").next()?;
        let mut parts = plain.rsplit('/');
        let (id, kind) = (parts.next()?.rsplit(':').next()?, parts.next());
        let named = |resource: &&Resource| {
            kind.is_none_or(|kind| resource.kind == kind) && text(&resource.body, "/id") == Some(id)
        };
        let found = self.0.iter().find(named);
        let by_url = || self.0.iter().find(|resource| resource.full_url.as_deref() == Some(reference));
        found.or_else(by_url).map(|resource| &resource.body)
    }

    /// The resource that a section of the composition refers to.
    pub(super) fn section<'b>(&'b self, composition: &Value, code: &str) -> Option<&'b Value> {
        let sections = composition.get("section").and_then(Value::as_array)?;
        let section = sections.iter().find(|section| {
            section.get("code").is_some_and(|c| super::codes(c).any(|found| found == code))
        })?;
        self.resolve(text(section, "/entry/0/reference")?)
    }
}

/// The resources that are kept. Each entry is checked as it is read, and most are dropped at once.
struct Resources {
    kept: Vec<Resource>,
    budget: Budget,
}

impl Resources {
    fn add(&mut self, entry: &RawValue) {
        if self.kept.len() < MOST_RESOURCES
            && let Some(resource) = self.resource(entry)
        {
            self.kept.push(resource);
        }
    }

    fn resource(&mut self, entry: &RawValue) -> Option<Resource> {
        let entry: RawEntry<'_> = serde_json::from_str(entry.get()).ok()?;
        let Parts(parts) = serde_json::from_str(entry.resource.get()).ok()?;
        let kind = NEEDED.into_iter().find(|kind| {
            parts.get("resourceType").is_some_and(|found| found.get().trim_matches('"') == *kind)
        })?;
        self.budget.charge(RESOURCE).ok()?;
        let mut body = Map::new();
        for (name, raw) in parts {
            // The extension of a location holds its boundary: up to megabytes of geography.
            if (kind, name) == ("Location", "extension") {
                continue;
            }
            if let Some(value) = self.build(raw) {
                body.insert(name.to_owned(), value);
            }
        }
        let full_url = entry.full_url.and_then(|url| self.build(url)?.as_str().map(str::to_owned));
        Some(Resource { kind: kind.to_owned(), full_url, body: Value::Object(body) })
    }

    fn build(&mut self, raw: &RawValue) -> Option<Value> {
        if raw.get().len() > LONGEST_FIELD {
            return None;
        }
        self.budget.build_short(raw.get()).ok()
    }
}

/// The needed fields of a resource, not built yet. If a field is repeated, the last one counts.
struct Parts<'a>(BTreeMap<&'static str, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = BTreeMap<&'static str, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a resource")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut parts = BTreeMap::new();
                while let Some(Needed(name)) = fields.next_key()? {
                    match name {
                        Some(name) => drop(parts.insert(name, fields.next_value::<&'de RawValue>()?)),
                        None => drop(fields.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(parts)
            }
        }

        deserializer.deserialize_map(Object).map(Parts)
    }
}

/// The name of a field, if it is among [`FIELDS`].
struct Needed(Option<&'static str>);

impl<'de> Deserialize<'de> for Needed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Needed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Needed, E> {
                Ok(Needed(FIELDS.into_iter().find(|name| *name == key)))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &str) -> Bundle {
        let text = format!(r#"{{"resourceType":"Bundle","entry":[{entries}]}}"#);
        Bundle::read(text.as_bytes()).unwrap()
    }

    fn of_patient(fields: &str) -> String {
        format!(r#"{{"resource":{{"resourceType":"Patient","id":"p",{fields}}}}}"#)
    }

    #[test]
    fn a_field_with_an_attachment_is_skipped_and_the_rest_of_the_resource_is_read() {
        let long = "A".repeat(LONGEST_FIELD);
        let location = format!(
            r#"{{"resource":{{"resourceType":"Location","id":"l","extension":[{{"valueAttachment":"{long}"}}]}}}}"#
        );
        let patient = of_patient(&format!(r#""photo":["A"],"extension":["{long}"],"gender":"male""#));
        let bundle = read(&format!("{location},{patient}"));
        let patient = bundle.first("Patient").unwrap().as_object().unwrap();
        assert_eq!(patient.keys().collect::<Vec<_>>(), ["gender", "id", "resourceType"]);
        let location = bundle.first("Location").unwrap().as_object().unwrap();
        assert_eq!(location.keys().collect::<Vec<_>>(), ["id", "resourceType"]);
    }

    #[test]
    fn a_field_may_be_as_long_as_the_limit() {
        for (length, built) in [(LONGEST_FIELD, true), (LONGEST_FIELD + 1, false)] {
            let gender = "m".repeat(length - r#""""#.len());
            let bundle = read(&of_patient(&format!(r#""gender":"{gender}""#)));
            assert_eq!(bundle.first("Patient").unwrap().get("gender").is_some(), built, "{length}");
        }
    }

    #[test]
    fn fields_and_resources_are_built_up_to_their_limits() {
        let dense = format!(r#""extension":[{}{{}}]"#, r#"{"":0},"#.repeat(500));
        let bundle = read(&vec![of_patient(&dense); 20].join(","));
        let with_extension = bundle.of("Patient").filter(|patient| patient.get("extension").is_some());
        // Each takes 370 KB of 2 MiB.
        assert_eq!((bundle.of("Patient").count(), with_extension.count()), (20, 5));
        let attachment = format!(r#"{{"data":"{}"}}"#, "A".repeat(2 * LONGEST_FIELD));
        let patients = vec![of_patient(r#""gender":"male""#); MOST_RESOURCES + 1].join(",");
        let bundle = read(&format!("{attachment},{patients}"));
        assert_eq!(bundle.0.len(), MOST_RESOURCES);
    }

    #[test]
    fn resources_that_are_not_needed_do_not_count_towards_the_limit() {
        let history = r#"{"resource":{"resourceType":"TaskHistory","id":"t"}}"#;
        let mut entries = vec![history.to_owned(); 2 * MOST_RESOURCES];
        entries.push(of_patient(r#""gender":"male""#));
        let bundle = read(&entries.join(","));
        assert_eq!((bundle.0.len(), bundle.first("Patient").is_some()), (1, true));
    }

    #[test]
    fn the_last_of_two_fields_with_one_name_counts() {
        let bundle = read(&of_patient(r#""gender":"male","gender":"female""#));
        assert_eq!(text(bundle.first("Patient").unwrap(), "/gender"), Some("female"));
    }

    #[test]
    fn a_reference_to_the_url_of_an_entry_finds_its_resource() {
        let url = "urn:uuid:5c6f9d2e-0000-4000-8000-000000000001";
        let entry = |url: &str, id: &str| {
            format!(r#"{{"fullUrl":"{url}","resource":{{"resourceType":"Patient","id":"{id}"}}}}"#)
        };
        let bundle = read(&format!("{},{}", entry("urn:uuid:other", "q"), entry(url, "p")));
        let found = |reference: &str| text(bundle.resolve(reference)?, "/id").map(str::to_owned);
        assert_eq!(found(url).as_deref(), Some("p"), "the id of the resource is another one");
        assert_eq!(found("Patient/q").as_deref(), Some("q"));
        assert_eq!(found("urn:uuid:5c6f9d2e-0000-4000-8000-000000000002"), None);
    }

    #[test]
    fn a_short_boundary_of_a_location_is_not_built_either() {
        let location = r#"{"resource":{"resourceType":"Location","id":"l","extension":[{"url":"x"}],"partOf":{"reference":"Location/0"}}}"#;
        let location = read(location).first("Location").unwrap().clone();
        assert_eq!(
            location,
            serde_json::json!({ "resourceType": "Location", "id": "l", "partOf": { "reference": "Location/0" } })
        );
    }
}
