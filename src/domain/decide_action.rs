//! The confirm decision of the events generation: how an action of OpenCRVS is answered.
//!
//! Accepting and rejecting are idempotent per action there, so nothing is read first and what is ambiguous is repeated.
//! What is not forgiven is a field that the country's forms do not define: it breaks the record for good.
//!
//! Invariant: an issued ID is written into a field that is known to be defined, or the record is not accepted yet.

use super::answer::Answer;
use super::attempt::{Cause, Event};

/// Whether there is a field for the ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdField {
    /// None is configured: the ID is not written.
    NotWanted,
    /// The country's forms define it for this kind of event.
    Defined,
    /// They do not.
    Undefined,
    /// Nobody could say.
    Unknown,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionCourse {
    /// Accept, under the record's number.
    Accept {
        /// With the issued ID in its field.
        with_id: bool,
    },
    /// Reject.
    Reject,
    /// Try later.
    Later(Cause),
    /// Stop, and tell an operator.
    Park(Cause),
}

/// Decides.
pub fn decide_action(answer: &Answer, field: IdField) -> ActionCourse {
    match (answer, field) {
        (Answer::Issued { .. }, IdField::Defined) => ActionCourse::Accept { with_id: true },
        (Answer::Issued { .. }, IdField::Undefined) => ActionCourse::Park(Cause::FieldUndefined),
        (Answer::Issued { .. }, IdField::Unknown) => ActionCourse::Later(Cause::CountryConfigUnavailable),
        (Answer::Issued { .. }, IdField::NotWanted) | (Answer::Recorded | Answer::NotAsked, _) => {
            ActionCourse::Accept { with_id: false }
        }
        (Answer::Rejected(_), _) => ActionCourse::Reject,
    }
}

/// What an attempt ends with when OpenCRVS itself has answered its action.
pub fn overtaken(answer: &Answer) -> (Event, Cause) {
    let issued = matches!(answer, Answer::Issued { .. });
    (Event::Withdraw, if issued { Cause::OrphanId } else { Cause::MovedOn })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NationalId, Reason, ReasonCode};

    const FIELDS: [IdField; 4] = [IdField::NotWanted, IdField::Defined, IdField::Undefined, IdField::Unknown];

    #[test]
    fn an_id_is_written_only_into_a_field_that_is_known_to_be_there() {
        let issued = Answer::Issued { id: NationalId::parse("1").unwrap(), kind: None };
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
        assert_eq!(overtaken(&no), (Event::Withdraw, Cause::MovedOn));
    }
}
