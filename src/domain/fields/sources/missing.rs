//! Compares the sources with the country's forms: which members no form has.

use std::collections::BTreeSet;
use std::fmt;

use super::text::{Listed, member_name};
use super::{CountryForms, FieldSources, SourceMember, SourceRule, ViewMember, prefixes};
use crate::domain::{EventKind, Role};

impl FieldSources {
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
