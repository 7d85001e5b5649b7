//! Maps a view to the subject and parents of a request.
//!
//! Invariant: this is an allow-list. A field of the view that is not named here is never sent. A
//! field that is named here is sent whole: if it is not valid, the request is not made.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::date;
use super::language::three_letters;
use crate::domain::{NationalId, Person, Role, View, is_invisible};

/// The limits of the contract, in characters.
const NAME_MAX: usize = 200;
const CODE_MAX: usize = 64;
/// As many levels as the FHIR dialect reads, so that no country's lowest area is lost.
const PLACE_CODES_MAX: usize = 12;

#[derive(Serialize)]
pub(super) struct SubjectName {
    full: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    /// ISO 639-3.
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct BirthSubject {
    name: SubjectName,
    date_of_birth: String,
    sex: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    place_of_birth: Vec<String>,
}

/// Only the ID identifies the deceased reliably, so apart from the date of death no other detail is
/// sent.
#[derive(Serialize)]
pub(super) struct DeathSubject {
    national_id: String,
    date_of_death: String,
}

/// A parent, identified by the ID alone.
#[derive(Serialize)]
pub(super) struct Parent {
    role: &'static str,
    national_id: String,
}

/// The fields that are missing or invalid, under their names in the contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldFaults {
    pub missing: Vec<String>,
    pub invalid: Vec<String>,
    /// Dates of events that were yet to come when the registration was accepted.
    pub future: Vec<String>,
}

impl FieldFaults {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.invalid.is_empty() && self.future.is_empty()
    }

    /// Reads a required value and notes the field if it is absent or invalid.
    fn require<T>(
        &mut self,
        field: &str,
        value: Option<&str>,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else {
            self.missing.push(field.to_owned());
            return None;
        };
        self.read(field, value, read)
    }

    /// Reads the required day of an event that is over, and notes the field if it is absent,
    /// invalid or yet to come.
    fn require_day(&mut self, field: &str, value: Option<&str>, latest: Date) -> Option<String> {
        let day = self.require(field, value, date::day)?;
        let is_over = day.parse::<Date>().is_ok_and(|day| day <= latest);
        if !is_over {
            self.future.push(field.to_owned());
        }
        is_over.then_some(day)
    }

    /// Reads a value, and notes the field if the value is invalid.
    pub(super) fn read<T>(
        &mut self,
        field: &str,
        value: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let read = read(value);
        if read.is_none() {
            self.invalid.push(field.to_owned());
        }
        read
    }
}

/// Names each field for the person who has to correct it: `date of birth (subject.date_of_birth)`.
impl fmt::Display for FieldFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |fields: &[String]| {
            let names = fields.iter().map(|field| {
                let plain = field.rsplit_once('.').map_or(field.as_str(), |(_, last)| last).replace('_', " ");
                format!("{plain} ({field})")
            });
            names.collect::<Vec<_>>().join(", ")
        };
        let faults = [
            ("missing", &self.missing),
            ("invalid or too long", &self.invalid),
            ("in the future", &self.future),
        ];
        let said = faults.into_iter().filter(|(_, fields)| !fields.is_empty());
        let said: Vec<_> = said.map(|(fault, fields)| format!("{fault}: {}", named(fields))).collect();
        f.write_str(&said.join("; "))
    }
}

/// The latest day on which something can have happened that was accepted at this time: the day then
/// in the zone that is furthest ahead, UTC+14.
pub(super) fn latest_day(accepted_at: Timestamp) -> Date {
    let ahead = accepted_at.saturating_add(SignedDuration::from_hours(14)).unwrap_or(Timestamp::MAX);
    ahead.to_zoned(TimeZone::UTC).date()
}

pub(super) fn birth_subject(view: &View, latest: Date, faults: &mut FieldFaults) -> Option<BirthSubject> {
    let unknown = Person::default();
    let child = view.person(Role::Child).unwrap_or(&unknown);
    let name = subject_name(child);
    let full = name.as_ref().map(|name| name.full.as_str());
    let full = faults.require("subject.name", full, |full| {
        (is_within(full, NAME_MAX) && !full.chars().any(char::is_control)).then_some(())
    });
    let dob = faults.require_day("subject.date_of_birth", child.dob.as_deref(), latest);
    let sex = faults.require("subject.sex", child.gender.as_deref(), sex);
    let place = view.event_details.place.as_ref().map(|place| place.codes.as_slice()).unwrap_or_default();
    let place = faults.place("subject.place_of_birth", place);
    full?;
    Some(BirthSubject { name: name?, date_of_birth: dob?, sex: sex?, place_of_birth: place? })
}

pub(super) fn death_subject(
    national_id: &str,
    view: &View,
    latest: Date,
    faults: &mut FieldFaults,
) -> Option<DeathSubject> {
    let deceased = view.person(Role::Deceased);
    let day = deceased.and_then(|person| person.date_of_death.as_deref());
    let day = day.or(view.event_details.date.as_deref());
    let id = faults.require("subject.national_id", Some(national_id), typed_id);
    let day = faults.require_day("subject.date_of_death", day, latest);
    Some(DeathSubject { national_id: id?, date_of_death: day? })
}

/// The parents whose IDs are known.
pub(super) fn parents(view: &View, faults: &mut FieldFaults) -> Vec<Parent> {
    [(Role::Mother, "mother"), (Role::Father, "father")]
        .into_iter()
        .filter_map(|(role, name)| {
            // An ID that is neither a text nor a number was read as an empty text, which is
            // invalid.
            let national_id = view.person(role)?.nid.as_deref()?;
            let national_id = faults.read(&format!("parents.{name}.national_id"), national_id, typed_id)?;
            Some(Parent { role: name, national_id })
        })
        .collect()
}

impl FieldFaults {
    /// Reads the codes of a place, all or none: if one were left out, the others would name another
    /// place.
    fn place(&mut self, field: &str, codes: &[String]) -> Option<Vec<String>> {
        let is_valid = codes.len() <= PLACE_CODES_MAX && codes.iter().all(|code| is_code(code));
        if !is_valid {
            self.invalid.push(field.to_owned());
        }
        is_valid.then(|| codes.to_vec())
    }
}

fn subject_name(person: &Person) -> Option<SubjectName> {
    let name = person.name.as_ref()?;
    let given: Vec<String> = [&name.firstname, &name.middlename].into_iter().filter_map(text).collect();
    let given = (!given.is_empty()).then(|| given.join(" "));
    let family = text(&name.surname);
    let full = [given.as_deref(), family.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let lang = person.lang.as_deref().and_then(three_letters);
    (!full.is_empty()).then_some(SubjectName { full, given, family, lang })
}

/// A part of a name on one line, or `None` if nothing of it is visible.
fn text(part: &Option<String>) -> Option<String> {
    let part = part.as_deref().map(str::trim).filter(|part| !part.chars().all(is_invisible))?;
    Some(part.replace(|c: char| c.is_control() && c.is_whitespace(), " "))
}

fn is_within(text: &str, most: usize) -> bool {
    text.chars().count() <= most
}

pub(super) fn is_code(code: &str) -> bool {
    !code.is_empty() && is_within(code, CODE_MAX)
}

/// Reads an ID that somebody typed into the form, without invisible characters.
fn typed_id(id: &str) -> Option<String> {
    NationalId::from_form(id).ok().map(|id| id.expose().to_owned())
}

fn sex(text: &str) -> Option<&'static str> {
    ["male", "female", "other", "unknown"].into_iter().find(|known| text.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
