//! A request as the vendor reads it.

use serde_json::{Value, json};

use super::decision::Asked;

const BIRTH: &str = "crvs.nid.birth.request.v1";
const DEATH: &str = "crvs.nid.death.request.v1";

/// A request that can be answered.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) asked: Asked,
    pub(super) submission: u64,
    pub(super) number: String,
    /// The members `registration`, `subject` and `parents`, which a repeat of the same submission
    /// must not change.
    pub(super) content: Value,
    /// Required fields that are absent, by their names in the contract.
    pub(super) missing: Vec<&'static str>,
}

impl Request {
    /// Reads a request; `None` if it cannot be answered at all.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(body).ok()?;
        let asked = match event.get("type")?.as_str()? {
            BIRTH => Asked::Birth,
            DEATH => Asked::Death,
            _ => return None,
        };
        let data = event.get("data")?;
        let subject = data.get("subject")?;
        let needed: &[&str] = match asked {
            Asked::Birth => &["name", "date_of_birth", "sex"],
            Asked::Death => &["national_id", "date_of_death"],
        };
        let missing = needed.iter().filter(|field| subject.get(field).is_none()).copied().collect();
        let content = json!({
            "registration": data.get("registration"), "subject": subject, "parents": data.get("parents")
        });
        Some(Self {
            id: event.get("id")?.as_str()?.to_owned(),
            asked,
            submission: data.get("submission")?.as_u64().filter(|submission| *submission > 0)?,
            number: data.pointer("/registration/number")?.as_str()?.to_owned(),
            content,
            missing,
        })
    }
}
