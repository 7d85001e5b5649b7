//! Which fields of the declaration an answer writes, and with which values (events generation).
//!
//! In this generation a record has no identifiers, so the answer goes into fields of the country's
//! own forms. An operator writes the mapping as one text, with a list of fields for each kind of
//! event:
//!
//! ```text
//! birth: child.nid = id, child.idType = "NATIONAL_ID"; death: deceased.nid = null when recorded
//! ```
//!
//! - A list begins with its kind of event. `*` is for each kind without a list of its own.
//! - A value is `id` (the issued ID), `number` (the registration number), a JSON text, number,
//!   `true` or `false`, or `null`, which erases the field.
//! - `when issued`, `when recorded` or `when answered` (issued or recorded) follows a field and
//!   says for which answers it is written. The default is `when issued` in a list that writes `id`,
//!   and `when answered` in any other list.
//!
//! Invariant: an ID is always written as a text, and only when the ID system issued it.

mod parse;
mod reader;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::ids::RegistrationNumber;
use super::registration::EventKind;

pub use reader::{MappingFault, UnusableMapping};
pub use sources::{
    CountryForms, FieldPath, FieldSources, MissingSource, SourceMember, SourceRule, ViewMember,
};

/// The fields that an answer writes, for each kind of event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMapping(Vec<FieldList>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldList {
    /// `None` is `*`: each kind without a list of its own.
    kind: Option<EventKind>,
    fields: Vec<MappedField>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MappedField {
    name: String,
    value: FieldValue,
    when: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FieldValue {
    Id,
    Number,
    /// A text, a number, `true`, `false` or `null`.
    Literal(Value),
}

/// The answers for which a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Issued,
    Recorded,
    /// Issued or recorded.
    Answered,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Recorded => "recorded",
            Self::Answered => "answered",
        }
    }

    fn holds(self, answer: &Answer) -> bool {
        match answer {
            Answer::Issued(_) => matches!(self, Self::Issued | Self::Answered),
            Answer::Recorded => matches!(self, Self::Recorded | Self::Answered),
            Answer::Rejected(_) | Answer::NotAsked => false,
        }
    }

    fn overlaps(self, other: Self) -> bool {
        self == other || self == Self::Answered || other == Self::Answered
    }
}

/// The names of the fields that the country's forms define, by kind of event.
pub type Forms = BTreeMap<String, BTreeSet<String>>;

impl FieldMapping {
    /// # Errors
    /// [`UnusableMapping`] says what is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Self, UnusableMapping> {
        parse::mapping(text).map(Self)
    }

    /// Writes the issued ID into this field, for every kind of event.
    pub fn identifier(field: String) -> Self {
        let field = MappedField { name: field, value: FieldValue::Id, when: Condition::Issued };
        Self(vec![FieldList { kind: None, fields: vec![field] }])
    }

    /// The names of all fields of all lists.
    pub fn all_names(&self) -> BTreeSet<&str> {
        self.0.iter().flat_map(|list| &list.fields).map(|field| field.name.as_str()).collect()
    }

    /// The names of the fields that this answer writes.
    pub fn names(&self, kind: &EventKind, answer: &Answer) -> impl Iterator<Item = &str> {
        self.written(kind, answer).map(|field| field.name.as_str())
    }

    /// The fields that this answer writes, with their values.
    pub fn evaluate(&self, kind: &EventKind, answer: &Answer, number: &RegistrationNumber) -> WrittenFields {
        let pairs = self.written(kind, answer).filter_map(|field| {
            let value = match (&field.value, answer) {
                (FieldValue::Id, Answer::Issued(id)) => Value::from(id.expose()),
                (FieldValue::Id, Answer::Recorded | Answer::Rejected(_) | Answer::NotAsked) => return None,
                (FieldValue::Number, _) => Value::from(number.as_str()),
                (FieldValue::Literal(value), _) => value.clone(),
            };
            Some((field.name.clone(), value))
        });
        WrittenFields(pairs.collect())
    }

    /// The mapped fields that the forms do not define. A field of a named kind has to be in the
    /// form of that kind; a field of `*` in the form of at least one kind without a list of its
    /// own.
    pub fn missing(&self, forms: &Forms) -> Vec<MissingField> {
        let mut missing = Vec::new();
        for FieldList { kind, fields } in &self.0 {
            let defines = |form: &str, field: &str| forms.get(form).is_some_and(|form| form.contains(field));
            let is_defined = |field: &str| match kind {
                Some(kind) => defines(kind.as_str(), field),
                None => forms.keys().any(|form| self.named(form).is_none() && defines(form, field)),
            };
            let names: BTreeSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            missing.extend(names.into_iter().filter(|name| !is_defined(name)).map(|name| MissingField {
                field: name.to_owned(),
                kind: kind.clone(),
                has_form: kind.as_ref().is_none_or(|kind| forms.contains_key(kind.as_str())),
            }));
        }
        missing
    }

    fn named(&self, kind: &str) -> Option<&FieldList> {
        self.0.iter().find(|list| list.kind.as_ref().is_some_and(|named| named.as_str() == kind))
    }

    fn written(&self, kind: &EventKind, answer: &Answer) -> impl Iterator<Item = &MappedField> {
        let list = self.named(kind.as_str()).or_else(|| self.0.iter().find(|list| list.kind.is_none()));
        list.into_iter().flat_map(|list| &list.fields).filter(|field| field.when.holds(answer))
    }
}

/// Writes the mapping in the form that [`FieldMapping::parse`] reads, with every condition.
impl fmt::Display for FieldMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, FieldList { kind, fields }) in self.0.iter().enumerate() {
            let kind = kind.as_ref().map_or_else(|| "*".to_owned(), |kind| reader::quoted(kind.as_str()));
            write!(f, "{}{kind}:", if at == 0 { "" } else { "; " })?;
            for (at, MappedField { name, value, when }) in fields.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                write!(f, "{comma} {} = {value} when {}", reader::quoted(name), when.as_str())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("id"),
            Self::Number => f.write_str("number"),
            Self::Literal(value) => value.fmt(f),
        }
    }
}

/// A mapped field that is not defined in any form for which it is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingField {
    field: String,
    kind: Option<EventKind>,
    has_form: bool,
}

impl fmt::Display for MissingField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match &self.kind {
            None => write!(f, "`{field}` in any form"),
            Some(kind) if self.has_form => write!(f, "`{field}` in the form of `{}`", kind.as_str()),
            Some(kind) => {
                write!(f, "`{field}` of `{}`, a kind of event that the country does not have", kind.as_str())
            }
        }
    }
}

/// Fields of the declaration with the values that an acceptance writes. The values are personal
/// data: `Debug` hides them.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct WrittenFields(Map<String, Value>);

impl WrittenFields {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for WrittenFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
