//! Writes the answer into the bundle: the registration number into Task and Patient, and the issued
//! ID into Patient.
//!
//! The result is for a country's own handler that forwards registrations to us; core ignores the
//! body of a 2xx response.
//!
//! Source: the record that `confirmRegistration` saves (`workflow` of opencrvs-core,
//! v1.7.0–v1.9.15).
//!
//! Invariant: every part that is not amended is returned unchanged, byte for byte; what is built
//! stays within the [`Budget`] of the body.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::bundle::Bundle;
use super::text;
use crate::domain::{Budget, EventKind, NationalId, RegistrationNumber, Unbuilt};
use crate::opencrvs::raw::each_element;

/// Limit of a resource that is amended, in bytes. A longer resource is returned unchanged.
const LONGEST: usize = 4 * 1024 * 1024;

/// What is written into a bundle.
#[derive(Debug)]
pub struct Amendment {
    pub kind: EventKind,
    pub number: RegistrationNumber,
    /// The identifier type and the issued ID. Written only for a birth.
    pub identifier: Option<(String, NationalId)>,
}

#[derive(Deserialize)]
struct RawBundle<'a> {
    #[serde(borrow)]
    entry: &'a RawValue,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow)]
    resource: &'a RawValue,
}

#[derive(Deserialize)]
struct ResourceHead<'a> {
    #[serde(borrow, rename = "resourceType")]
    kind: &'a RawValue,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// Returns the bundle with the amendment, or `None` if the body is not the bundle of a record.
pub fn amend(body: &[u8], amendment: &Amendment) -> Option<Vec<u8>> {
    let document = std::str::from_utf8(body).ok()?;
    let subjects = subjects(body, &amendment.kind)?;
    let bundle: RawBundle<'_> = serde_json::from_str(document).ok()?;
    let amended = String::with_capacity(document.len() + 1024);
    let mut amending =
        Amending { document, amendment, subjects, amended, copied: 0, task: false, is_bundle: true };
    each_element(bundle.entry, |entry| {
        amending.is_bundle = amending.is_bundle && amending.entry(entry).is_some();
    })?;
    amending.finish()
}

struct Amending<'a> {
    document: &'a str,
    amendment: &'a Amendment,
    /// Ids of the patients that the event is about.
    subjects: Vec<String>,
    amended: String,
    /// How much of the document was copied, in bytes.
    copied: usize,
    /// Whether a Task was amended.
    task: bool,
    is_bundle: bool,
}

impl Amending<'_> {
    /// Copies the document up to this entry and amends its resource, if that is to be amended.
    /// `None` if it cannot be read.
    fn entry(&mut self, entry: &RawValue) -> Option<()> {
        let Ok(entry) = serde_json::from_str::<RawEntry<'_>>(entry.get()) else { return Some(()) };
        let raw = entry.resource.get();
        let Some(is_task) = self.is_wanted(raw) else { return Some(()) };
        let mut resource = match Budget::of(raw.len()).build(raw) {
            Ok(resource) => resource,
            Err(Unbuilt::TooCostly) => return Some(()),
            Err(Unbuilt::NotJson) => return None,
        };
        if is_task {
            self.task = true;
            number_task(&mut resource, self.amendment);
        } else {
            number_patient(&mut resource, self.amendment);
        }
        // The raw text is a slice of the document, so its offset is the difference of the
        // addresses.
        let begins = (raw.as_ptr() as usize).checked_sub(self.document.as_ptr() as usize)?;
        self.amended.push_str(self.document.get(self.copied..begins)?);
        write!(self.amended, "{resource}").ok()?;
        self.copied = begins + raw.len();
        Some(())
    }

    /// Whether a resource is the first Task (true) or a patient that the event is about (false).
    /// `None` if it is neither, or longer than [`LONGEST`].
    fn is_wanted(&self, raw: &str) -> Option<bool> {
        let head: ResourceHead<'_> = serde_json::from_str(raw).ok()?;
        let text = |raw: &RawValue| Some(Budget::of(0).build_short(raw.get()).ok()?.as_str()?.to_owned());
        let kind = text(head.kind)?;
        let id = match head.id {
            Some(id) => Some(text(id)?),
            None => None,
        };
        let is_first_task = kind == "Task" && !self.task;
        let is_subject = kind == "Patient" && id.is_some_and(|id| self.subjects.contains(&id));
        ((is_first_task || is_subject) && raw.len() <= LONGEST).then_some(is_first_task)
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        self.amended.push_str(self.document.get(self.copied..)?);
        (self.is_bundle && self.task).then(|| self.amended.into_bytes())
    }
}

/// Ids of the patients that the event is about.
fn subjects(body: &[u8], kind: &EventKind) -> Option<Vec<String>> {
    let bundle = Bundle::read(body).ok()?;
    let composition = bundle.first("Composition")?;
    let sections: &[&str] = match kind {
        EventKind::Birth => &["child-details"],
        EventKind::Death => &["deceased-details"],
        EventKind::Marriage => &["bride-details", "groom-details"],
        EventKind::Other(_) => &[],
    };
    let ids = sections.iter().filter_map(|code| text(bundle.section(composition, code)?, "/id"));
    Some(ids.map(str::to_owned).collect())
}

fn number_task(task: &mut Value, amendment: &Amendment) {
    let system = format!("http://opencrvs.org/specs/id/{}-registration-number", amendment.kind.as_str());
    let identifier = json!({ "system": system, "value": amendment.number.as_str() });
    put(task, identifier, |known| known.get("system") == Some(&Value::from(system.as_str())));
}

fn number_patient(patient: &mut Value, amendment: &Amendment) {
    let kind = amendment.kind.as_str().to_uppercase();
    let number = (format!("{kind}_REGISTRATION_NUMBER"), amendment.number.as_str());
    let id = match &amendment.identifier {
        Some((kind, id)) if amendment.kind == EventKind::Birth => Some((kind.clone(), id.expose())),
        Some(_) | None => None,
    };
    for (code, value) in std::iter::once(number).chain(id) {
        let coding = json!([{ "system": "http://opencrvs.org/specs/identifier-type", "code": code }]);
        let identifier = json!({ "type": { "coding": coding }, "value": value });
        put(patient, identifier, |known| {
            known.get("type").is_some_and(|concept| super::codes(concept).any(|one| one == code))
        });
    }
}

/// Replaces the first identifier that `same` accepts, or appends the new one.
fn put(resource: &mut Value, identifier: Value, same: impl Fn(&Value) -> bool) {
    let Some(members) = resource.as_object_mut() else { return };
    let known = members.entry("identifier").or_insert_with(|| json!([]));
    if !known.is_array() {
        *known = json!([]);
    }
    let Some(known) = known.as_array_mut() else { return };
    match known.iter_mut().find(|one| same(one)) {
        Some(one) => *one = identifier,
        None => known.push(identifier),
    }
}

#[cfg(test)]
mod tests;
