//! A document as OpenCRVS reads it back from its database: with pseudo-resources for the histories
//! of the Task and of the registrar's role, and with the database's internal keys.

use serde_json::{Value, json};

use super::bundle::AttemptFacts;
use super::{Declaration, Earlier};
use crate::sandbox::json::with;

impl Declaration {
    pub(super) fn as_read_back(&self, mut resources: Vec<Value>, attempt: &AttemptFacts) -> Vec<Value> {
        let declared = Earlier { status: "DECLARED".to_owned(), at: attempt.last_modified.clone() };
        let past = if attempt.earlier.is_empty() { vec![declared] } else { attempt.earlier.clone() };
        for (position, earlier) in past.iter().enumerate() {
            resources.push(self.task_history(position, earlier, attempt));
        }
        resources.push(self.role("PractitionerRole"));
        // All histories of a role have the id of the role.
        for _ in 0..self.chance(40).usize(2..6) {
            resources.push(self.role("PractitionerRoleHistory"));
        }
        let at = &attempt.last_modified;
        resources.into_iter().map(|resource| with_internal_keys(resource, at)).collect()
    }

    fn task_history(&self, position: usize, earlier: &Earlier, attempt: &AttemptFacts) -> Value {
        let version = self.part(&format!("task-version-{position}"));
        let past = json!({
            "resourceType": "TaskHistory", "id": version, "lastModified": earlier.at,
            "meta": {"lastUpdated": earlier.at, "versionId": version},
            "businessStatus": {"coding": [{
                "system": "http://opencrvs.org/specs/reg-status", "code": earlier.status
            }]}
        });
        let past = with(self.task(attempt), past);
        if earlier.status != "REJECTED" {
            return past;
        }
        let why = json!({"statusReason": {"text": "Registration number generation failed"}, "reason": {"text": ""}});
        with(past, why)
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

/// Adds the internal keys that every resource except the Task has when it is read back from the
/// database.
fn with_internal_keys(resource: Value, at: &str) -> Value {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    let transforms = match kind {
        "Task" => return resource,
        // Phonetic forms for core's search for duplicates: personal data under an internal key.
        "Patient" => json!({"meta": {"lastUpdated": at}, "matching": {
            "name": {"given": [["AMR", "AMR"], ["", ""]], "family": [["PNT", "PNT"]]}
        }}),
        _ => json!({"meta": {"lastUpdated": at}}),
    };
    with(resource, json!({"_transforms": transforms, "_request": {"method": "POST"}}))
}
