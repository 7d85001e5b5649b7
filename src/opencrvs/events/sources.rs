//! Moves the values of a country's own fields to the conventional fields, from which the other
//! modules read them.
//!
//! Invariant: a member gets a value from its sources only, even if the field that it has by
//! convention contains one.

use serde_json::{Map, Value};

use super::view::is_placed;
use crate::domain::{EventKind, FieldPath, Role, SourceMember, SourceRule, ViewMember};
use crate::opencrvs::reading::Reading;

type Declaration = Map<String, Value>;

/// The date of every event but a birth, by convention.
const DATE: &str = "eventDetails.date";

/// The conventional field of a member, or a part of this field's value.
struct Target {
    field: String,
    part: Option<&'static str>,
}

impl Target {
    fn of((role, member): ViewMember) -> Self {
        let (name, part) = match member {
            SourceMember::Name => ("name", None),
            SourceMember::Firstname => ("name", Some("firstname")),
            SourceMember::Middlename => ("name", Some("middlename")),
            SourceMember::Surname => ("name", Some("surname")),
            SourceMember::Dob => ("dob", None),
            SourceMember::Gender => ("gender", None),
            SourceMember::Nid => ("nid", None),
            SourceMember::IdType => ("idType", None),
            SourceMember::DobUnknown => ("dobUnknown", None),
            SourceMember::DetailsNotAvailable => ("detailsNotAvailable", None),
            SourceMember::DateOfDeath => return Self { field: DATE.to_owned(), part: None },
        };
        let prefix = Role::NAMES.into_iter().find(|(one, _)| *one == role).map_or("", |(_, prefix)| prefix);
        Self { field: format!("{prefix}.{name}"), part }
    }

    fn put(self, declaration: &mut Declaration, value: Option<Value>) {
        let Some(part) = self.part else {
            match value {
                Some(value) => drop(declaration.insert(self.field, value)),
                None => drop(declaration.remove(&self.field)),
            }
            return;
        };
        let whole = declaration.entry(self.field).or_insert_with(|| Map::new().into());
        if !whole.is_object() {
            *whole = Map::new().into();
        }
        if let Some(parts) = whole.as_object_mut() {
            match value {
                Some(value) => drop(parts.insert(part.to_owned(), value)),
                None => drop(parts.remove(part)),
            }
        }
    }
}

/// The declaration with its members in the conventional fields.
pub(super) fn conventional(declared: &Declaration, kind: &EventKind, reading: &Reading) -> Declaration {
    let date = reading.date_of(kind);
    let value = |sources: &[SourceRule]| {
        let found = sources.iter().find_map(|source| match source {
            SourceRule::Field(name) => by_name(declared, name),
            SourceRule::DateOfEvent => by_path(declared, date.as_ref()?),
            SourceRule::Patient | SourceRule::Identifier(_) => None,
        });
        found.cloned()
    };
    let mut result = declared.clone();
    let used = reading.events.names();
    let of_date = date.as_ref().map(|path| path.field.as_str());
    // A source is not kept as an answer of the form too, unless it is also a conventional field.
    result.retain(|field, _| {
        is_placed(field) || !(used.contains(field.as_str()) || of_date == Some(field.as_str()))
    });
    for (member, sources) in reading.events.rules().filter(|(member, _)| is_of(kind, member.0)) {
        Target::of(member).put(&mut result, value(sources));
    }
    if !matches!(kind, EventKind::Birth | EventKind::Death)
        && let Some(date) = value(&[SourceRule::DateOfEvent])
    {
        result.insert(DATE.to_owned(), date);
    }
    result
}

/// Whether an event of this kind may have this person: a death has no child.
fn is_of(kind: &EventKind, role: Role) -> bool {
    match role {
        Role::Child => *kind == EventKind::Birth,
        Role::Deceased => *kind == EventKind::Death,
        Role::Mother | Role::Father | Role::Spouse | Role::Informant | Role::Bride | Role::Groom => true,
    }
}

/// The value of a field, or of a part of it: the longest id of a field that begins the name counts.
fn by_name<'d>(declared: &'d Declaration, name: &str) -> Option<&'d Value> {
    if let Some(value) = declared.get(name) {
        return Some(value).filter(|value| is_given(value));
    }
    let mut dots = name.match_indices('.').map(|(at, _)| at).rev();
    let (field, parts) = dots.find_map(|at| {
        let (field, rest) = (name.get(..at)?, name.get(at + 1..)?);
        Some((declared.get(field)?, rest))
    })?;
    parts.split('.').try_fold(field, |value, part| value.get(part)).filter(|value| is_given(value))
}

fn by_path<'d>(declared: &'d Declaration, path: &FieldPath) -> Option<&'d Value> {
    let field = declared.get(&path.field)?;
    path.parts.iter().try_fold(field, |value, part| value.get(part)).filter(|value| is_given(value))
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests;
