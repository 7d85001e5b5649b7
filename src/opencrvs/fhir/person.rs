//! Reads a `Patient` of the bundle as a person of the view.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bundle::Bundle;
use super::{LONGEST, codes, extension, place, text};
use crate::domain::{Address, Name, Person};

/// Limit of the elements that are read from a list.
const MOST: usize = 32;

pub(super) fn person(bundle: &Bundle, patient: &Value, identifier_type: &str) -> Person {
    let names = names(patient);
    let identifiers = identifiers(patient);
    let reason = extension(patient, "reason-not-applying").and_then(|reason| kept(reason, "/valueString"));
    // OpenCRVS keeps the reason when the person's details are added later, so `active` decides if
    // the patient has it.
    let active = patient.get("active").and_then(Value::as_bool).unwrap_or(reason.is_none());
    Person {
        name: names.first().map(|(_, name)| name.clone()),
        names: names.into_iter().collect(),
        dob: kept(patient, "/birthDate"),
        age: extension(patient, "age-of-individual-in-years").and_then(age),
        date_of_death: kept(patient, "/deceasedDateTime"),
        gender: kept(patient, "/gender"),
        nid: identifiers.get(identifier_type).cloned(),
        identifiers,
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

/// Names by language, in the order of the document. OpenCRVS puts a language code into `use`.
fn names(patient: &Value) -> Vec<(String, Name)> {
    list(patient, "name")
        .filter_map(|name| {
            let read = Name {
                firstname: kept(name, "/given/0"),
                middlename: kept(name, "/given/1"),
                // A text since 1.7; a list in older versions and in the records that they wrote.
                surname: kept(name, "/family").or_else(|| kept(name, "/family/0")),
            };
            let language = text(name, "/use").unwrap_or("en").to_owned();
            (read != Name::default()).then_some((language, read))
        })
        .collect()
}

fn identifiers(patient: &Value) -> BTreeMap<String, String> {
    list(patient, "identifier")
        .filter_map(|id| Some((codes(id.get("type")?).next()?.to_owned(), kept(id, "/value")?)))
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
    lines.iter_mut().filter(|line| line.len() > LONGEST).for_each(String::clear);
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
