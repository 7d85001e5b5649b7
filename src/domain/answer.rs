//! What a National ID system answered, in terms that every adapter shares.
//!
//! Wire source: the queue contract (`reply.v1.json`).
//!
//! Invariant: `issued` and `recorded` belong to the record; `rejected` belongs to the submission
//! that was rejected.

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::national_id::NationalId;

/// Why an ID system rejects a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// A value is not acceptable.
    InvalidData,
    /// A required value is absent.
    MissingData,
    /// The person has an ID already.
    DuplicatePerson,
    NotEligible,
    /// Nobody has that ID.
    PersonNotFound,
    /// The death is already recorded.
    AlreadyDeceased,
    /// A rule of the country forbids it.
    Policy,
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

/// Who rejects a submission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonSource {
    #[default]
    IdSystem,
    /// An operator, with `attempts decide --as reject`.
    Operator,
    /// The bridge: the registration is unfit, so the ID system was not asked.
    Bridge,
}

impl ReasonSource {
    /// The cause of an attempt that is held because of the rejection.
    pub fn cause(self) -> Cause {
        match self {
            // A rejection by an operator is written to OpenCRVS, so no attempt is held for it.
            Self::IdSystem | Self::Operator => Cause::RejectedByIdSystem,
            Self::Bridge => Cause::Unfit,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_id_system(&self) -> bool {
        *self == Self::IdSystem
    }
}

/// The reason of a rejection: a code and the names of fields. The ID system's own message may name
/// a person, so it is neither kept nor shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: ReasonCode,
    /// The contract's names of the fields that are at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Absent in what older releases stored, which was the ID system's reason.
    #[serde(default, skip_serializing_if = "ReasonSource::is_id_system")]
    pub source: ReasonSource,
}

impl Reason {
    /// A reason of the ID system that names no fields.
    pub fn of(code: ReasonCode) -> Self {
        Self { code, fields: Vec::new(), source: ReasonSource::IdSystem }
    }

    /// The reason of a rejection by an operator. The operator's own words stay in the history.
    pub fn of_operator() -> Self {
        Self { code: ReasonCode::Other, fields: Vec::new(), source: ReasonSource::Operator }
    }
}

/// The final answer to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A birth: the ID system issued this ID.
    Issued(NationalId),
    /// A death: the ID system recorded it.
    Recorded,
    /// The ID system rejected this submission.
    Rejected(Reason),
    /// The ID system was not asked: this kind of event, or this person, does not concern it.
    NotAsked,
}

/// The kind of an answer, without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    Issued,
    Recorded,
    Rejected,
    NotAsked,
}

/// An answer that belongs to the record and passes to its newest attempt, whichever submission the
/// ID system answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordAnswer {
    Issued,
    Recorded,
}

impl Answer {
    /// Builds an answer from its kind. `id` is called only for an ID that was issued; a rejection
    /// without a reason gets the code `other`.
    ///
    /// # Errors
    /// The error of `id`.
    pub fn of<E>(
        kind: AnswerKind,
        reason: Option<Reason>,
        id: impl FnOnce() -> Result<NationalId, E>,
    ) -> Result<Self, E> {
        Ok(match kind {
            AnswerKind::Issued => Self::Issued(id()?),
            AnswerKind::Recorded => Self::Recorded,
            AnswerKind::Rejected => Self::Rejected(reason.unwrap_or_else(|| Reason::of(ReasonCode::Other))),
            AnswerKind::NotAsked => Self::NotAsked,
        })
    }
}

impl AnswerKind {
    const ALL: [Self; 4] = [Self::Issued, Self::Recorded, Self::Rejected, Self::NotAsked];

    /// The name in the ledger and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Recorded => "recorded",
            Self::Rejected => "rejected",
            Self::NotAsked => "not_asked",
        }
    }

    /// Reads [`AnswerKind::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl RecordAnswer {
    pub fn kind(self) -> AnswerKind {
        match self {
            Self::Issued => AnswerKind::Issued,
            Self::Recorded => AnswerKind::Recorded,
        }
    }

    /// Reads the name of [`RecordAnswer::kind`] back. Returns `None` for every other text,
    /// including the kinds that belong to a submission.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Issued, Self::Recorded].into_iter().find(|answer| answer.kind().as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_reason_without_a_source_is_the_id_systems() {
        let read = |text: &str| serde_json::from_str::<Reason>(text).unwrap();
        assert_eq!(read(r#"{"code":"policy"}"#), Reason::of(ReasonCode::Policy));
        assert_eq!(read(r#"{"code":"policy","source":"bridge"}"#).source.cause(), Cause::Unfit);
        for source in [ReasonSource::IdSystem, ReasonSource::Bridge, ReasonSource::Operator] {
            let reason = Reason { source, ..Reason::of(ReasonCode::MissingData) };
            let stored = serde_json::to_string(&reason).unwrap();
            assert_eq!(read(&stored), reason);
            // An older release of the bridge refuses a member that it does not know.
            assert_eq!(stored.contains("source"), source != ReasonSource::IdSystem, "{stored}");
        }
        assert_eq!(Reason::of_operator().source, ReasonSource::Operator);
    }

    #[test]
    fn every_kind_has_its_name_and_only_an_answer_of_the_record_is_read_as_one() {
        for (kind, name, of_record) in [
            (AnswerKind::Issued, "issued", Some(RecordAnswer::Issued)),
            (AnswerKind::Recorded, "recorded", Some(RecordAnswer::Recorded)),
            (AnswerKind::Rejected, "rejected", None),
            (AnswerKind::NotAsked, "not_asked", None),
        ] {
            assert_eq!((kind.as_str(), AnswerKind::parse(name)), (name, Some(kind)));
            assert_eq!(RecordAnswer::parse(name), of_record, "{name}");
        }
        assert_eq!(AnswerKind::parse("Issued"), None);
    }

    #[test]
    fn every_code_is_read_by_the_name_that_it_is_written_with() {
        for name in [
            "invalid_data",
            "missing_data",
            "duplicate_person",
            "not_eligible",
            "person_not_found",
            "already_deceased",
            "policy",
            "other",
        ] {
            assert_eq!(ReasonCode::parse(name).unwrap().as_str(), name);
        }
        assert_eq!(ReasonCode::parse("Other"), None);
    }
}
