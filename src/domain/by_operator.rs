//! What an operator may decide about an attempt (`attempts decide`).
//!
//! Invariant: a decision never leads to a second answer. Nothing is decided while a write to
//! OpenCRVS may still arrive, an answer is not replaced while the result of an earlier write is
//! unknown, and an ID that was issued is never dropped.

use serde::{Deserialize, Serialize};

use super::answer::{Answer, AnswerKind, RecordAnswer};
use super::attempt::{Event, State, next};
use super::registration::{Dialect, EventKind};
use super::resolve::Owner;

/// How an operator decided, as the ledger keeps it with the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum OperatorDecision {
    /// The operator entered the ID.
    Issued,
    Recorded,
    /// OpenCRVS registers the record without an ID; FHIR: with this comment.
    WithoutId {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    Reject,
    /// Apply `CONFIRM_NEGATIVE`, as it is set now, to the negative answer.
    Policy,
    AskAgain,
    Close,
}

impl OperatorDecision {
    /// The name in the ledger and on the command line.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Recorded => "recorded",
            Self::WithoutId { .. } => "without-id",
            Self::Reject => "reject",
            Self::Policy => "policy",
            Self::AskAgain => "ask-again",
            Self::Close => "close",
        }
    }

    /// Whether the operator gave the attempt this answer, or ended it without one. A rejection that
    /// the ID system had sent before stays its own, however the operator then ended the attempt.
    pub fn gave(&self, answer: Option<AnswerKind>) -> bool {
        match self {
            Self::Issued | Self::Recorded | Self::Reject => true,
            Self::WithoutId { .. } => answer == Some(AnswerKind::NotAsked),
            Self::Close => answer.is_none(),
            Self::Policy | Self::AskAgain => false,
        }
    }

    /// The answer that is written to OpenCRVS. If the operator decided to register without an ID, a
    /// rejection is written as *not asked*; every other answer stays.
    pub fn applied_to(decision: Option<&Self>, answer: Answer) -> Answer {
        match (decision, &answer) {
            (Some(Self::WithoutId { .. }), Answer::Rejected(_)) => Answer::NotAsked,
            (
                None
                | Some(
                    Self::Issued
                    | Self::Recorded
                    | Self::WithoutId { .. }
                    | Self::Reject
                    | Self::Policy
                    | Self::AskAgain
                    | Self::Close,
                ),
                _,
            ) => answer,
        }
    }
}

/// What a decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidedCase<'a> {
    pub dialect: Dialect,
    pub kind: &'a EventKind,
    pub state: State,
    /// Whether the record has no newer attempt.
    pub newest: bool,
    /// The attempt's answer.
    pub answer: Option<AnswerKind>,
    /// The answer that belongs to the record.
    pub record_answer: Option<RecordAnswer>,
    /// Whether the record has an answer whose ID has been erased since.
    pub erased: bool,
    /// Which record has the ID that the operator entered; `Nobody` for other decisions.
    pub owner: Owner,
    /// Whether the ID system was ever asked about the attempt.
    pub asked: bool,
    /// Whether the ID system has given its final reply to this submission.
    pub replied: bool,
    /// Whether the view, from which a request is made, has not been erased.
    pub askable: bool,
    /// Whether a request to the ID system would already have expired.
    pub past_deadline: bool,
    /// Whether the token has expired, so that OpenCRVS cannot be told any more.
    pub expired: bool,
    /// Whether a confirmer has the lease, or an earlier write may still arrive
    /// ([`may_expire`](super::lease::may_expire) says no).
    pub being_written: bool,
    /// Whether the result of an earlier write is unknown.
    pub write_unknown: bool,
}

/// What a decision changes; the ledger writes it in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidedPlan {
    pub event: Event,
    /// The record gets this answer.
    pub learn: Option<RecordAnswer>,
    /// The attempt gets this answer in place of the one that it has.
    pub give: Option<AnswerKind>,
    /// The attempt loses its answer and gets a new submission number, because the ID system gives
    /// the same reply to the same submission.
    pub resubmit: bool,
}

/// Why a decision is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecisionRefusal {
    #[error("it is {}: this decision is not possible in that state", .0.as_str())]
    State(State),
    #[error("the record has a newer attempt: decide about that one")]
    NotNewest,
    #[error("it is being written to OpenCRVS, or was a moment ago: try again after CONFIRM_QUARANTINE")]
    BeingWritten,
    #[error(
        "the result of a write to OpenCRVS is unknown: resume it first, so that the bridge reads the record"
    )]
    WriteUnknown,
    #[error("its token has expired, so OpenCRVS cannot be told: `tokens replace` first, or close it")]
    Expired,
    #[error("an ID is issued only for a birth, and only a death is recorded")]
    OtherKind,
    #[error("the record has its answer already, and an ID that was issued is not dropped: resume it")]
    HasAnswer,
    #[error("the record already has another ID, and an ID that was issued is not replaced")]
    HasOtherId,
    #[error("another record has this ID (id_of_another_record)")]
    IdOfAnotherRecord,
    #[error("this generation of OpenCRVS cannot be told of a rejection")]
    CannotReject,
    #[error("it has no negative answer, and CONFIRM_NEGATIVE applies to no other")]
    NoNegativeAnswer,
    #[error("the ID system cannot be asked again: the data for the request has been erased")]
    Erased,
    #[error(
        "the ID system cannot be asked again: the request would be past its own expiry (NID_DEADLINE, or the end of the \
         token). Set a longer NID_DEADLINE or replace the token first, or answer by hand"
    )]
    PastDeadline,
}

impl DecisionRefusal {
    /// Whether the same decision may be possible a little later.
    pub fn is_transient(self) -> bool {
        self == Self::BeingWritten
    }
}

/// Decides what an operator's decision changes.
///
/// # Errors
/// [`DecisionRefusal`]; nothing may be changed then.
pub fn decide_by_operator(
    decision: &OperatorDecision,
    case: &DecidedCase<'_>,
) -> Result<DecidedPlan, DecisionRefusal> {
    if !case.newest {
        return Err(DecisionRefusal::NotNewest);
    }
    let event = match decision {
        OperatorDecision::Close => Event::Close,
        OperatorDecision::AskAgain => Event::DecideAskAgain { asked: case.asked },
        OperatorDecision::Issued
        | OperatorDecision::Recorded
        | OperatorDecision::WithoutId { .. }
        | OperatorDecision::Reject
        | OperatorDecision::Policy => Event::DecideAnswer,
    };
    next(case.state, event).map_err(|_| DecisionRefusal::State(case.state))?;
    if case.being_written {
        return Err(DecisionRefusal::BeingWritten);
    }
    if *decision == OperatorDecision::Close {
        return Ok(DecidedPlan { event, learn: None, give: None, resubmit: false });
    }
    if case.expired {
        return Err(DecisionRefusal::Expired);
    }
    // The earlier answer may have arrived, so it must not be replaced by another.
    if case.write_unknown {
        return Err(DecisionRefusal::WriteUnknown);
    }
    let (learn, give) = answer_of(decision, case)?;
    let resubmit = *decision == OperatorDecision::AskAgain && case.asked && case.replied;
    Ok(DecidedPlan { event, learn, give, resubmit })
}

/// The answers that the record and the attempt get.
fn answer_of(
    decision: &OperatorDecision,
    case: &DecidedCase<'_>,
) -> Result<(Option<RecordAnswer>, Option<AnswerKind>), DecisionRefusal> {
    let of_record = |answer: RecordAnswer, kind: &EventKind| {
        if case.kind != kind {
            return Err(DecisionRefusal::OtherKind);
        }
        Ok((Some(answer), Some(answer.kind())))
    };
    match decision {
        OperatorDecision::Issued => match (case.owner, case.record_answer) {
            (Owner::AnotherRecord, _) => Err(DecisionRefusal::IdOfAnotherRecord),
            (Owner::Nobody, Some(_)) => Err(DecisionRefusal::HasOtherId),
            (Owner::Nobody, None) | (Owner::ThisRecord, _) => {
                of_record(RecordAnswer::Issued, &EventKind::Birth)
            }
        },
        OperatorDecision::Recorded => of_record(RecordAnswer::Recorded, &EventKind::Death),
        OperatorDecision::WithoutId { .. } | OperatorDecision::Reject if case.record_answer.is_some() => {
            Err(DecisionRefusal::HasAnswer)
        }
        OperatorDecision::Reject if case.dialect == Dialect::Fhir => Err(DecisionRefusal::CannotReject),
        // The rejection stays, because later replies to this submission are compared with it.
        OperatorDecision::WithoutId { .. } | OperatorDecision::Reject | OperatorDecision::Policy
            if case.answer == Some(AnswerKind::Rejected) =>
        {
            Ok((None, None))
        }
        OperatorDecision::WithoutId { .. } => Ok((None, Some(AnswerKind::NotAsked))),
        OperatorDecision::Reject => Ok((None, Some(AnswerKind::Rejected))),
        OperatorDecision::Policy => Err(DecisionRefusal::NoNegativeAnswer),
        OperatorDecision::AskAgain if case.record_answer.is_some() && !case.erased => {
            Err(DecisionRefusal::HasAnswer)
        }
        OperatorDecision::AskAgain if !case.askable => Err(DecisionRefusal::Erased),
        OperatorDecision::AskAgain if case.past_deadline => Err(DecisionRefusal::PastDeadline),
        OperatorDecision::AskAgain | OperatorDecision::Close => Ok((None, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NationalId, Reason, ReasonCode};

    fn case(state: State) -> DecidedCase<'static> {
        DecidedCase {
            dialect: Dialect::Fhir,
            kind: &EventKind::Birth,
            state,
            newest: true,
            answer: Some(AnswerKind::Rejected),
            record_answer: None,
            erased: false,
            owner: Owner::Nobody,
            asked: true,
            replied: true,
            askable: true,
            past_deadline: false,
            expired: false,
            being_written: false,
            write_unknown: false,
        }
    }

    fn decisions() -> [OperatorDecision; 7] {
        [
            OperatorDecision::Issued,
            OperatorDecision::Recorded,
            OperatorDecision::WithoutId { comment: None },
            OperatorDecision::Reject,
            OperatorDecision::Policy,
            OperatorDecision::AskAgain,
            OperatorDecision::Close,
        ]
    }

    #[test]
    fn a_held_attempt_allows_the_decisions_of_its_generation_and_kind() {
        let taken = |case: &DecidedCase<'_>| {
            let taken = decisions().into_iter().filter(|one| decide_by_operator(one, case).is_ok());
            taken.map(|one| one.as_str()).collect::<Vec<_>>().join(" ")
        };
        let fhir = case(State::Held);
        assert_eq!(taken(&fhir), "issued without-id policy ask-again close");
        let events = DecidedCase { dialect: Dialect::Events, ..fhir };
        assert_eq!(taken(&events), "issued without-id reject policy ask-again close");
        let death = DecidedCase { kind: &EventKind::Death, ..events };
        assert_eq!(taken(&death), "recorded without-id reject policy ask-again close");
        let unanswered = DecidedCase { answer: None, state: State::Parked, ..fhir };
        assert_eq!(taken(&unanswered), "issued without-id ask-again close");
    }

    #[test]
    fn nothing_is_decided_while_a_write_may_still_arrive() {
        for state in State::ALL {
            let case = DecidedCase { being_written: true, ..case(state) };
            for decision in decisions() {
                assert!(decide_by_operator(&decision, &case).is_err(), "{decision:?} {state:?}");
            }
        }
    }

    #[test]
    fn no_answer_is_replaced_while_the_result_of_a_write_is_unknown_or_the_token_has_expired() {
        for doubt in [
            DecidedCase { write_unknown: true, ..case(State::Parked) },
            DecidedCase { expired: true, ..case(State::Parked) },
        ] {
            for decision in decisions() {
                let taken = decide_by_operator(&decision, &doubt).is_ok();
                assert_eq!(taken, decision == OperatorDecision::Close, "{decision:?}");
            }
        }
    }

    #[test]
    fn an_id_that_was_issued_is_not_dropped_and_never_given_to_a_second_record() {
        let issued =
            DecidedCase { record_answer: Some(RecordAnswer::Issued), answer: None, ..case(State::Parked) };
        for decision in [
            OperatorDecision::WithoutId { comment: None },
            OperatorDecision::Reject,
            OperatorDecision::AskAgain,
        ] {
            assert_eq!(decide_by_operator(&decision, &issued), Err(DecisionRefusal::HasAnswer));
        }
        let other = decide_by_operator(&OperatorDecision::Issued, &issued);
        assert_eq!(other, Err(DecisionRefusal::HasOtherId));
        let same = DecidedCase { owner: Owner::ThisRecord, ..issued };
        assert!(decide_by_operator(&OperatorDecision::Issued, &same).is_ok());
        let foreign = DecidedCase { owner: Owner::AnotherRecord, ..case(State::Held) };
        let refused = decide_by_operator(&OperatorDecision::Issued, &foreign);
        assert_eq!(refused, Err(DecisionRefusal::IdOfAnotherRecord));
        let erased = DecidedCase { erased: true, ..issued };
        assert!(decide_by_operator(&OperatorDecision::AskAgain, &erased).is_ok());
    }

    #[test]
    fn only_the_newest_attempt_can_be_decided_and_only_before_it_has_ended() {
        for decision in decisions() {
            let older = DecidedCase { newest: false, ..case(State::Held) };
            assert_eq!(decide_by_operator(&decision, &older), Err(DecisionRefusal::NotNewest));
            for state in
                [State::Confirmed, State::Rejected, State::Superseded, State::Withdrawn, State::Closed]
            {
                let refused = decide_by_operator(&decision, &case(state));
                assert_eq!(refused, Err(DecisionRefusal::State(state)));
            }
        }
    }

    #[test]
    fn the_id_system_is_asked_again_under_a_new_submission_only_if_it_has_replied_to_the_old_one() {
        let plan = |case: &DecidedCase<'_>| decide_by_operator(&OperatorDecision::AskAgain, case).unwrap();
        assert!(plan(&case(State::Held)).resubmit);
        let never_asked = DecidedCase { asked: false, replied: false, answer: None, ..case(State::Parked) };
        assert!(!plan(&never_asked).resubmit);
        assert!(!plan(&DecidedCase { replied: true, ..never_asked }).resubmit);
        // Its reply to the first submission may still come, and belongs to the record.
        let waiting = DecidedCase { asked: true, ..never_asked };
        assert!(!plan(&waiting).resubmit);
        let erased = DecidedCase { askable: false, ..case(State::Held) };
        let refused = decide_by_operator(&OperatorDecision::AskAgain, &erased);
        assert_eq!(refused, Err(DecisionRefusal::Erased));
    }

    #[test]
    fn past_the_deadline_only_asking_again_is_refused() {
        let late = DecidedCase { past_deadline: true, ..case(State::Held) };
        for decision in decisions() {
            let refused = decide_by_operator(&decision, &late) == Err(DecisionRefusal::PastDeadline);
            assert_eq!(refused, decision == OperatorDecision::AskAgain, "{decision:?}");
        }
    }

    #[test]
    fn each_decision_gives_its_answer_and_the_record_keeps_an_id_or_a_recorded_death() {
        let given = |decision: OperatorDecision, case: &DecidedCase<'_>| {
            let plan = decide_by_operator(&decision, case).unwrap();
            (plan.learn.map(RecordAnswer::kind), plan.give)
        };
        let fhir = DecidedCase { answer: None, ..case(State::Parked) };
        let events = DecidedCase { dialect: Dialect::Events, ..fhir };
        let death = DecidedCase { kind: &EventKind::Death, ..fhir };
        let both = |kind| (Some(kind), Some(kind));
        assert_eq!(given(OperatorDecision::Issued, &fhir), both(AnswerKind::Issued));
        assert_eq!(given(OperatorDecision::Recorded, &death), both(AnswerKind::Recorded));
        let without = || OperatorDecision::WithoutId { comment: None };
        assert_eq!(given(without(), &fhir), (None, Some(AnswerKind::NotAsked)));
        assert_eq!(given(OperatorDecision::Reject, &events), (None, Some(AnswerKind::Rejected)));
        // An existing rejection stays, because later replies are compared with it.
        let rejected = case(State::Held);
        for decision in
            [without(), OperatorDecision::Policy, OperatorDecision::AskAgain, OperatorDecision::Close]
        {
            assert_eq!(given(decision, &rejected), (None, None));
        }
    }

    #[test]
    fn without_an_id_a_rejection_is_written_to_opencrvs_as_not_asked() {
        let no = Answer::Rejected(Reason::of(ReasonCode::Policy));
        let without = OperatorDecision::WithoutId { comment: None };
        assert_eq!(OperatorDecision::applied_to(Some(&without), no.clone()), Answer::NotAsked);
        for decision in [None, Some(OperatorDecision::Policy), Some(OperatorDecision::Reject)] {
            assert_eq!(OperatorDecision::applied_to(decision.as_ref(), no.clone()), no);
        }
        // An ID that was issued after the decision is not dropped.
        let issued = Answer::Issued(NationalId::parse("1234567890").unwrap());
        assert_eq!(OperatorDecision::applied_to(Some(&without), issued.clone()), issued);
    }

    #[test]
    fn only_a_decision_that_meets_a_write_may_be_tried_again() {
        assert!(DecisionRefusal::BeingWritten.is_transient());
        for refusal in [DecisionRefusal::HasOtherId, DecisionRefusal::Erased, DecisionRefusal::PastDeadline] {
            assert!(!refusal.is_transient(), "{refusal:?}");
        }
    }
}
