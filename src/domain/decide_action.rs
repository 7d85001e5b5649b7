//! The confirm decision of the events generation: how to answer an action of OpenCRVS.
//!
//! In this generation, accepting and rejecting are idempotent for each action. So the confirmer
//! reads nothing first, and repeats a call whose result is not known. However, writing a field that
//! the country's forms do not define breaks the record for good.
//!
//! Invariant: an issued ID is written only into a field that is known to be defined. As long as
//! that is not known, a record whose ID has to be written is not accepted.

use super::answer::Answer;
use super::cause::Cause;

/// Whether the country's forms have a field for the ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdField {
    /// No field is configured: the ID is not written.
    NotWanted,
    /// The country's forms define the field for this kind of event.
    Defined,
    /// The country's forms do not define the field.
    Undefined,
    /// The country's configuration service could not be asked.
    Unknown,
}

/// How to answer the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionCourse {
    /// Accept, under the record's number. If `with_id` is set, the issued ID goes into its field.
    Accept {
        with_id: bool,
    },
    Reject,
    /// Try again later.
    Later(Cause),
    /// Park the attempt for an operator.
    Park(Cause),
}

pub fn decide_action(answer: &Answer, field: IdField) -> ActionCourse {
    match (answer, field) {
        (Answer::Issued(_), IdField::Defined) => ActionCourse::Accept { with_id: true },
        (Answer::Issued(_), IdField::Undefined) => ActionCourse::Park(Cause::FieldUndefined),
        (Answer::Issued(_), IdField::Unknown) => ActionCourse::Later(Cause::CountryConfigUnavailable),
        (Answer::Issued(_), IdField::NotWanted) | (Answer::Recorded | Answer::NotAsked, _) => {
            ActionCourse::Accept { with_id: false }
        }
        (Answer::Rejected(_), _) => ActionCourse::Reject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NationalId, Reason, ReasonCode};

    const FIELDS: [IdField; 4] = [IdField::NotWanted, IdField::Defined, IdField::Undefined, IdField::Unknown];

    #[test]
    fn an_id_is_written_only_into_a_field_that_is_known_to_be_there() {
        let issued = Answer::Issued(NationalId::parse("1").unwrap());
        for field in FIELDS {
            let with_id = decide_action(&issued, field) == ActionCourse::Accept { with_id: true };
            assert_eq!(with_id, field == IdField::Defined, "{field:?}");
            let without = decide_action(&issued, field) == ActionCourse::Accept { with_id: false };
            assert_eq!(without, field == IdField::NotWanted, "{field:?}: an ID is not dropped on the way");
        }
    }

    #[test]
    fn where_there_is_no_id_the_field_does_not_matter() {
        let no = Answer::Rejected(Reason { code: ReasonCode::Policy, fields: Vec::new() });
        for field in FIELDS {
            assert_eq!(decide_action(&no, field), ActionCourse::Reject);
            for answer in [Answer::Recorded, Answer::NotAsked] {
                assert_eq!(decide_action(&answer, field), ActionCourse::Accept { with_id: false });
            }
        }
    }
}
