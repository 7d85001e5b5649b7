//! Builds the view of an event document: persons, event details, office, and other answers of the
//! form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::action::Action;
use super::person::{MEMBERS, persons};
use super::{LONGEST, place};
use crate::domain::{EventDetails, EventKind, Office, Role, View};
use crate::opencrvs::text::{identifying_value, is_within};

/// Maximum number of answers that are kept. Besides the fields of the persons, a form has some
/// dozens.
const MOST_ANSWERS: usize = 100;

/// Fields that have a place of their own in the view, so they are not kept as answers.
const PLACED: [&str; 8] = [
    "eventDetails.date",
    "eventDetails.placeOfDeath",
    "eventDetails.deathLocation",
    "eventDetails.deathLocationOther",
    "child.placeOfBirth",
    "child.birthLocation",
    "child.birthLocation.privateHome",
    "child.birthLocation.other",
];

/// The fields of a declaration, which are named `{prefix}.{member}`.
pub(super) struct Fields<'d>(&'d Map<String, Value>);

impl<'d> Fields<'d> {
    pub(super) fn value(&self, prefix: &str, member: &str) -> Option<&'d Value> {
        self.0.get(&format!("{prefix}.{member}"))
    }

    pub(super) fn text(&self, prefix: &str, member: &str) -> Option<&'d str> {
        self.value(prefix, member).and_then(text)
    }

    pub(super) fn kept(&self, prefix: &str, member: &str) -> Option<String> {
        self.text(prefix, member).map(str::to_owned)
    }

    /// Personal data, which counts as present however long it is, and whatever its type.
    pub(super) fn identifying(&self, prefix: &str, member: &str) -> Option<String> {
        self.value(prefix, member).and_then(identifying_value)
    }

    pub(super) fn truth(&self, prefix: &str, member: &str) -> bool {
        self.value(prefix, member).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// Returns the trimmed text, or `None` if it is empty, or longer than any reference or type.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty() && is_within(text, LONGEST))
}

pub(super) fn of(
    declaration: &Map<String, Value>,
    kind: &EventKind,
    pending: &Action<'_>,
    identifier_type: &str,
) -> View {
    let fields = Fields(declaration);
    let mut persons = persons(&fields, identifier_type);
    let date = match kind {
        EventKind::Birth => persons.get(&Role::Child).and_then(|child| child.dob.clone()),
        EventKind::Death | EventKind::Marriage | EventKind::Other(_) => {
            fields.identifying("eventDetails", "date")
        }
    };
    if *kind == EventKind::Death
        && let Some(deceased) = persons.get_mut(&Role::Deceased)
    {
        deceased.date_of_death.clone_from(&date);
    }
    View {
        persons,
        event_details: EventDetails { date, place: place::place_of_event(&fields, kind) },
        office: Office { id: office(pending), code: None, codes: Vec::new() },
        answers: answers(declaration),
    }
}

/// The id of the office, or `None` if it has control characters: it is stored in a column and may
/// be logged.
fn office(pending: &Action<'_>) -> Option<String> {
    let id = pending.created_at_location.as_deref().map(str::trim);
    let usable = |id: &&str| !id.is_empty() && is_within(id, LONGEST) && !id.chars().any(char::is_control);
    id.filter(usable).map(str::to_owned)
}

/// All other fields that hold a text, a number or a boolean. A country's own rules may need them.
fn answers(declaration: &Map<String, Value>) -> BTreeMap<String, Value> {
    declaration
        .iter()
        .filter(|(field, _)| is_within(field, LONGEST) && !is_placed(field))
        .filter(|(_, value)| match value {
            Value::String(_) => text(value).is_some(),
            Value::Bool(_) | Value::Number(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        })
        .map(|(field, value)| (field.clone(), value.clone()))
        .take(MOST_ANSWERS)
        .collect()
}

pub(super) fn is_placed(field: &str) -> bool {
    let of_person = |(prefix, member): (&str, &str)| {
        Role::NAMES.iter().any(|(_, known)| *known == prefix) && MEMBERS.contains(&member)
    };
    field != "child.reason" && (PLACED.contains(&field) || field.split_once('.').is_some_and(of_person))
}

#[cfg(test)]
mod tests;
