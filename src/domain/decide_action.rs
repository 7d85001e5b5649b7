//! The confirm decision of the events generation: how to answer an action of OpenCRVS.
//!
//! In this generation, accepting and rejecting are idempotent for each action. So the confirmer
//! reads nothing first, and repeats a call whose result is not known. However, writing a field that
//! the country's forms do not define breaks the record for good.
//!
//! Invariant: fields are written only if the form is known to define all fields of the answer. As
//! long as that is not known, the record is not accepted.

use super::answer::Answer;
use super::cause::Cause;

/// Whether the country's forms define the fields that an answer writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldStanding {
    /// No field is mapped for this kind of event and this answer.
    NotWanted,
    /// The form of this kind of event defines all of them.
    Defined,
    /// The form does not define these fields.
    Undefined { which: Vec<String> },
    /// The country's configuration service could not be asked.
    Unknown,
}

/// How to answer the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionCourse {
    /// Accept, under the record's number. If `with_fields` is set, the mapped fields are written.
    Accept {
        with_fields: bool,
    },
    Reject,
    /// Try again later.
    Later(Cause),
    /// Park the attempt for an operator.
    Park(Cause),
}

pub fn decide_action(answer: &Answer, fields: &FieldStanding) -> ActionCourse {
    match (answer, fields) {
        (Answer::Rejected(_), _) => ActionCourse::Reject,
        (Answer::NotAsked, _) | (Answer::Issued(_) | Answer::Recorded, FieldStanding::NotWanted) => {
            ActionCourse::Accept { with_fields: false }
        }
        (Answer::Issued(_) | Answer::Recorded, FieldStanding::Defined) => {
            ActionCourse::Accept { with_fields: true }
        }
        (Answer::Issued(_) | Answer::Recorded, FieldStanding::Undefined { .. }) => {
            ActionCourse::Park(Cause::FieldUndefined)
        }
        (Answer::Issued(_) | Answer::Recorded, FieldStanding::Unknown) => {
            ActionCourse::Later(Cause::CountryConfigUnavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NationalId, Reason, ReasonCode};

    fn standings() -> [FieldStanding; 4] {
        let which = vec!["child.nid".to_owned()];
        [
            FieldStanding::NotWanted,
            FieldStanding::Defined,
            FieldStanding::Undefined { which },
            FieldStanding::Unknown,
        ]
    }

    #[test]
    fn a_field_is_written_only_if_the_form_is_known_to_define_it_and_is_never_left_out() {
        for answer in [Answer::Issued(NationalId::parse("1").unwrap()), Answer::Recorded] {
            for fields in standings() {
                let course = decide_action(&answer, &fields);
                let with = course == ActionCourse::Accept { with_fields: true };
                assert_eq!(with, fields == FieldStanding::Defined, "{answer:?} {fields:?}");
                let without = course == ActionCourse::Accept { with_fields: false };
                assert_eq!(without, fields == FieldStanding::NotWanted, "{answer:?} {fields:?}");
            }
        }
    }

    #[test]
    fn where_the_id_system_did_not_agree_the_fields_do_not_matter() {
        let no = Answer::Rejected(Reason::of(ReasonCode::Policy));
        for fields in standings() {
            assert_eq!(decide_action(&no, &fields), ActionCourse::Reject);
            let not_asked = decide_action(&Answer::NotAsked, &fields);
            assert_eq!(not_asked, ActionCourse::Accept { with_fields: false });
        }
    }
}
