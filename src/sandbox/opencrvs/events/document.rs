//! What a family declares, in the fields of this generation's forms: the same people as in the other generation.

use serde_json::{Map, Value, json};

use crate::domain::{Person, Role, View};
use crate::opencrvs::fhir;
use crate::sandbox::population::{AttemptFacts, Declaration, Kind};

/// The prefix of the person whom a correction corrects.
fn subject(kind: Kind) -> &'static str {
    match kind {
        Kind::Birth => "child",
        Kind::Death => "deceased",
        Kind::Marriage => "bride",
    }
}

/// What the registrar changes while registering: nothing, or the given name.
pub(super) fn correction(kind: Kind, name: Option<&str>) -> Map<String, Value> {
    let field = format!("{}.name", subject(kind));
    name.map(|name| Map::from_iter([(field, json!({ "firstname": name }))])).unwrap_or_default()
}

/// The declaration as the form has it.
pub(super) fn declaration(family: &Declaration) -> Map<String, Value> {
    let facts = AttemptFacts { last_modified: "2026-01-01T00:00:00.000Z".to_owned(), earlier: Vec::new() };
    let read = fhir::read(family.bundle(&facts).to_string().as_bytes());
    let view = read.map(|document| document.view).unwrap_or_default();
    let mut fields = Map::new();
    for (role, prefix) in [
        (Role::Child, "child"),
        (Role::Deceased, "deceased"),
        (Role::Mother, "mother"),
        (Role::Father, "father"),
        (Role::Spouse, "spouse"),
        (Role::Bride, "bride"),
        (Role::Groom, "groom"),
    ] {
        if let Some(person) = view.persons.get(&role) {
            fields.extend(person_fields(prefix, person));
        }
    }
    fields.extend(event_fields(family.kind, &view));
    fields.retain(|_, value| !value.is_null());
    fields
}

fn person_fields(prefix: &str, person: &Person) -> Vec<(String, Value)> {
    let name = person.name.as_ref().map(
        |name| json!({ "firstname": name.firstname, "middlename": name.middlename, "surname": name.surname }),
    );
    let id_type = person.nid.as_ref().map(|_| "NATIONAL_ID");
    [
        ("name", json!(name)),
        ("gender", json!(person.gender)),
        ("dob", json!(person.dob)),
        ("dobUnknown", json!(person.dob.is_none().then_some(true))),
        ("age", json!(person.age.map(|age| json!({ "age": age, "asOfDateRef": "eventDetails.date" })))),
        ("nationality", json!(person.nationality)),
        ("idType", json!(id_type)),
        ("nid", json!(person.nid)),
        ("detailsNotAvailable", json!(person.details_not_available.then_some(true))),
    ]
    .into_iter()
    .map(|(member, value)| (format!("{prefix}.{member}"), value))
    .collect()
}

fn event_fields(kind: Kind, view: &View) -> Vec<(String, Value)> {
    let mut fields = vec![("informant.relation".to_owned(), json!("MOTHER"))];
    if kind != Kind::Birth {
        fields.push(("eventDetails.date".to_owned(), json!(view.event_details.date)));
    }
    fields
}
