//! Writes the answer into the bundle: the registration number into Task and Patient, and the issued
//! ID into Patient.
//!
//! The result is for a country's own handler that forwards registrations to us; core ignores the
//! body of a 2xx response.
//!
//! Source: the record that `confirmRegistration` saves (`workflow` of opencrvs-core,
//! v1.7.0–v1.9.15).
//!
//! Invariant: every part that is not amended is returned unchanged, byte for byte.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::bundle::Bundle;
use super::text;
use crate::domain::{EventKind, NationalId, RegistrationNumber};

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
    entry: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow)]
    resource: &'a RawValue,
}

#[derive(Deserialize)]
struct ResourceHead {
    #[serde(rename = "resourceType")]
    kind: String,
    #[serde(default)]
    id: Option<String>,
}

/// Returns the bundle with the amendment, or `None` if the body is not the bundle of a record.
pub fn amend(body: &[u8], amendment: &Amendment) -> Option<Vec<u8>> {
    let document = std::str::from_utf8(body).ok()?;
    let subjects = subjects(body, &amendment.kind)?;
    let bundle: RawBundle<'_> = serde_json::from_str(document).ok()?;
    let mut amended = String::with_capacity(document.len() + 1024);
    let (mut copied, mut task) = (0, false);
    for entry in bundle.entry {
        let Ok(entry) = serde_json::from_str::<RawEntry<'_>>(entry.get()) else { continue };
        let raw = entry.resource.get();
        let Ok(head) = serde_json::from_str::<ResourceHead>(raw) else { continue };
        let is_first_task = head.kind == "Task" && !task;
        let is_subject = head.kind == "Patient" && head.id.is_some_and(|id| subjects.contains(&id));
        if !(is_first_task || is_subject) || raw.len() > LONGEST {
            continue;
        }
        let mut resource: Value = serde_json::from_str(raw).ok()?;
        if is_first_task {
            task = true;
            number_task(&mut resource, amendment);
        } else {
            number_patient(&mut resource, amendment);
        }
        // The raw text is a slice of the document, so its offset is the difference of the
        // addresses.
        let begins = (raw.as_ptr() as usize).checked_sub(document.as_ptr() as usize)?;
        amended.push_str(document.get(copied..begins)?);
        amended.push_str(&resource.to_string());
        copied = begins + raw.len();
    }
    amended.push_str(document.get(copied..)?);
    task.then(|| amended.into_bytes())
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
