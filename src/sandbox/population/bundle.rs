//! The document of an attempt: the Bundle that OpenCRVS sends to `POST /event-registration`. It is
//! made from the templates in `bundle.json` and the facts of the declaration.

use serde_json::{Value, json};

use super::people::{FamilyRole, NATIONALITY, REASON_OF_ABSENCE};
use super::template::Templates;
use super::{Declaration, Kind, Shape};
use crate::sandbox::json::with;

/// A status that the record had before this attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The status, as `reg-status` writes it.
    pub status: String,
    /// The start of that status, as `Task.lastModified` writes it.
    pub at: String,
}

/// The facts in which the documents of two attempts differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFacts {
    /// `Task.lastModified`: ISO 8601 with milliseconds.
    pub last_modified: String,
    /// The record's earlier states, oldest first.
    pub earlier: Vec<Earlier>,
}

impl Declaration {
    pub fn bundle(&self, attempt: &AttemptFacts) -> Value {
        let templates = self.templates(attempt);
        let fill = |name: &str| templates.fill(name, &Value::Null);
        let mut resources = vec![templates.composition(), fill("encounter")];
        resources.extend(templates.related_persons());
        resources.extend(self.members().into_iter().map(|role| templates.patient(role)));
        resources.extend([fill("task"), fill("questionnaire")]);
        resources.extend(templates.observations());
        resources.push(fill("practitioner"));
        resources.extend(templates.locations());
        let meta = match self.shape {
            Shape::Create => json!({"lastUpdated": attempt.last_modified}),
            Shape::Register => {
                resources = templates.as_read_back(resources, attempt);
                Value::Null
            }
        };
        let entry = |resource: Value| {
            let own = json!({"kind": resource.get("resourceType"), "id": resource.get("id")});
            templates.fill("entry", &with(own, json!({"resource": resource})))
        };
        let entries: Vec<Value> = resources.into_iter().map(entry).collect();
        templates.fill("bundle", &json!({"entries": entries, "meta": meta}))
    }

    fn templates(&self, attempt: &AttemptFacts) -> Templates<'_> {
        let templates: Value = serde_json::from_str(include_str!("bundle.json")).unwrap_or_default();
        let facts = json!({
            "record": self.record, "tracking-id": self.tracking_id, "event": self.kind.name(),
            "EVENT": self.kind.code(), "phone": format!("+26097{:07}", self.index % 10_000_000),
            "last-modified": attempt.last_modified,
            "declared": attempt.earlier.first().map_or(&attempt.last_modified, |first| &first.at),
            "state": self.state().id, "district": self.district().id, "office": self.office().id,
            "facility": self.facility().id, "city": self.district_name().1,
            "house": self.chance(21).u8(1..200).to_string(), "is-verified": self.chance(31).bool(),
            "weight": f64::from(self.chance(400).u16(22..46)) / 10.0,
            "nationality": NATIONALITY, "reason-of-absence": REASON_OF_ABSENCE
        });
        let of_kind = templates.pointer(&format!("/kinds/{}", self.kind.name())).cloned();
        Templates { family: self, facts: with(facts, of_kind.unwrap_or_default()), templates }
    }

    /// In most records the informant is a member of the family, and then has no separate Patient.
    pub(in crate::sandbox) fn informant(&self) -> (FamilyRole, &'static str) {
        let other = self.chance(30).f64() < 0.2;
        match self.kind {
            Kind::Birth if other => (FamilyRole::Informant, "LEGAL_GUARDIAN"),
            Kind::Birth => (FamilyRole::Mother, "MOTHER"),
            Kind::Death if other => (FamilyRole::Informant, "SON"),
            Kind::Death => (FamilyRole::Spouse, "SPOUSE"),
            Kind::Marriage => (FamilyRole::Groom, "GROOM"),
        }
    }

    pub(in crate::sandbox) fn members(&self) -> Vec<FamilyRole> {
        let mut people = match self.kind {
            Kind::Birth => vec![FamilyRole::Mother, FamilyRole::Child, FamilyRole::Father],
            Kind::Death => vec![FamilyRole::Spouse, FamilyRole::Deceased],
            Kind::Marriage => {
                vec![FamilyRole::Bride, FamilyRole::Groom, FamilyRole::WitnessOne, FamilyRole::WitnessTwo]
            }
        };
        if self.informant().0 == FamilyRole::Informant {
            people.push(FamilyRole::Informant);
        }
        people
    }

    /// The id of the Task, which the answer to a confirm contains.
    pub fn task_id(&self) -> String {
        self.part("task")
    }
}

impl Templates<'_> {
    fn composition(&self) -> Value {
        let section = |title: &str, code: &str, system: &str, reference: String| {
            let own = json!({"title": title, "code": code, "system": system, "reference": reference});
            self.fill("section", &own)
        };
        let others = self.family.members().into_iter().filter(|role| *role != FamilyRole::Informant);
        let of_member = |role: FamilyRole| {
            let is_related =
                matches!(role, FamilyRole::Informant | FamilyRole::WitnessOne | FamilyRole::WitnessTwo);
            let (kind, suffix) = if is_related { ("RelatedPerson", "-relation") } else { ("Patient", "") };
            let reference = format!("{kind}/{}", self.family.part(&format!("{}{suffix}", role.name())));
            let title = self.templates.pointer(&format!("/titles/{}", role.name())).and_then(Value::as_str);
            section(title.unwrap_or_default(), &format!("{}-details", role.name()), "doc-sections", reference)
        };
        let title = self.facts.get("title").and_then(Value::as_str).unwrap_or_default();
        let encounter = section(
            &format!("{title} encounter"),
            &format!("{}-encounter", self.family.kind.name()),
            "specs/sections",
            format!("Encounter/{}", self.family.part("encounter")),
        );
        let roles = std::iter::once(FamilyRole::Informant).chain(others);
        let sections: Vec<Value> = roles.map(of_member).chain([encounter]).collect();
        self.fill("composition", &json!({"sections": sections}))
    }

    fn related_persons(&self) -> Vec<Value> {
        let (informant, relation) = self.family.informant();
        let mut persons = vec![("informant", relation, informant)];
        if self.family.kind == Kind::Marriage {
            persons.push(("witness-one", "HEAD_OF_GROOM_FAMILY", FamilyRole::WitnessOne));
            persons.push(("witness-two", "HEAD_OF_BRIDE_FAMILY", FamilyRole::WitnessTwo));
        }
        let related = |(name, relation, role): (&str, &str, FamilyRole)| {
            let own = json!({"name": name, "relation": relation, "patient": role.name()});
            self.fill("related-person", &own)
        };
        persons.into_iter().map(related).collect()
    }

    fn patient(&self, role: FamilyRole) -> Value {
        let role_name = json!({"role": role.name()});
        let Some(member) = self.family.member(role) else { return self.fill("absent", &role_name) };
        let filled_if = |name: &str, own: Option<Value>| own.map(|own| self.fill(name, &own));
        // Documents from before the upgrade to 1.7 still have the family name as a list.
        let is_old = self.family.chance(13).f64() < 0.2;
        let second_name =
            member.second_language.map(|(given, family)| json!({"given": given, "family": family}));
        let facts = json!({
            "given": member.given, "middle": member.middle,
            "family": if is_old { json!([member.family]) } else { json!(member.family) },
            "name-in-second-language": filled_if("name-in-second-language", second_name),
            "born": member.born, "gender": member.gender,
            "identifier": filled_if("identifier", member.national_id.map(|id| json!({"national-id": id}))),
            "is-dead": member.died.as_ref().map(|_| true), "died": member.died
        });
        let patient = self.fill("patient", &with(facts, role_name));
        if role == FamilyRole::Child { patient } else { with(patient, self.fill("adult", &Value::Null)) }
    }

    /// Medical observations about the event, which the bridge must not keep.
    fn observations(&self) -> Vec<Value> {
        let of_kind = self.facts.get("observations").and_then(Value::as_array);
        let observation = |row: &Value| {
            let own = json!({"code": row.get(0), "display": row.get(1)});
            let value = self.filled(row.get(2).unwrap_or(&Value::Null), &own);
            with(self.fill("observation", &own), value)
        };
        of_kind.into_iter().flatten().map(observation).collect()
    }

    /// The same resources as OpenCRVS reads them back from its database: with pseudo-resources for
    /// the histories of the Task and of the registrar's role, and with the database's internal
    /// keys.
    fn as_read_back(&self, mut resources: Vec<Value>, attempt: &AttemptFacts) -> Vec<Value> {
        let declared = [Earlier { status: "DECLARED".to_owned(), at: attempt.last_modified.clone() }];
        let past = if attempt.earlier.is_empty() { &declared[..] } else { &attempt.earlier };
        for (position, earlier) in past.iter().enumerate() {
            let own = json!({"position": position, "at": earlier.at, "status": earlier.status});
            let row = with(self.fill("task", &own), self.fill("task-history", &own));
            let rejected = if earlier.status == "REJECTED" { "task-rejected" } else { "" };
            resources.push(with(row, self.fill(rejected, &own)));
        }
        let role = |kind: &str| self.fill("role", &json!({"resource": kind}));
        resources.push(role("PractitionerRole"));
        // All histories of a role have the id of the role.
        let histories = self.family.chance(40).usize(2..6);
        resources.extend((0..histories).map(|_| role("PractitionerRoleHistory")));
        resources.into_iter().map(|resource| self.with_internal_keys(resource)).collect()
    }

    /// Adds the internal keys that every resource except the Task has when it is read back from the
    /// database.
    fn with_internal_keys(&self, resource: Value) -> Value {
        let kind = resource.get("resourceType").and_then(Value::as_str);
        // Phonetic forms for core's search for duplicates: personal data under an internal key.
        let matching = (kind == Some("Patient")).then(|| self.fill("matching", &Value::Null));
        match kind {
            Some("Task") => resource,
            _ => with(resource, self.fill("internal-keys", &json!({"matching": matching}))),
        }
    }
}

/// Corrects the given name of the subject of a document (child, deceased, groom). Returns false if
/// the document has no subject with a name.
pub fn correct_name(bundle: &mut Value, given: &str) -> bool {
    let subjects = ["child-details", "deceased-details", "groom-details"];
    let Some(entries) = bundle.get_mut("entry").and_then(Value::as_array_mut) else { return false };
    let subject = entries
        .iter()
        .filter(|entry| entry.pointer("/resource/resourceType") == Some(&json!("Composition")))
        .filter_map(|entry| entry.pointer("/resource/section").and_then(Value::as_array))
        .flatten()
        .find(|section| {
            let code = section.pointer("/code/coding/0/code").and_then(Value::as_str);
            code.is_some_and(|code| subjects.contains(&code))
        })
        .and_then(|section| section.pointer("/entry/0/reference").and_then(Value::as_str))
        .and_then(|reference| reference.strip_prefix("Patient/").map(str::to_owned));
    let Some(id) = subject else { return false };
    entries
        .iter_mut()
        .filter_map(|entry| entry.get_mut("resource"))
        .filter(|resource| resource.get("resourceType") == Some(&json!("Patient")))
        .find(|resource| resource.get("id") == Some(&json!(id)))
        .and_then(|patient| patient.pointer_mut("/name/0/given/0"))
        .map(|name| *name = json!(given))
        .is_some()
}
