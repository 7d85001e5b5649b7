//! Medical observations about the event, which the bridge must not keep.

use serde_json::{Value, json};

use super::{Declaration, Kind};
use crate::sandbox::json::with;

impl Declaration {
    pub(super) fn observations(&self) -> Vec<Value> {
        let mut chance = self.chance(400);
        match self.kind {
            Kind::Birth => vec![
                self.observation("57722-1", "Birth plurality of Pregnancy", json!({"valueString": "SINGLE"})),
                self.observation(
                    "3141-9",
                    "Body weight Measured",
                    json!({"valueQuantity": {
                        "value": f64::from(chance.u16(22..46)) / 10.0, "unit": "kg",
                        "system": "http://unitsofmeasure.org", "code": "kg"
                    }}),
                ),
                self.observation("73764-3", "Birth attendant title", json!({"valueString": "MIDWIFE"})),
            ],
            Kind::Death => vec![
                self.observation(
                    "cause-of-death-established",
                    "Cause of death established",
                    coded("cause-of-death-established", "true"),
                ),
                self.observation(
                    "uncertified-manner-of-death",
                    "Uncertified manner of death",
                    coded("manner-of-death", "NATURAL_CAUSES"),
                ),
                self.observation(
                    "cause-of-death-method",
                    "Cause of death method",
                    coded("cause-of-death-method", "PHYSICIAN"),
                ),
                self.observation(
                    "ICD10",
                    "Cause of death",
                    json!({"valueCodeableConcept": {"coding": [{"system": "ICD10", "code": "Chronic illness"}]}}),
                ),
            ],
            Kind::Marriage => Vec::new(),
        }
    }

    fn observation(&self, code: &str, display: &str, value: Value) -> Value {
        let observation = json!({
            "resourceType": "Observation", "id": self.part(code), "extension": [], "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": display}]},
            // Core leaves the reference from the client's own document here.
            "context": {"reference": format!("urn:uuid:{}", self.part("stale-encounter"))},
            "category": [{"coding": [{
                "system": "http://hl7.org/fhir/observation-category", "code": "vital-signs", "display": "Vital Signs"
            }]}]
        });
        with(observation, value)
    }
}

fn coded(system: &str, code: &str) -> Value {
    json!({"valueCodeableConcept": {"coding": [{
        "system": format!("http://opencrvs.org/specs/{system}"), "code": code
    }]}})
}
