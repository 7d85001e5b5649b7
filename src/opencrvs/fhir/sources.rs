//! Reads the members of a view that a country keeps outside their FHIR fields: under another type
//! of identifier, or in a field of the questionnaire.
//!
//! Invariant: a member gets a value from its sources only.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::{Person, SourceMember, SourceRule, View};
use crate::opencrvs::reading::Reading;
use crate::opencrvs::text::identifying_value;

/// Reads the members that have other sources than [`SourceRule::Patient`].
pub(super) fn apply(view: &mut View, reading: &Reading) {
    let View { persons, answers, .. } = view;
    for ((role, member), sources) in reading.fhir.rules() {
        if sources == [SourceRule::Patient].as_slice() {
            continue;
        }
        let value = value(sources, member, persons.get(&role), answers);
        match persons.get_mut(&role) {
            Some(person) => put(person, member, value),
            None if value.is_some() => put(persons.entry(role).or_default(), member, value),
            None => {}
        }
    }
}

fn value(
    sources: &[SourceRule],
    member: SourceMember,
    person: Option<&Person>,
    answers: &BTreeMap<String, Value>,
) -> Option<String> {
    sources.iter().find_map(|source| match source {
        SourceRule::Patient => current(person?, member),
        SourceRule::Identifier(kind) => person?.identifiers.get(kind).cloned(),
        SourceRule::Field(name) => {
            let answer = answers.get(name)?;
            match answer.as_str().map(str::trim) {
                // A name may be longer than any other text.
                Some(text) => (!text.is_empty()).then(|| text.to_owned()),
                None => identifying_value(answer),
            }
        }
        SourceRule::DateOfEvent => None,
    })
}

fn current(person: &Person, member: SourceMember) -> Option<String> {
    let name = person.name.as_ref();
    match member {
        SourceMember::Firstname => name?.firstname.clone(),
        SourceMember::Middlename => name?.middlename.clone(),
        SourceMember::Surname => name?.surname.clone(),
        SourceMember::Dob => person.dob.clone(),
        SourceMember::Gender => person.gender.clone(),
        SourceMember::Nid => person.nid.clone(),
        SourceMember::DateOfDeath => person.date_of_death.clone(),
        SourceMember::Name
        | SourceMember::IdType
        | SourceMember::DobUnknown
        | SourceMember::DetailsNotAvailable => None,
    }
}

fn put(person: &mut Person, member: SourceMember, value: Option<String>) {
    match member {
        SourceMember::Firstname => person.name.get_or_insert_default().firstname = value,
        SourceMember::Middlename => person.name.get_or_insert_default().middlename = value,
        SourceMember::Surname => person.name.get_or_insert_default().surname = value,
        SourceMember::Dob => person.dob = value,
        SourceMember::Gender => person.gender = value,
        SourceMember::Nid => person.nid = value,
        SourceMember::DateOfDeath => person.date_of_death = value,
        // No setting of this generation names these.
        SourceMember::Name
        | SourceMember::IdType
        | SourceMember::DobUnknown
        | SourceMember::DetailsNotAvailable => {}
    }
}

#[cfg(test)]
mod tests;
