//! Reads and writes the text of the setting.
//!
//! Invariant: what is written is read back as the same sources.

use std::collections::BTreeMap;
use std::fmt;

use super::{FieldSources, SourceMember, SourceRule, ViewMember};
use crate::domain::fields::reader::{MappingFault, Reader, UnusableMapping, quoted};
use crate::domain::{Dialect, Role};

pub(super) fn member_name((role, member): ViewMember) -> String {
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

/// Reads the members that a text names, with their sources.
pub(super) fn rules(
    dialect: Dialect,
    text: &str,
) -> Result<BTreeMap<ViewMember, Vec<SourceRule>>, UnusableMapping> {
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

/// Writes the sources of a member, separated by `|`.
pub(super) struct Listed<'a>(pub(super) &'a [SourceRule]);

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
