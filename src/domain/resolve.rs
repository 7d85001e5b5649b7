//! What a reply of the ID system means for a record.
//!
//! Invariant: the first final answer to a submission wins, whatever comes later. `issued` and
//! `recorded` belong to the record and pass to its newest attempt; `rejected` belongs to its
//! submission (contract, rule 5). An ID that cannot reach OpenCRVS any more is refused with a cause
//! that alerts an operator.

use super::answer::{AnswerKind, RecordAnswer};
use super::attempt::{Event, State, next};
use super::cause::Cause;
use super::registration::EventKind;

/// Which record already has the ID that a reply brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    Nobody,
    /// The record that the reply is about.
    ThisRecord,
    AnotherRecord,
}

/// A reply, as far as the rules need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    Issued(Owner),
    Recorded,
    Rejected,
    /// The ID system wants to be asked again later.
    Retry,
    /// The ID system is still working on it.
    Pending,
}

/// An attempt, as far as the rules need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptStatus {
    pub state: State,
    pub answer: Option<AnswerKind>,
}

/// What the ledger knows of a record when a reply arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordStatus<'a> {
    pub kind: &'a EventKind,
    /// The answer that belongs to the record, if there is one yet.
    pub answer: Option<RecordAnswer>,
    /// Whether the record has an answer whose ID has been erased since. An attempt that needs the
    /// ID has to get it from the ID system again.
    pub erased: bool,
    /// The attempt whose submission the reply names.
    pub addressed: AttemptStatus,
    /// The record's newest attempt, which may be the same.
    pub newest: AttemptStatus,
}

/// One of the two attempts that a reply may concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// The attempt whose submission the reply names.
    Addressed,
    /// The record's newest attempt.
    Newest,
}

/// What happens after a reply has been written to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FollowUp {
    /// The confirmer gets the outcome of this attempt.
    NotifyConfirmer(Which),
    /// The ID system is asked about the newest attempt again.
    AskAgain,
    Nothing,
    /// The reply cannot be applied.
    Refuse(Cause),
}

/// Everything that a reply changes; the ledger writes it in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The record gets this answer.
    pub learn: Option<RecordAnswer>,
    /// The addressed attempt keeps this answer for comparison with later replies; its state does
    /// not change.
    pub archive: Option<AnswerKind>,
    /// This attempt gets this answer and becomes *answered*.
    pub give: Option<(Which, AnswerKind)>,
    /// The newest attempt is parked with this cause.
    pub park: Option<Cause>,
    pub follow_up: FollowUp,
}

impl Plan {
    const fn only(follow_up: FollowUp) -> Self {
        Self { learn: None, archive: None, give: None, park: None, follow_up }
    }
}

/// Decides what a reply changes.
pub fn resolve(reply: ReplyKind, record: &RecordStatus<'_>) -> Plan {
    match reply {
        ReplyKind::Issued(owner) => issued(owner, record),
        ReplyKind::Recorded => recorded(record),
        ReplyKind::Rejected => rejected(record),
        // An attempt that is only received is sent in any case.
        ReplyKind::Retry if record.newest.state == State::Requested => Plan::only(FollowUp::AskAgain),
        ReplyKind::Retry | ReplyKind::Pending => Plan::only(FollowUp::Nothing),
    }
}

/// The answer to an attempt that needs no reply: the record's answer, if it has one; else a
/// rejection, if the contract cannot carry the registration (`unfit`); else *not asked*.
pub fn answer_without_asking(record: Option<RecordAnswer>, unfit: bool) -> AnswerKind {
    match record {
        Some(answer) => answer.kind(),
        None if unfit => AnswerKind::Rejected,
        None => AnswerKind::NotAsked,
    }
}

fn issued(owner: Owner, record: &RecordStatus<'_>) -> Plan {
    if *record.kind != EventKind::Birth {
        return Plan::only(FollowUp::Refuse(Cause::Malformed));
    }
    if record.addressed.answer == Some(AnswerKind::Rejected) {
        return Plan::only(FollowUp::Refuse(Cause::ContradictoryAnswer));
    }
    match (owner, record.answer) {
        (Owner::ThisRecord, _) => {
            let again = record.erased && record.newest.state.is_open();
            pass_on(record, RecordAnswer::Issued, again.then_some(RecordAnswer::Issued))
        }
        (Owner::Nobody, None) => pass_on(record, RecordAnswer::Issued, Some(RecordAnswer::Issued)),
        (Owner::AnotherRecord | Owner::Nobody, Some(_)) => {
            Plan::only(FollowUp::Refuse(Cause::ContradictoryAnswer))
        }
        (Owner::AnotherRecord, None) => {
            let cause = Cause::IdOfAnotherRecord;
            let park = next(record.newest.state, Event::Park).is_ok().then_some(cause);
            Plan { park, ..Plan::only(FollowUp::Refuse(cause)) }
        }
    }
}

fn recorded(record: &RecordStatus<'_>) -> Plan {
    if *record.kind != EventKind::Death {
        return Plan::only(FollowUp::Refuse(Cause::Malformed));
    }
    if record.addressed.answer == Some(AnswerKind::Rejected) {
        return Plan::only(FollowUp::Refuse(Cause::ContradictoryAnswer));
    }
    pass_on(record, RecordAnswer::Recorded, Some(RecordAnswer::Recorded))
}

/// Whether the record's answer cannot reach OpenCRVS any more, if this is its newest attempt.
pub fn is_orphan(answer: RecordAnswer, newest: AttemptStatus) -> bool {
    match newest.state {
        // The attempt has another answer, and a confirmer may be writing that one already, so the
        // answer cannot be exchanged any more.
        State::Answered | State::Confirmed | State::Parked => {
            newest.answer.is_some_and(|given| given != answer.kind())
        }
        State::Withdrawn | State::Expired | State::Rejected | State::Held | State::Closed => true,
        State::Received | State::Requested | State::Superseded => false,
    }
}

/// Gives the record's answer to its newest attempt.
fn pass_on(record: &RecordStatus<'_>, answer: RecordAnswer, learn: Option<RecordAnswer>) -> Plan {
    let (newest, kind) = (record.newest, answer.kind());
    let (give, follow_up) = match newest.state {
        // The newest attempt may be invented: *send* checks it in OpenCRVS before it gives it the
        // answer.
        State::Received if record.addressed.state != State::Received => (None, FollowUp::Nothing),
        State::Received | State::Requested => {
            (Some((Which::Newest, kind)), FollowUp::NotifyConfirmer(Which::Newest))
        }
        _ if is_orphan(answer, newest) => (None, FollowUp::Refuse(Cause::OrphanId)),
        State::Answered => (None, FollowUp::NotifyConfirmer(Which::Newest)),
        State::Confirmed
        | State::Superseded
        | State::Parked
        | State::Withdrawn
        | State::Expired
        | State::Rejected
        | State::Held
        | State::Closed => (None, FollowUp::Nothing),
    };
    // The addressed attempt keeps the answer, even if another attempt gets it, because later
    // replies to the same submission are compared with it.
    let archive = record.addressed.answer.is_none().then_some(kind);
    Plan { learn, archive, give, park: None, follow_up }
}

/// Whether a reply is awaited for the attempt.
fn is_asked(attempt: AttemptStatus) -> bool {
    matches!(attempt.state, State::Received | State::Requested)
}

fn rejected(record: &RecordStatus<'_>) -> Plan {
    let addressed = record.addressed;
    match addressed.answer {
        Some(AnswerKind::Rejected) if addressed.state == State::Answered => {
            Plan::only(FollowUp::NotifyConfirmer(Which::Addressed))
        }
        Some(AnswerKind::Rejected) => Plan::only(FollowUp::Nothing),
        Some(AnswerKind::Issued | AnswerKind::Recorded | AnswerKind::NotAsked) => {
            Plan::only(FollowUp::Refuse(Cause::ContradictoryAnswer))
        }
        // The record's answer applies to this attempt as well, and *send* is about to give it. If
        // its ID was erased, *send* cannot give it and the ID system would not send it again, so
        // the attempt is parked.
        None if is_asked(addressed) && record.answer.is_some() => {
            let park = record.erased.then_some(Cause::ContradictoryAnswer);
            Plan { park, ..Plan::only(FollowUp::Refuse(Cause::ContradictoryAnswer)) }
        }
        None if is_asked(addressed) => Plan {
            give: Some((Which::Addressed, AnswerKind::Rejected)),
            ..Plan::only(FollowUp::NotifyConfirmer(Which::Addressed))
        },
        // No attempt waits for this answer any more. It is kept because it is the first final
        // answer to its submission.
        None => Plan { archive: Some(AnswerKind::Rejected), ..Plan::only(FollowUp::Nothing) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(state: State, answer: Option<AnswerKind>) -> AttemptStatus {
        AttemptStatus { state, answer }
    }

    fn birth(addressed: AttemptStatus, newest: AttemptStatus) -> RecordStatus<'static> {
        RecordStatus { kind: &EventKind::Birth, answer: None, erased: false, addressed, newest }
    }

    #[test]
    fn a_rejection_after_an_issued_id_parks_only_if_the_id_was_erased() {
        let asked = attempt(State::Requested, None);
        for erased in [false, true] {
            let record = RecordStatus { answer: Some(RecordAnswer::Issued), erased, ..birth(asked, asked) };
            let plan = resolve(ReplyKind::Rejected, &record);
            assert_eq!(plan.follow_up, FollowUp::Refuse(Cause::ContradictoryAnswer));
            assert_eq!(plan.park, erased.then_some(Cause::ContradictoryAnswer));
            assert_eq!((plan.give, plan.archive), (None, None));
        }
    }

    #[test]
    fn a_rejection_that_nobody_waits_for_is_kept_for_comparison() {
        let newest = attempt(State::Requested, None);
        for state in [State::Superseded, State::Withdrawn, State::Expired, State::Parked] {
            let plan = resolve(ReplyKind::Rejected, &birth(attempt(state, None), newest));
            assert_eq!(plan.archive, Some(AnswerKind::Rejected), "{state:?}");
            assert_eq!((plan.give, plan.follow_up), (None, FollowUp::Nothing), "{state:?}");
        }
    }

    #[test]
    fn an_id_that_cannot_reach_opencrvs_any_more_is_an_orphan() {
        let addressed = attempt(State::Superseded, None);
        for (state, answer) in [
            (State::Answered, Some(AnswerKind::Rejected)),
            (State::Confirmed, Some(AnswerKind::NotAsked)),
            (State::Parked, Some(AnswerKind::Rejected)),
            (State::Held, Some(AnswerKind::Rejected)),
            (State::Rejected, Some(AnswerKind::Rejected)),
            (State::Withdrawn, None),
            (State::Expired, None),
            (State::Closed, None),
        ] {
            let record = birth(addressed, attempt(state, answer));
            let plan = resolve(ReplyKind::Issued(Owner::Nobody), &record);
            assert_eq!(plan.follow_up, FollowUp::Refuse(Cause::OrphanId), "{state:?}");
            assert_eq!((plan.learn, plan.give), (Some(RecordAnswer::Issued), None), "{state:?}");
        }
    }

    #[test]
    fn a_newer_attempt_gets_the_answer_only_after_send_has_checked_it() {
        let older = attempt(State::Superseded, None);
        for (addressed, state, gets) in [
            (older, State::Received, false),
            (older, State::Requested, true),
            (attempt(State::Received, None), State::Received, true),
        ] {
            let plan = resolve(ReplyKind::Issued(Owner::Nobody), &birth(addressed, attempt(state, None)));
            assert_eq!(plan.learn, Some(RecordAnswer::Issued));
            assert_eq!(plan.give.is_some(), gets, "{state:?}");
            assert_eq!(plan.follow_up == FollowUp::Nothing, !gets, "{state:?}");
            let asks = resolve(ReplyKind::Retry, &birth(addressed, attempt(state, None)));
            assert_eq!(asks.follow_up == FollowUp::AskAgain, state == State::Requested, "{state:?}");
        }
    }

    #[test]
    fn the_id_of_another_record_is_not_stored_and_parks_an_open_attempt() {
        for state in State::ALL {
            let one = attempt(state, None);
            let plan = resolve(ReplyKind::Issued(Owner::AnotherRecord), &birth(one, one));
            let parks = state.is_open().then_some(Cause::IdOfAnotherRecord);
            assert_eq!((plan.learn, plan.give, plan.park), (None, None, parks), "{state:?}");
            assert_eq!(plan.follow_up, FollowUp::Refuse(Cause::IdOfAnotherRecord));
        }
    }

    #[test]
    fn an_attempt_that_needs_no_reply_gets_the_records_answer_if_there_is_one() {
        for (record, unfit, expected) in [
            (Some(RecordAnswer::Issued), true, AnswerKind::Issued),
            (Some(RecordAnswer::Recorded), false, AnswerKind::Recorded),
            (None, true, AnswerKind::Rejected),
            (None, false, AnswerKind::NotAsked),
        ] {
            assert_eq!(answer_without_asking(record, unfit), expected);
        }
    }

    #[test]
    fn an_answer_passes_to_whoever_waits_for_it() {
        let asked = attempt(State::Requested, None);
        let plan = resolve(ReplyKind::Issued(Owner::Nobody), &birth(asked, asked));
        assert_eq!((plan.learn, plan.archive), (Some(RecordAnswer::Issued), Some(AnswerKind::Issued)));
        assert_eq!(plan.give, Some((Which::Newest, AnswerKind::Issued)));
        assert_eq!(plan.follow_up, FollowUp::NotifyConfirmer(Which::Newest));
        let plan = resolve(ReplyKind::Rejected, &birth(asked, asked));
        assert_eq!((plan.give, plan.archive), (Some((Which::Addressed, AnswerKind::Rejected)), None));
        assert_eq!(plan.follow_up, FollowUp::NotifyConfirmer(Which::Addressed));
        let death = RecordStatus { kind: &EventKind::Death, ..birth(asked, asked) };
        let plan = resolve(ReplyKind::Recorded, &death);
        assert_eq!((plan.learn, plan.park), (Some(RecordAnswer::Recorded), None));
        assert_eq!(plan.follow_up, FollowUp::NotifyConfirmer(Which::Newest));
    }

    #[test]
    fn an_answer_that_comes_again_notifies_again_and_changes_nothing() {
        let answered = attempt(State::Answered, Some(AnswerKind::Issued));
        let known = RecordStatus { answer: Some(RecordAnswer::Issued), ..birth(answered, answered) };
        let plan = resolve(ReplyKind::Issued(Owner::ThisRecord), &known);
        assert_eq!((plan.learn, plan.archive, plan.give), (None, None, None));
        assert_eq!(plan.follow_up, FollowUp::NotifyConfirmer(Which::Newest));
        for (state, follow_up) in
            [(State::Answered, FollowUp::NotifyConfirmer(Which::Addressed)), (State::Held, FollowUp::Nothing)]
        {
            let rejected = attempt(state, Some(AnswerKind::Rejected));
            assert_eq!(resolve(ReplyKind::Rejected, &birth(rejected, rejected)), Plan::only(follow_up));
        }
    }

    #[test]
    fn a_reply_that_contradicts_the_first_one_is_refused() {
        let rejected = attempt(State::Answered, Some(AnswerKind::Rejected));
        let death = RecordStatus { kind: &EventKind::Death, ..birth(rejected, rejected) };
        let contradicts = Plan::only(FollowUp::Refuse(Cause::ContradictoryAnswer));
        assert_eq!(resolve(ReplyKind::Recorded, &death), contradicts);
        let issued = attempt(State::Answered, Some(AnswerKind::Issued));
        assert_eq!(resolve(ReplyKind::Rejected, &birth(issued, issued)), contradicts);
        let malformed = Plan::only(FollowUp::Refuse(Cause::Malformed));
        assert_eq!(resolve(ReplyKind::Recorded, &birth(issued, issued)), malformed);
        assert_eq!(resolve(ReplyKind::Issued(Owner::Nobody), &death), malformed);
    }
}
