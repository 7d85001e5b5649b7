//! Maps a view to the subject and parents of a request.
//!
//! Invariant: this is an allow-list. A field of the view that is not named here does not leave the
//! bridge.

use serde::Serialize;

use crate::domain::{Name, Person, Role, View};

const NAME_MAX: usize = 200;
const CODE_MAX: usize = 64;
const PLACE_CODES_MAX: usize = 6;

#[derive(Serialize)]
pub(super) struct SubjectName {
    full: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
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
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FieldFaults {
    pub(super) missing: Vec<String>,
    pub(super) invalid: Vec<String>,
}

impl FieldFaults {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.invalid.is_empty()
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
        let read = read(value);
        if read.is_none() {
            self.invalid.push(field.to_owned());
        }
        read
    }
}

pub(super) fn birth_subject(view: &View, faults: &mut FieldFaults) -> Option<BirthSubject> {
    let unknown = Person::default();
    let child = view.person(Role::Child).unwrap_or(&unknown);
    let name = child.name.as_ref().and_then(subject_name);
    let full = faults.require("subject.name", name.as_ref().map(|name| name.full.as_str()), |full| {
        (full.chars().count() <= NAME_MAX).then_some(())
    });
    let dob = faults.require("subject.date_of_birth", child.dob.as_deref(), date);
    let sex = faults.require("subject.sex", child.gender.as_deref(), sex);
    let place = view.event_details.place.as_ref().map(|place| place.codes.as_slice()).unwrap_or_default();
    full?;
    Some(BirthSubject {
        name: name?,
        date_of_birth: dob?,
        sex: sex?,
        place_of_birth: place.iter().filter(|code| is_code(code)).take(PLACE_CODES_MAX).cloned().collect(),
    })
}

pub(super) fn death_subject(
    national_id: &str,
    view: &View,
    faults: &mut FieldFaults,
) -> Option<DeathSubject> {
    let deceased = view.person(Role::Deceased);
    let day = deceased.and_then(|person| person.date_of_death.as_deref());
    let day = day.or(view.event_details.date.as_deref());
    let id =
        faults.require("subject.national_id", Some(national_id), |id| is_code(id).then(|| id.to_owned()));
    let day = faults.require("subject.date_of_death", day, date);
    Some(DeathSubject { national_id: id?, date_of_death: day? })
}

pub(super) fn parents(view: &View) -> Vec<Parent> {
    [(Role::Mother, "mother"), (Role::Father, "father")]
        .into_iter()
        .filter_map(|(role, name)| {
            let national_id = view.person(role)?.nid.clone().filter(|id| is_code(id))?;
            Some(Parent { role: name, national_id })
        })
        .collect()
}

fn subject_name(name: &Name) -> Option<SubjectName> {
    let given: Vec<&str> =
        [&name.firstname, &name.middlename].into_iter().filter_map(|part| text(part)).collect();
    let given = (!given.is_empty()).then(|| given.join(" "));
    let family = text(&name.surname).map(str::to_owned);
    let full = [given.as_deref(), family.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    (!full.is_empty()).then_some(SubjectName { full, given, family })
}

fn text(part: &Option<String>) -> Option<&str> {
    part.as_deref().map(str::trim).filter(|part| !part.is_empty())
}

fn is_code(code: &str) -> bool {
    !code.is_empty() && code.chars().count() <= CODE_MAX
}

fn date(text: &str) -> Option<String> {
    let day = text.get(..10)?;
    day.parse::<jiff::civil::Date>().ok().map(|day| day.to_string())
}

fn sex(text: &str) -> Option<&'static str> {
    ["male", "female", "other", "unknown"].into_iter().find(|known| text.eq_ignore_ascii_case(known))
}
