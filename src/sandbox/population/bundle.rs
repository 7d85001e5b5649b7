//! The document of an attempt: the Bundle that OpenCRVS sends to `POST /event-registration`.

use serde_json::{Value, json};

use super::people::FamilyRole;
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
        let mut resources = vec![self.composition(attempt), self.encounter()];
        resources.extend(self.related_persons());
        resources.extend(self.members().into_iter().map(|part| self.patient(part)));
        resources.push(self.task(attempt));
        resources.push(self.questionnaire());
        resources.extend(self.observations());
        resources.push(self.practitioner());
        resources.extend(self.locations());
        if self.shape == Shape::Register {
            resources = self.as_read_back(resources, attempt);
        }
        let entries: Vec<Value> = resources.iter().map(|resource| self.entry(resource)).collect();
        let bundle = json!({"resourceType": "Bundle", "type": "document", "entry": entries});
        match self.shape {
            Shape::Create => with(bundle, json!({"meta": {"lastUpdated": attempt.last_modified}})),
            Shape::Register => bundle,
        }
    }

    fn entry(&self, resource: &Value) -> Value {
        let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
        let id = resource.get("id").and_then(Value::as_str).unwrap_or_default();
        let version = self.part(&format!("version/{kind}/{id}"));
        json!({"fullUrl": format!("/fhir/{kind}/{id}/_history/{version}"), "resource": resource})
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

    fn composition(&self, attempt: &AttemptFacts) -> Value {
        let name = self.kind.name();
        let title = match self.kind {
            Kind::Birth => "Birth Declaration",
            Kind::Death => "Death Declaration",
            Kind::Marriage => "Marriage Declaration",
        };
        let mut sections = vec![section(
            FamilyRole::Informant.title(),
            "informant-details",
            &format!("RelatedPerson/{}", self.part("informant-relation")),
        )];
        sections.extend(self.members().into_iter().filter(|part| *part != FamilyRole::Informant).map(
            |part| {
                let witness = matches!(part, FamilyRole::WitnessOne | FamilyRole::WitnessTwo);
                let (kind, id) = if witness {
                    ("RelatedPerson", self.part(&format!("{}-relation", part.name())))
                } else {
                    ("Patient", self.part(part.name()))
                };
                section(part.title(), &format!("{}-details", part.name()), &format!("{kind}/{id}"))
            },
        ));
        let mut encounter = section(
            &format!("{title} encounter"),
            &format!("{name}-encounter"),
            &format!("Encounter/{}", self.part("encounter")),
        );
        if let Some(system) = encounter.pointer_mut("/code/coding/0/system") {
            *system = json!("http://opencrvs.org/specs/sections");
        }
        sections.push(encounter);
        json!({
            "resourceType": "Composition", "id": self.record, "status": "preliminary", "title": title,
            "identifier": {"system": "urn:ietf:rfc:3986", "value": self.tracking_id},
            "type": {
                "coding": [{"system": "http://opencrvs.org/doc-types", "code": format!("{name}-declaration")}],
                "text": title
            },
            "class": {
                "coding": [{"system": "http://opencrvs.org/doc-classes", "code": "crvs-document"}],
                "text": "CRVS Document"
            },
            "section": sections, "subject": {}, "author": [],
            "date": attempt.earlier.first().map_or(&attempt.last_modified, |first| &first.at)
        })
    }

    pub(super) fn task(&self, attempt: &AttemptFacts) -> Value {
        let practitioner = format!("Practitioner/{}", self.part("practitioner"));
        json!({
            "resourceType": "Task", "id": self.task_id(), "status": "ready", "intent": "proposal",
            "code": {"coding": [{"system": "http://opencrvs.org/specs/types", "code": self.kind.code()}]},
            "focus": {"reference": format!("Composition/{}", self.record)},
            "requester": {"agent": {"reference": practitioner}},
            "identifier": [
                {"system": "http://opencrvs.org/specs/id/draft-id", "value": self.part("draft")},
                {
                    "system": format!("http://opencrvs.org/specs/id/{}-tracking-id", self.kind.name()),
                    "value": self.tracking_id
                }
            ],
            "extension": [
                {
                    "url": "http://opencrvs.org/specs/extension/contact-person-phone-number",
                    "valueString": format!("+26097{:07}", self.index % 10_000_000)
                },
                {"url": "http://opencrvs.org/specs/extension/timeLoggedMS", "valueInteger": 1_699},
                {
                    "url": "http://opencrvs.org/specs/extension/regLastUser",
                    "valueReference": {"reference": practitioner}
                },
                {
                    "url": "http://opencrvs.org/specs/extension/regLastOffice",
                    "valueReference": {"reference": format!("Location/{}", self.office().id)}
                }
            ],
            "lastModified": attempt.last_modified,
            "businessStatus": {"coding": [{
                "system": "http://opencrvs.org/specs/reg-status", "code": "WAITING_VALIDATION"
            }]},
            "meta": {"lastUpdated": attempt.last_modified}
        })
    }

    /// The id of the Task, which the answer to a confirm contains.
    pub fn task_id(&self) -> String {
        self.part("task")
    }

    fn related_persons(&self) -> Vec<Value> {
        let (informant, relation) = self.informant();
        let mut persons = vec![("informant-relation", relation, informant)];
        if self.kind == Kind::Marriage {
            persons.push(("witness-one-relation", "HEAD_OF_GROOM_FAMILY", FamilyRole::WitnessOne));
            persons.push(("witness-two-relation", "HEAD_OF_BRIDE_FAMILY", FamilyRole::WitnessTwo));
        }
        let related = |(id, relation, of): (&str, &str, FamilyRole)| {
            let system = "http://hl7.org/fhir/ValueSet/relatedperson-relationshiptype";
            json!({
                "resourceType": "RelatedPerson", "id": self.part(id),
                "relationship": {"coding": [{"system": system, "code": relation}]},
                "patient": {"reference": format!("Patient/{}", self.part(of.name()))}
            })
        };
        persons.into_iter().map(related).collect()
    }

    fn encounter(&self) -> Value {
        json!({
            "resourceType": "Encounter", "id": self.part("encounter"), "status": "finished",
            "location": [{"location": {"reference": format!("Location/{}", self.facility().id)}}]
        })
    }

    fn questionnaire(&self) -> Value {
        let item = |path: &str, answer: Value| json!({"text": path, "linkId": "", "answer": [answer]});
        let person = match self.kind {
            Kind::Birth => "mother",
            Kind::Death => "deceased",
            Kind::Marriage => "groom",
        };
        let group = format!("{}.{person}.{person}-view-group", self.kind.name());
        json!({
            "resourceType": "QuestionnaireResponse", "id": self.part("questionnaire"),
            "extension": [], "status": "completed",
            "subject": {"reference": format!("urn:uuid:{}", self.part("stale-subject"))},
            "item": [
                item(&format!("{group}.{person}IdType"), json!({"valueString": "NATIONAL_ID"})),
                item(&format!("{group}.{person}NidVerified"), json!({"valueBoolean": self.chance(31).bool()}))
            ]
        })
    }

    fn practitioner(&self) -> Value {
        json!({
            "resourceType": "Practitioner", "id": self.part("practitioner"),
            "telecom": [
                {"system": "phone", "value": "+260933333333"},
                {"system": "email", "value": "registrar@example.org"}
            ],
            "name": [{"use": "en", "family": "Mweene", "given": ["Kennedy"]}]
        })
    }
}

fn section(title: &str, code: &str, reference: &str) -> Value {
    json!({
        "title": title,
        "code": {"coding": [{"system": "http://opencrvs.org/doc-sections", "code": code}], "text": title},
        "entry": [{"reference": reference}]
    })
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
