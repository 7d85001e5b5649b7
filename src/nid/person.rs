//! The mapping: what of a view an ID system may know, by the contract's names.
//!
//! Invariant: an allow-list. A field that is not named here does not leave.

use serde::Serialize;

use crate::domain::{Name, Person, Role, View};

const NAME_MAX: usize = 200;
const CODE_MAX: usize = 64;
const PLACES_MAX: usize = 6;

/// A name as the contract writes it.
#[derive(Serialize)]
pub(super) struct WireName {
    full: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
}

/// The subject of a birth.
#[derive(Serialize)]
pub(super) struct Born {
    name: WireName,
    date_of_birth: String,
    sex: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    place_of_birth: Vec<String>,
}

/// The subject of a death: the ID is the only strong key, so nothing else is sent.
#[derive(Serialize)]
pub(super) struct Died {
    national_id: String,
    date_of_death: String,
}

/// A parent, by the ID alone.
#[derive(Serialize)]
pub(super) struct Parent {
    role: &'static str,
    national_id: String,
}

/// What keeps a registration from being put to an ID system, by the contract's names of the fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) missing: Vec<String>,
    pub(super) invalid: Vec<String>,
}

impl Faults {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.invalid.is_empty()
    }

    /// Takes a value that has to be there and has to pass.
    fn need<T>(&mut self, field: &str, value: Option<&str>, read: impl Fn(&str) -> Option<T>) -> Option<T> {
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

pub(super) fn born(view: &View, faults: &mut Faults) -> Option<Born> {
    let nobody = Person::default();
    let child = view.person(Role::Child).unwrap_or(&nobody);
    let name = child.name.as_ref().and_then(wire_name);
    let full = faults.need("subject.name", name.as_ref().map(|name| name.full.as_str()), |full| {
        (full.chars().count() <= NAME_MAX).then_some(())
    });
    let dob = faults.need("subject.date_of_birth", child.dob.as_deref(), date);
    let sex = faults.need("subject.sex", child.gender.as_deref(), sex);
    let place = view.event_details.place.as_ref().map(|place| place.codes.as_slice()).unwrap_or_default();
    full?;
    Some(Born {
        name: name?,
        date_of_birth: dob?,
        sex: sex?,
        place_of_birth: place.iter().filter(|code| fits(code)).take(PLACES_MAX).cloned().collect(),
    })
}

pub(super) fn died(national_id: &str, view: &View, faults: &mut Faults) -> Option<Died> {
    let deceased = view.person(Role::Deceased);
    let day = deceased.and_then(|person| person.date_of_death.as_deref());
    let day = day.or(view.event_details.date.as_deref());
    let id = faults.need("subject.national_id", Some(national_id), |id| fits(id).then(|| id.to_owned()));
    let day = faults.need("subject.date_of_death", day, date);
    Some(Died { national_id: id?, date_of_death: day? })
}

pub(super) fn parents(view: &View) -> Vec<Parent> {
    [(Role::Mother, "mother"), (Role::Father, "father")]
        .into_iter()
        .filter_map(|(role, name)| {
            let national_id = view.person(role)?.nid.clone().filter(|id| fits(id))?;
            Some(Parent { role: name, national_id })
        })
        .collect()
}

fn wire_name(name: &Name) -> Option<WireName> {
    let given: Vec<&str> =
        [&name.firstname, &name.middlename].into_iter().filter_map(|part| text(part)).collect();
    let given = (!given.is_empty()).then(|| given.join(" "));
    let family = text(&name.surname).map(str::to_owned);
    let full = [given.as_deref(), family.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    (!full.is_empty()).then_some(WireName { full, given, family })
}

fn text(part: &Option<String>) -> Option<&str> {
    part.as_deref().map(str::trim).filter(|part| !part.is_empty())
}

fn fits(code: &str) -> bool {
    !code.is_empty() && code.chars().count() <= CODE_MAX
}

fn date(text: &str) -> Option<String> {
    let day = text.get(..10)?;
    day.parse::<jiff::civil::Date>().ok().map(|day| day.to_string())
}

fn sex(text: &str) -> Option<&'static str> {
    ["male", "female", "other", "unknown"].into_iter().find(|known| text.eq_ignore_ascii_case(known))
}
