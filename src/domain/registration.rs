//! A registration as the front accepted it: which record, which attempt, when, and until when it can be answered.
//!
//! Invariant: no personal data. What a person is called is in the [`View`](super::View), which travels sealed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{AttemptId, RecordId, RegistrationNumber, TrackingId};

/// The generation of OpenCRVS that submitted a record, which is the one that must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenCRVS 1.7 to 1.9: FHIR bundle in, GraphQL out.
    Fhir,
    /// OpenCRVS 1.9 and 2.x: event document in, tRPC out.
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

/// What happened to the person.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum EventKind {
    /// A birth: the ID system is asked to issue an ID.
    Birth,
    /// A death: the ID system is asked to record it.
    Death,
    /// A marriage: registered without asking.
    Marriage,
    /// A kind of the country's own, in lower case: registered without asking.
    Other(String),
}

impl EventKind {
    /// The kind by its name in OpenCRVS, in any case: `BIRTH`, `death`, `tennis-club-membership`.
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

    /// The name as a metric label: bounded, whatever a country calls its own kinds.
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

/// Which submission of which record. Two of the same key are the same attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptKey {
    /// Who must be answered.
    pub dialect: Dialect,
    /// The record.
    pub record: RecordId,
    /// What tells this submission from the others: `Task.lastModified` as it was written (FHIR; the pair with
    /// `Composition.id` identifies an attempt in every 1.x), the action's id (events).
    pub mark: String,
    /// When the registrar submitted it: `Task.lastModified` or the action's `createdAt`. Orders the attempts.
    pub stamp: Timestamp,
}

impl AttemptKey {
    /// The attempt's id: a function of dialect, record and mark.
    pub fn id(&self) -> AttemptId {
        AttemptId::derive(&["attempt", self.dialect.as_str(), self.record.as_str(), &self.mark])
    }
}

/// What the front accepted, less the view and the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The record and the attempt.
    pub key: AttemptKey,
    /// What happened.
    pub kind: EventKind,
    /// The family's code.
    pub tracking_id: TrackingId,
    /// The code of the registration office, such as `CRVS_OFFICE_JWMRGwDBXK`, where the document names it.
    pub office: Option<String>,
    /// When the front took it; nothing is written to OpenCRVS too soon after this.
    pub accepted_at: Timestamp,
    /// How long after that the front holds the caller for the answer; nothing is written to OpenCRVS meanwhile.
    #[serde(default, rename = "wait_ms", with = "millis", skip_serializing_if = "Duration::is_zero")]
    pub wait: Duration,
    /// When the token that allows the answer dies (claim `exp`).
    pub token_expires_at: Timestamp,
    /// A number that the country's own handler already gave; adopted if the record has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<RegistrationNumber>,
}

/// A duration as whole milliseconds.
mod millis {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(wait: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
