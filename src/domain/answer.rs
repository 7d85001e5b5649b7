//! What a National ID system answered, in terms that every adapter shares.
//!
//! Wire source: the queue contract (`reply.v1.json`). `issued` and `recorded` belong to the record; `rejected`
//! belongs to the submission that was rejected.

use serde::{Deserialize, Serialize};

use super::ids::NationalId;
use super::resolve::AnswerKind;

/// The kind of an issued ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdKind {
    /// A unique identification number.
    Uin,
    /// A virtual ID.
    Vid,
    /// A partner-specific user token.
    Psut,
    /// A national identification number.
    Nin,
    /// Any other.
    Other,
}

/// Why an ID system will not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// A value is not acceptable.
    InvalidData,
    /// A value that is needed is absent.
    MissingData,
    /// The person has an ID already.
    DuplicatePerson,
    /// The person may not have one.
    NotEligible,
    /// Nobody has that ID.
    PersonNotFound,
    /// The death is already recorded.
    AlreadyDeceased,
    /// A rule of the country.
    Policy,
    /// Anything else.
    Other,
}

impl ReasonCode {
    /// The code as the contract writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidData => "invalid_data",
            Self::MissingData => "missing_data",
            Self::DuplicatePerson => "duplicate_person",
            Self::NotEligible => "not_eligible",
            Self::PersonNotFound => "person_not_found",
            Self::AlreadyDeceased => "already_deceased",
            Self::Policy => "policy",
            Self::Other => "other",
        }
    }

    /// Reads [`ReasonCode::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::from(text)).ok()
    }
}

/// A rejection. The ID system's own message may name a person, so it is not part of this: only the code and the
/// names of the fields are kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// The contract's names of the fields that are at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// A final answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A birth: the ID.
    Issued {
        /// The ID.
        id: NationalId,
        /// Its kind, where the ID system says.
        kind: Option<IdKind>,
    },
    /// A death: it is recorded.
    Recorded,
    /// The ID system says no, to this submission.
    Rejected(Reason),
    /// Nobody was asked: the kind of event, or the person, is not the ID system's business.
    NotAsked,
}

impl Answer {
    /// The answer of this kind with what belongs to it; `id` is asked only for an ID that was issued.
    ///
    /// # Errors
    /// What `id` fails with.
    pub fn of<E>(
        label: AnswerKind,
        reason: Option<Reason>,
        id: impl FnOnce() -> Result<(NationalId, Option<IdKind>), E>,
    ) -> Result<Self, E> {
        Ok(match label {
            AnswerKind::Issued => {
                let (id, kind) = id()?;
                Self::Issued { id, kind }
            }
            AnswerKind::Recorded => Self::Recorded,
            AnswerKind::Rejected => {
                let unknown = Reason { code: ReasonCode::Other, fields: Vec::new() };
                Self::Rejected(reason.unwrap_or(unknown))
            }
            AnswerKind::NotAsked => Self::NotAsked,
        })
    }

    /// The name in the ledger and in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Issued { .. } => "issued",
            Self::Recorded => "recorded",
            Self::Rejected(_) => "rejected",
            Self::NotAsked => "not_asked",
        }
    }
}
