//! Reads a `Patient` of the bundle as a person of the view.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bundle::Bundle;
use super::{LONGEST, codes, extension, identifying, place, text};
use crate::domain::{Address, Name, Person};
use crate::opencrvs::text::{is_within, name_part};

/// Maximum number of elements that are read from a list.
const MOST: usize = 32;
/// Maximum number of names of a person. A country writes one in each of its languages.
const MOST_NAMES: usize = 8;
/// Maximum number of identifiers of a person.
const MOST_IDENTIFIERS: usize = 16;

pub(super) fn person(bundle: &Bundle, patient: &Value, identifier_type: &str) -> Person {
    let names = names(patient);
    let reason = extension(patient, "reason-not-applying").and_then(|reason| kept(reason, "/valueString"));
    // OpenCRVS keeps the reason when the person's details are added later, so `active` decides if
    // the patient has it.
    let active = patient.get("active").and_then(Value::as_bool).unwrap_or(reason.is_none());
    Person {
        name: most_complete(&names).map(|(_, name)| name.clone()),
        lang: most_complete(&names).and_then(|(language, _)| language.clone()),
        names: by_language(names),
        dob: identifying(patient, "/birthDate"),
        age: extension(patient, "age-of-individual-in-years").and_then(age),
        date_of_death: identifying(patient, "/deceasedDateTime"),
        gender: identifying(patient, "/gender"),
        nid: identifier(patient, identifier_type),
        identifiers: identifiers(patient),
        nationality: nationality(patient),
        address: address(bundle, patient),
        relation: None,
        details_not_available: !active,
        reason,
    }
}

fn kept(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer).map(str::to_owned)
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().take(MOST)
}

/// Names with their language codes, in the order of the document. OpenCRVS puts a language code
/// into `use`.
fn names(patient: &Value) -> Vec<(Option<String>, Name)> {
    list(patient, "name")
        .take(MOST_NAMES)
        .filter_map(|name| {
            let mut given = texts(name, "given");
            let read = Name {
                firstname: name_part(given.next()),
                middlename: name_part(given),
                // A text since 1.7; a list in older versions and in the records that they wrote.
                surname: name_part(texts(name, "family")),
            };
            (read != Name::default()).then_some((kept(name, "/use"), read))
        })
        .collect()
}

/// The texts of a member that is a list of texts or one text.
/// All of them count: a name is cut by its length and then refused, never by its number of parts.
fn texts<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v str> {
    let one = value.get(name).and_then(Value::as_str);
    let many = value.get(name).and_then(Value::as_array).into_iter().flatten();
    one.into_iter().chain(many.filter_map(Value::as_str))
}

/// The name with the most parts; of several, the first in the document.
fn most_complete(names: &[(Option<String>, Name)]) -> Option<&(Option<String>, Name)> {
    let parts =
        |name: &Name| [&name.firstname, &name.middlename, &name.surname].into_iter().flatten().count();
    // `max_by_key` takes the last of equals.
    names.iter().rev().max_by_key(|(_, name)| parts(name))
}

fn by_language(names: Vec<(Option<String>, Name)>) -> BTreeMap<String, Name> {
    names.into_iter().map(|(language, name)| (language.unwrap_or_else(|| "en".to_owned()), name)).collect()
}

/// The identifier of this type: the last one, as in [`identifiers`]. It identifies the person, so
/// it is found among any number of others.
fn identifier(patient: &Value, identifier_type: &str) -> Option<String> {
    let all = patient.get("identifier").and_then(Value::as_array).into_iter().flatten();
    let of_type = all.filter(|id| {
        id.get("type").is_some_and(|concept| codes(concept).any(|code| code == identifier_type))
    });
    of_type.filter_map(|id| identifying(id, "/value")).next_back()
}

fn identifiers(patient: &Value) -> BTreeMap<String, String> {
    list(patient, "identifier")
        .take(MOST_IDENTIFIERS)
        .filter_map(|id| Some((codes(id.get("type")?).next()?.to_owned(), identifying(id, "/value")?)))
        .collect()
}

fn age(extension: &Value) -> Option<u16> {
    ["valueInteger", "valueString", "valueDecimal"].into_iter().find_map(|name| {
        let value = extension.get(name)?;
        let number = value.as_u64().and_then(|age| u16::try_from(age).ok());
        number.or_else(|| value.as_str()?.trim().parse().ok())
    })
}

fn nationality(patient: &Value) -> Option<String> {
    let code = extension(extension(patient, "patient-nationality")?, "code")?;
    codes(code.get("valueCodeableConcept")?).next().map(str::to_owned)
}

fn address(bundle: &Bundle, patient: &Value) -> Option<Address> {
    let all: Vec<&Value> = list(patient, "address").collect();
    let primary = all.iter().find(|address| text(address, "/type") == Some("PRIMARY_ADDRESS"));
    let address = primary.or(all.first())?;
    let (state, district) = (kept(address, "/state"), kept(address, "/district"));
    let lowest = extension(address, "part-of").and_then(|part| text(part, "/valueReference/reference"));
    let lowest = lowest.map(str::to_owned).or_else(|| district.clone().or_else(|| state.clone()));
    let mut lines: Vec<String> = list(address, "line")
        .map(|line| line.as_str().map(str::trim).unwrap_or_default().to_owned())
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.iter_mut().filter(|line| !is_within(line, LONGEST)).for_each(String::clear);
    Some(Address {
        country: kept(address, "/country"),
        state,
        district,
        city: kept(address, "/city"),
        postal_code: kept(address, "/postalCode"),
        lines,
        codes: lowest.map(|reference| place::chain(bundle, &reference)).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
