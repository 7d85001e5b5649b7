//! What a document looks like after it was read back from OpenCRVS's database: pseudo-resources for the past of the
//! Task and of the registrar's role, and the database's own keys.

use serde_json::{Value, json};

use super::bundle::AttemptFacts;
use super::{Declaration, Earlier};

impl Declaration {
    pub(super) fn as_read_back(&self, mut resources: Vec<Value>, attempt: &AttemptFacts) -> Vec<Value> {
        let declared = Earlier { status: "DECLARED".to_owned(), at: attempt.last_modified.clone() };
        let past = if attempt.earlier.is_empty() { vec![declared] } else { attempt.earlier.clone() };
        for (position, earlier) in past.iter().enumerate() {
            resources.push(self.task_history(position, earlier, attempt));
        }
        resources.push(self.role("PractitionerRole"));
        // the histories of a role all carry the id of the role
        for _ in 0..self.chance(40).usize(2..6) {
            resources.push(self.role("PractitionerRoleHistory"));
        }
        for resource in &mut resources {
            stamp(resource, &attempt.last_modified);
        }
        resources
    }

    fn task_history(&self, position: usize, earlier: &Earlier, attempt: &AttemptFacts) -> Value {
        let mut past = self.task(attempt);
        if let Some(fields) = past.as_object_mut() {
            let version = self.part(&format!("task-version-{position}"));
            fields.insert("resourceType".to_owned(), json!("TaskHistory"));
            fields.insert("meta".to_owned(), json!({"lastUpdated": earlier.at, "versionId": version}));
            fields.insert("id".to_owned(), json!(version));
            fields.insert("lastModified".to_owned(), json!(earlier.at));
            if earlier.status == "REJECTED" {
                fields.insert(
                    "statusReason".to_owned(),
                    json!({"text": "Registration number generation failed"}),
                );
                fields.insert("reason".to_owned(), json!({"text": ""}));
            }
        }
        if let Some(status) = past.pointer_mut("/businessStatus/coding/0/code") {
            *status = json!(earlier.status);
        }
        past
    }

    fn role(&self, kind: &str) -> Value {
        json!({
            "resourceType": kind, "id": self.part("role"),
            "practitioner": {"reference": format!("Practitioner/{}", self.part("practitioner"))},
            "code": [{"coding": [{"system": "http://opencrvs.org/specs/roles", "code": "LOCAL_REGISTRAR"}]}],
            "location": [{"reference": format!("Location/{}", self.office().id)}]
        })
    }
}

fn stamp(resource: &mut Value, at: &str) {
    let is_task = resource.get("resourceType") == Some(&json!("Task"));
    let is_patient = resource.get("resourceType") == Some(&json!("Patient"));
    let Some(fields) = resource.as_object_mut() else { return };
    if is_task {
        return;
    }
    let transforms = if is_patient {
        // phonetic forms for core's search for duplicates: personal data under an internal key
        let matching = json!({"name": {"given": [["AMR", "AMR"], ["", ""]], "family": [["PNT", "PNT"]]}});
        json!({"meta": {"lastUpdated": at}, "matching": matching})
    } else {
        json!({"meta": {"lastUpdated": at}})
    };
    fields.insert("_transforms".to_owned(), transforms);
    fields.insert("_request".to_owned(), json!({"method": "POST"}));
}
