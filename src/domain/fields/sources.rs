//! The fields of a country's documents from which the members of a view are read.
//!
//! Each country chooses the ids of its form fields. An operator writes one text per generation,
//! with the members that differ from the convention:
//!
//! ```text
//! child.name = child.nameEnglish, deceased.nid = deceased.nin | deceased.nid, mother.nid = none
//! ```
//!
//! - The sources of a member are separated by `|`; the first one with a value counts.
//! - A source is the id of a field, or the id and the name of a part (`child.nameEnglish.surname`).
//! - `none` says that the country does not record the member.
//! - Events generation: `dateOfEvent` is the field that the event's configuration names as the date
//!   of the event.
//! - FHIR generation: `patient` is the place that FHIR has for the member, `identifier.TYPE` an
//!   identifier of this type, and every other source the id of a field of the questionnaire.
//!
//! Invariant: no id of a field is compiled in; the conventional ids are only the default of the
//! setting.

mod missing;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use super::Forms;
use super::reader::UnusableMapping;
use crate::domain::{Dialect, Role};
use text::rules;

pub use missing::MissingSource;

/// A member of a view: the role of the person, and the person's member.
pub type ViewMember = (Role, SourceMember);

/// A member of a person that a country may keep in other fields than the conventional ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceMember {
    Name,
    Firstname,
    Middlename,
    Surname,
    Dob,
    Gender,
    /// The national ID.
    Nid,
    DateOfDeath,
    /// Which kind of identifier the person has (events generation).
    IdType,
    /// Whether only the age is known (events generation).
    DobUnknown,
    /// Whether nothing is known of the person (events generation).
    DetailsNotAvailable,
}

impl SourceMember {
    const ALL: [Self; 11] = [
        Self::Name,
        Self::Firstname,
        Self::Middlename,
        Self::Surname,
        Self::Dob,
        Self::Gender,
        Self::Nid,
        Self::DateOfDeath,
        Self::IdType,
        Self::DobUnknown,
        Self::DetailsNotAvailable,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Firstname => "name.firstname",
            Self::Middlename => "name.middlename",
            Self::Surname => "name.surname",
            Self::Dob => "dob",
            Self::Gender => "gender",
            Self::Nid => "nid",
            Self::DateOfDeath => "dateOfDeath",
            Self::IdType => "idType",
            Self::DobUnknown => "dobUnknown",
            Self::DetailsNotAvailable => "detailsNotAvailable",
        }
    }

    fn is_read_in(self, dialect: Dialect) -> bool {
        match self {
            // A bundle has no fields for the first three: identifiers carry their type, and the
            // patient says what is unknown. A name is read from the questionnaire part by part.
            Self::IdType | Self::DobUnknown | Self::DetailsNotAvailable | Self::Name => {
                dialect == Dialect::Events
            }
            Self::Firstname
            | Self::Middlename
            | Self::Surname
            | Self::Dob
            | Self::Gender
            | Self::Nid
            | Self::DateOfDeath => true,
        }
    }
}

/// One source of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceRule {
    /// The place by FHIR's own rules (FHIR generation).
    Patient,
    /// An identifier of the person, by its type (FHIR generation).
    Identifier(String),
    /// The field that the event's configuration names as the date of the event (events generation).
    DateOfEvent,
    /// A field of the form (events generation) or of the questionnaire (FHIR generation).
    Field(String),
}

/// A reference to a field, and to a part of its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPath {
    pub field: String,
    pub parts: Vec<String>,
}

/// The fields of the country's forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountryForms {
    pub fields: Forms,
    /// The field with the date of the event, by kind of event.
    pub dates: BTreeMap<String, FieldPath>,
}

/// The sources of each member that is set or has a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSources {
    dialect: Dialect,
    members: BTreeMap<ViewMember, Vec<SourceRule>>,
}

impl FieldSources {
    pub const EVENTS: &'static str = "child.name = child.name, child.dob = dateOfEvent | child.dob, \
        child.gender = child.gender, deceased.nid = deceased.nid, \
        deceased.dateOfDeath = dateOfEvent | eventDetails.date, mother.nid = mother.nid, father.nid = father.nid";
    pub const FHIR: &'static str = "child.name.firstname = patient, child.name.middlename = patient, \
        child.name.surname = patient, child.dob = patient, child.gender = patient, deceased.nid = patient, \
        deceased.dateOfDeath = patient, mother.nid = patient, father.nid = patient";

    /// Reads the setting. A member that the text does not name keeps its default.
    ///
    /// # Errors
    /// [`UnusableMapping`] says what is wrong with the text, and where.
    pub fn parse(dialect: Dialect, text: &str) -> Result<Self, UnusableMapping> {
        let mut sources = Self::conventional(dialect);
        sources.members.extend(rules(dialect, text)?);
        Ok(sources)
    }

    /// The default of the setting.
    pub fn conventional(dialect: Dialect) -> Self {
        Self { dialect, members: rules(dialect, Self::default_text(dialect)).unwrap_or_default() }
    }

    fn default_text(dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Events => Self::EVENTS,
            Dialect::Fhir => Self::FHIR,
        }
    }

    /// The members with their sources. The country does not record a member without sources.
    pub fn rules(&self) -> impl Iterator<Item = (ViewMember, &[SourceRule])> {
        self.members.iter().map(|(member, sources)| (*member, sources.as_slice()))
    }

    /// The names of all fields that may be read. The text after a dot may name a part of a value,
    /// so the text before each dot counts as a name too.
    pub fn names(&self) -> BTreeSet<&str> {
        let fields = self.members.values().flatten().filter_map(|source| match source {
            SourceRule::Field(name) => Some(name.as_str()),
            SourceRule::Patient | SourceRule::Identifier(_) | SourceRule::DateOfEvent => None,
        });
        fields.flat_map(prefixes).collect()
    }
}

/// The name itself and the text before each of its dots. A dot may belong to the id of the field,
/// or separate it from a part of its value.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let dots = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| at);
    dots.filter_map(|at| name.get(..at)).chain([name])
}

#[cfg(test)]
mod tests;
