//! Builds the view of a bundle: persons, event details, office, and answers of the questionnaire.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bundle::Bundle;
use super::person::person;
use super::{codes, extension, identifying, place, sources, text};
use crate::domain::{EventDetails, EventKind, FieldSources, Office, Person, Role, View};
use crate::opencrvs::reading::Reading;
use crate::opencrvs::text::name_part;

/// Maximum number of answers that are kept. A country's questionnaire has some dozens.
const MOST_ANSWERS: usize = 100;
/// Limit of an answer in characters, and of the name of its field in bytes.
const LONGEST_ANSWER: usize = 256;

const SECTIONS: [(Role, &str); 7] = [
    (Role::Child, "child-details"),
    (Role::Deceased, "deceased-details"),
    (Role::Mother, "mother-details"),
    (Role::Father, "father-details"),
    (Role::Spouse, "spouse-details"),
    (Role::Bride, "bride-details"),
    (Role::Groom, "groom-details"),
];

pub(super) fn of(
    bundle: &Bundle,
    composition: &Value,
    task: &Value,
    kind: &EventKind,
    reading: &Reading,
) -> View {
    let identifier_type = &reading.identifier_type;
    let mut persons: BTreeMap<Role, Person> = SECTIONS
        .into_iter()
        .filter_map(|(role, code)| {
            Some((role, person(bundle, bundle.section(composition, code)?, identifier_type)))
        })
        .collect();
    if let Some(informant) = informant(bundle, composition, identifier_type) {
        persons.insert(Role::Informant, informant);
    }
    let event_details = EventDetails { date: None, place: place_of_event(bundle, composition) };
    let office = office(bundle, task);
    let mut view = View { persons, event_details, office, answers: answers(bundle, &reading.fhir) };
    sources::apply(&mut view, reading);
    view.event_details.date = date(&view.persons, bundle, composition, kind);
    view
}

fn informant(bundle: &Bundle, composition: &Value, identifier_type: &str) -> Option<Person> {
    let related = bundle.section(composition, "informant-details")?;
    let patient = text(related, "/patient/reference").and_then(|reference| bundle.resolve(reference));
    let mut informant = patient.map(|patient| person(bundle, patient, identifier_type)).unwrap_or_default();
    informant.relation = related.get("relationship").and_then(|kind| codes(kind).next()).map(str::to_owned);
    Some(informant)
}

fn date(
    persons: &BTreeMap<Role, Person>,
    bundle: &Bundle,
    composition: &Value,
    kind: &EventKind,
) -> Option<String> {
    match kind {
        EventKind::Birth => persons.get(&Role::Child)?.dob.clone(),
        EventKind::Death => persons.get(&Role::Deceased)?.date_of_death.clone(),
        EventKind::Marriage | EventKind::Other(_) => ["bride-details", "groom-details"]
            .into_iter()
            .filter_map(|code| bundle.section(composition, code))
            .find_map(|patient| identifying(extension(patient, "date-of-marriage")?, "/valueDateTime")),
    }
}

fn place_of_event(bundle: &Bundle, composition: &Value) -> Option<crate::domain::Place> {
    ["birth-encounter", "death-encounter", "marriage-encounter"].into_iter().find_map(|code| {
        let encounter = bundle.section(composition, code)?;
        place::place(bundle, text(encounter, "/location/0/location/reference")?)
    })
}

fn office(bundle: &Bundle, task: &Value) -> Office {
    let reference =
        extension(task, "regLastOffice").and_then(|office| text(office, "/valueReference/reference"));
    let place = reference.and_then(|reference| place::place(bundle, reference)).unwrap_or_default();
    Office { id: place.id, code: place.code, codes: place.codes }
}

/// The first answers, and wherever they are those that a member of the view is read from.
fn answers(bundle: &Bundle, sources: &FieldSources) -> BTreeMap<String, Value> {
    let names = sources.names();
    let all = || {
        let lists = bundle.of("QuestionnaireResponse").filter_map(|one| one.get("item")?.as_array());
        let answers = lists.flatten().filter_map(|item| Some((text(item, "/text")?, answer(item)?)));
        answers.filter(|(field, _)| field.len() <= LONGEST_ANSWER)
    };
    let named = all().filter(|(field, _)| names.contains(field));
    all().take(MOST_ANSWERS).chain(named).map(|(field, answer)| (field.to_owned(), answer)).collect()
}

fn answer(item: &Value) -> Option<Value> {
    let given = item.pointer("/answer/0")?;
    let value = ["valueString", "valueBoolean", "valueInteger", "valueDecimal", "valueDate", "valueDateTime"]
        .into_iter()
        .find_map(|name| given.get(name))?;
    match value {
        // An answer may be a part of a name, and a name that is too long is refused, not dropped.
        Value::String(text) => name_part([text.as_str()]).map(Value::from),
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
