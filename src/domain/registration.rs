//! A registration as the front accepted it: its record, its attempt, the time of the acceptance,
//! and the time until which it can be answered.
//!
//! Invariant: these types hold no personal data. The [`View`](super::View) holds it, and travels
//! sealed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{ActionId, AttemptId, RecordId, RegistrationNumber, TrackingId};

/// The generation of OpenCRVS that submitted a record; the answer has to be given in the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenCRVS 1.7 to 1.9. It sends a FHIR bundle and is answered by GraphQL.
    Fhir,
    /// OpenCRVS 1.9 and 2.x. It sends an event document and is answered by tRPC.
    Events,
}

impl Dialect {
    /// The name in messages, the ledger and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fhir => "fhir",
            Self::Events => "events",
        }
    }

    /// Reads [`Dialect::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "fhir" => Some(Self::Fhir),
            "events" => Some(Self::Events),
            _ => None,
        }
    }
}

/// The kind of civil event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum EventKind {
    /// A birth: the ID system is asked to issue an ID.
    Birth,
    /// A death: the ID system is asked to record it.
    Death,
    /// A marriage: registered without asking the ID system.
    Marriage,
    /// A kind that the country defines, in lower case: registered without asking the ID system.
    Other(String),
}

impl EventKind {
    /// Reads the name that OpenCRVS gives to a kind, in upper or lower case: `BIRTH`, `death`,
    /// `tennis-club-membership`.
    pub fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "birth" => Self::Birth,
            "death" => Self::Death,
            "marriage" => Self::Marriage,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name in messages, queues and the ledger.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Birth => "birth",
            Self::Death => "death",
            Self::Marriage => "marriage",
            Self::Other(name) => name,
        }
    }

    /// The name as a metric label. The country's own kinds are all `other`, which bounds the number
    /// of labels.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Birth => "birth",
            Self::Death => "death",
            Self::Marriage => "marriage",
            Self::Other(_) => "other",
        }
    }
}

impl From<String> for EventKind {
    fn from(name: String) -> Self {
        Self::from_name(&name)
    }
}

impl From<EventKind> for String {
    fn from(kind: EventKind) -> Self {
        kind.as_str().to_owned()
    }
}

/// Identifies an attempt: two registrations with the same key are the same attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptKey {
    pub dialect: Dialect,
    pub record: RecordId,
    /// Distinguishes this submission of the record from the others. In the FHIR generation it is
    /// `Task.lastModified` as it was written, which together with `Composition.id` identifies an
    /// attempt in every OpenCRVS 1.x. In the events generation it is the action's id.
    pub mark: String,
    /// When the registrar submitted it: `Task.lastModified` or the action's `createdAt`. It orders
    /// the attempts.
    pub stamp: Timestamp,
}

impl AttemptKey {
    /// The id of the attempt, derived from dialect, record and mark.
    pub fn id(&self) -> AttemptId {
        AttemptId::derive(&["attempt", self.dialect.as_str(), self.record.as_str(), &self.mark])
    }

    /// The action that has to be answered. `None` in the FHIR generation, which has no actions.
    pub fn action(&self) -> Option<ActionId> {
        match self.dialect {
            Dialect::Fhir => None,
            Dialect::Events => ActionId::parse(&self.mark).ok(),
        }
    }
}

/// What the front accepted, without the view and the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub key: AttemptKey,
    pub kind: EventKind,
    pub tracking_id: TrackingId,
    /// The code of the registration office, such as `CRVS_OFFICE_JWMRGwDBXK`, if the document names
    /// it.
    pub office: Option<String>,
    /// When the front accepted the registration. The confirmer writes to OpenCRVS only some time
    /// after this.
    pub accepted_at: Timestamp,
    /// How long after the acceptance the caller waits for a sync answer. The confirmer does not
    /// write to OpenCRVS during that time.
    #[serde(default, rename = "wait_ms", with = "millis", skip_serializing_if = "Duration::is_zero")]
    pub wait: Duration,
    /// When the token that came with the registration expires (claim `exp`). `None` if it came
    /// with a service token, which cannot answer it and is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Timestamp>,
    /// A registration number that the country's own handler has already given. It is used if the
    /// record has no number yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<RegistrationNumber>,
    /// Whether no front had the registration and a search of OpenCRVS found it. Only the history
    /// depends on this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unheard: bool,
}

/// Serialises a duration as whole milliseconds.
mod millis {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(wait: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_the_countrys_own_kinds_share_one_label() {
        for (dialect, name) in [(Dialect::Fhir, "fhir"), (Dialect::Events, "events")] {
            assert_eq!((dialect.as_str(), Dialect::parse(name)), (name, Some(dialect)));
        }
        assert_eq!(Dialect::parse("FHIR"), None);
        for (name, label) in
            [("birth", "birth"), ("death", "death"), ("marriage", "marriage"), ("adoption", "other")]
        {
            let kind = EventKind::from_name(name);
            assert_eq!((kind.as_str(), kind.label()), (name, label));
            let written = serde_json::to_value(&kind).unwrap();
            assert_eq!(written, name);
            assert_eq!(serde_json::from_value::<EventKind>(written).unwrap(), kind);
        }
    }

    #[test]
    fn only_an_attempt_of_the_events_generation_has_an_action_and_a_wait_survives_its_message() {
        let mut registration: Registration = serde_json::from_value(serde_json::json!({
            "key": { "dialect": "events", "record": "r", "mark": "a", "stamp": "2026-01-01T00:00:00Z" },
            "kind": "birth", "tracking_id": "B123456", "office": null,
            "accepted_at": "2026-01-01T00:00:01Z", "wait_ms": 1500,
        }))
        .unwrap();
        assert_eq!(registration.wait, Duration::from_millis(1500));
        assert_eq!(serde_json::to_value(&registration).unwrap()["wait_ms"], 1500);
        assert_eq!(registration.key.action(), ActionId::parse("a").ok());
        registration.key.dialect = Dialect::Fhir;
        assert_eq!(registration.key.action(), None);
    }
}
