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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Forms;
use super::parse::{MappingFault, Reader, UnusableMapping, quoted};
use crate::domain::{Dialect, EventKind, Role};

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

    /// The members whose sources are in no form of their kind of event (events generation). Checked
    /// are those that a request must contain and those that the setting names. A kind of event that
    /// the country does not have is not checked.
    pub fn missing(&self, forms: &CountryForms) -> Vec<MissingSource> {
        let default = Self::conventional(self.dialect).members;
        let mut missing = Vec::new();
        for (member, sources) in &self.members {
            let kind = kind_of(member.0);
            let is_set = default.get(member) != Some(sources);
            let form = |kind: &EventKind| forms.fields.contains_key(kind.as_str());
            let is_wanted = is_set || is_required(*member);
            if sources.is_empty() || !is_wanted || kind.as_ref().is_some_and(|kind| !form(kind)) {
                continue;
            }
            if !self.is_in(*member, kind.as_ref(), forms) {
                missing.push(MissingSource { member: *member, kind, sources: sources.clone() });
            }
        }
        missing
    }

    /// Whether a form has one of the sources of a member, or for a name, of its parts.
    fn is_in(&self, member: ViewMember, kind: Option<&EventKind>, forms: &CountryForms) -> bool {
        let (role, what) = member;
        let parts = [SourceMember::Firstname, SourceMember::Surname].map(|part| (role, part));
        let members = if what == SourceMember::Name { parts.as_slice() } else { &[] };
        let sources = members.iter().chain([&member]).filter_map(|one| self.members.get(one)).flatten();
        let mut sources = sources.peekable();
        let has = |form: &BTreeSet<String>, field: &str| prefixes(field).any(|name| form.contains(name));
        sources.any(|source| match (source, kind) {
            (SourceRule::DateOfEvent, Some(kind)) => forms.dates.contains_key(kind.as_str()),
            (SourceRule::DateOfEvent, None) => !forms.dates.is_empty(),
            (SourceRule::Field(field), Some(kind)) => {
                forms.fields.get(kind.as_str()).is_some_and(|form| has(form, field))
            }
            (SourceRule::Field(field), None) => forms.fields.values().any(|form| has(form, field)),
            (SourceRule::Patient | SourceRule::Identifier(_), _) => true,
        })
    }
}

/// The name itself and the text before each of its dots. A dot may belong to the id of the field,
/// or separate it from a part of its value.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let dots = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| at);
    dots.filter_map(|at| name.get(..at)).chain([name])
}

/// The kind of event whose form has the person, or `None` for any form.
fn kind_of(role: Role) -> Option<EventKind> {
    match role {
        Role::Child | Role::Mother | Role::Father => Some(EventKind::Birth),
        Role::Deceased => Some(EventKind::Death),
        Role::Spouse | Role::Informant | Role::Bride | Role::Groom => None,
    }
}

/// Whether the ID system cannot be asked without the member.
fn is_required(member: ViewMember) -> bool {
    matches!(
        member,
        (Role::Child, SourceMember::Name | SourceMember::Dob | SourceMember::Gender)
            | (Role::Deceased, SourceMember::Nid | SourceMember::DateOfDeath)
    )
}

fn member_name((role, member): ViewMember) -> String {
    let role = Role::NAMES.into_iter().find(|(one, _)| *one == role).map_or("", |(_, name)| name);
    format!("{role}.{}", member.as_str())
}

fn member(dialect: Dialect, name: &str) -> Option<ViewMember> {
    let (prefix, rest) = name.split_once('.')?;
    let (role, _) = Role::NAMES.into_iter().find(|(_, role)| *role == prefix)?;
    let member = SourceMember::ALL.into_iter().find(|member| member.as_str() == rest)?;
    let is_of = member != SourceMember::DateOfDeath || role == Role::Deceased;
    (is_of && member.is_read_in(dialect)).then_some((role, member))
}

fn rules(dialect: Dialect, text: &str) -> Result<BTreeMap<ViewMember, Vec<SourceRule>>, UnusableMapping> {
    let mut reader = Reader::new(text);
    let mut rules = BTreeMap::new();
    loop {
        reader.skip_space();
        let start = reader.at;
        let name = reader.name()?.ok_or(reader.fault(MappingFault::NoName))?;
        let known = member(dialect, &name);
        let member = known.ok_or(reader.fault_at(start, MappingFault::UnknownMember))?;
        if !reader.eat('=') {
            return Err(reader.fault(MappingFault::NoEquals));
        }
        if rules.insert(member, sources(dialect, &mut reader)?).is_some() {
            return Err(reader.fault_at(start, MappingFault::MemberTwice));
        }
        // A comma may stand at the end, too.
        if !reader.eat(',') || reader.is_at_end() {
            break;
        }
    }
    if reader.is_at_end() { Ok(rules) } else { Err(reader.fault(MappingFault::NoEnd)) }
}

fn sources(dialect: Dialect, reader: &mut Reader<'_>) -> Result<Vec<SourceRule>, UnusableMapping> {
    let mut sources = Vec::new();
    loop {
        let name = reader.name()?.ok_or(reader.fault(MappingFault::NoSource))?;
        match (dialect, name.as_str(), name.strip_prefix("identifier.")) {
            (_, "none", _) => {}
            (Dialect::Events, "dateOfEvent", _) => sources.push(SourceRule::DateOfEvent),
            (Dialect::Fhir, "patient", _) => sources.push(SourceRule::Patient),
            (Dialect::Fhir, _, Some(kind)) => sources.push(SourceRule::Identifier(kind.to_owned())),
            (Dialect::Events | Dialect::Fhir, _, _) => sources.push(SourceRule::Field(name)),
        }
        if !reader.eat('|') {
            return Ok(sources);
        }
    }
}

impl fmt::Display for SourceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patient => f.write_str("patient"),
            Self::Identifier(kind) => f.write_str(&quoted(&format!("identifier.{kind}"))),
            Self::DateOfEvent => f.write_str("dateOfEvent"),
            Self::Field(name) => f.write_str(&quoted(name)),
        }
    }
}

/// Writes the sources in the form that [`FieldSources::parse`] reads.
impl fmt::Display for FieldSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (member, sources)) in self.members.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} = {}", member_name(*member), Listed(sources))?;
        }
        Ok(())
    }
}

struct Listed<'a>(&'a [SourceRule]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (at, source) in self.0.iter().enumerate() {
            write!(f, "{}{source}", if at == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

/// A member whose sources are not in the country's form of its kind of event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSource {
    member: ViewMember,
    kind: Option<EventKind>,
    sources: Vec<SourceRule>,
}

impl fmt::Display for MissingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = self.kind.as_ref().map_or_else(
            || "no form has".to_owned(),
            |kind| format!("the form of `{}` does not have", kind.as_str()),
        );
        write!(f, "`{}` is read from `{}`, which {form}", member_name(self.member), Listed(&self.sources))
    }
}

#[cfg(test)]
mod tests;
