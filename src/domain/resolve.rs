//! What a reply of the ID system means for a record.
//!
//! Invariant: the first final answer to a submission wins, whatever comes later; `issued` and `recorded` belong to
//! the record and pass to its newest attempt, `rejected` belongs to its submission (contract, rule 5). An ID that
//! cannot reach OpenCRVS any more is refused aloud.

use serde::{Deserialize, Serialize};

use super::attempt::{Cause, Event, State, next};
use super::registration::EventKind;

/// A final answer that belongs to the record rather than to one submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    /// An ID was issued.
    Issued,
    /// The death is recorded.
    Recorded,
}

/// The kind of an attempt's answer, without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// An ID was issued.
    Issued,
    /// The death is recorded.
    Recorded,
    /// The submission is rejected.
    Rejected,
    /// Nobody was asked.
    NotAsked,
}

/// Whose ID it is that a reply brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// No record has it yet.
    Nobody,
    /// The record that the reply is about has it.
    ThisRecord,
    /// Another record has it.
    AnotherRecord,
}

/// A reply, as far as the rules need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    /// An ID was issued.
    Issued(Owner),
    /// The death is recorded.
    Recorded,
    /// The submission is rejected.
    Rejected,
    /// Ask again later.
    Retry,
    /// Still at it.
    Pending,
}

/// An attempt, as far as the rules need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party {
    /// Where it stands.
    pub state: State,
    /// Its answer.
    pub answer: Option<AnswerKind>,
}

/// What the ledger has when a reply arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties<'a> {
    /// What was registered.
    pub kind: &'a EventKind,
    /// What the ID system has said for good.
    pub known: Option<Known>,
    /// The ID itself was erased since: whoever needs it has to be told it again.
    pub erased: bool,
    /// The attempt whose submission the reply names.
    pub addressed: Party,
    /// The record's newest attempt, which may be the same.
    pub newest: Party,
}

/// One of the two attempts that a reply may concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// The one whose submission it names.
    Addressed,
    /// The record's newest.
    Newest,
}

/// How a reply is to be followed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    /// The confirmer is told of this attempt.
    Tell(Who),
    /// The newest attempt is asked about again.
    AskAgain,
    /// Nothing.
    Note,
    /// It cannot be applied.
    Refuse(Cause),
}

/// What is to be done with a reply, all of it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The record has this from now on.
    pub learn: Option<Known>,
    /// The addressed attempt's answer for the archive; it moves nothing.
    pub keep: Option<AnswerKind>,
    /// The attempt that gets this answer and moves on with it.
    pub give: Option<(Who, AnswerKind)>,
    /// The newest attempt is parked for this.
    pub park: Option<Cause>,
    /// What follows.
    pub then: Then,
}

impl Plan {
    const fn only(then: Then) -> Self {
        Self { learn: None, keep: None, give: None, park: None, then }
    }
}

impl AnswerKind {
    const ALL: [Self; 4] = [Self::Issued, Self::Recorded, Self::Rejected, Self::NotAsked];

    /// The name in the ledger.
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
        Self::ALL.into_iter().find(|label| label.as_str() == text)
    }
}

impl Known {
    /// The name in the ledger.
    pub fn as_str(self) -> &'static str {
        AnswerKind::from(self).as_str()
    }

    /// Reads [`Known::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Issued, Self::Recorded].into_iter().find(|known| known.as_str() == text)
    }
}

impl From<Known> for AnswerKind {
    fn from(known: Known) -> Self {
        match known {
            Known::Issued => Self::Issued,
            Known::Recorded => Self::Recorded,
        }
    }
}

/// What is to be done with a reply.
pub fn resolve(reply: ReplyKind, parties: &Parties<'_>) -> Plan {
    match reply {
        ReplyKind::Issued(owner) => issued(owner, parties),
        ReplyKind::Recorded => recorded(parties),
        ReplyKind::Rejected => rejected(parties),
        ReplyKind::Retry if matches!(parties.newest.state, State::Received | State::Requested) => {
            Plan::only(Then::AskAgain)
        }
        ReplyKind::Retry | ReplyKind::Pending => Plan::only(Then::Note),
    }
}

/// The answer of an attempt that no reply is waited for: what the record already has, or a rejection of our own.
pub fn unasked(known: Option<Known>, unfit: bool) -> AnswerKind {
    match known {
        Some(known) => known.into(),
        None if unfit => AnswerKind::Rejected,
        None => AnswerKind::NotAsked,
    }
}

fn issued(owner: Owner, parties: &Parties<'_>) -> Plan {
    if *parties.kind != EventKind::Birth {
        return Plan::only(Then::Refuse(Cause::Malformed));
    }
    if parties.addressed.answer == Some(AnswerKind::Rejected) {
        return Plan::only(Then::Refuse(Cause::ContradictoryAnswer));
    }
    match (owner, parties.known) {
        (Owner::ThisRecord, _) => {
            let again = parties.erased && parties.newest.state.is_open();
            pass_on(parties, Known::Issued, again.then_some(Known::Issued))
        }
        (Owner::Nobody, None) => pass_on(parties, Known::Issued, Some(Known::Issued)),
        (Owner::AnotherRecord | Owner::Nobody, Some(_)) => {
            Plan::only(Then::Refuse(Cause::ContradictoryAnswer))
        }
        (Owner::AnotherRecord, None) => {
            let cause = Cause::IdOfAnotherRecord;
            let park = next(parties.newest.state, Event::Park).is_ok().then_some(cause);
            Plan { park, ..Plan::only(Then::Refuse(cause)) }
        }
    }
}

fn recorded(parties: &Parties<'_>) -> Plan {
    if *parties.kind != EventKind::Death {
        return Plan::only(Then::Refuse(Cause::Malformed));
    }
    if parties.addressed.answer == Some(AnswerKind::Rejected) {
        return Plan::only(Then::Refuse(Cause::ContradictoryAnswer));
    }
    pass_on(parties, Known::Recorded, Some(Known::Recorded))
}

/// Gives what belongs to the record to its newest attempt.
fn pass_on(parties: &Parties<'_>, known: Known, learn: Option<Known>) -> Plan {
    let newest = parties.newest;
    let (give, then) = match newest.state {
        State::Received | State::Requested => (Some((Who::Newest, known.into())), Then::Tell(Who::Newest)),
        // It was answered otherwise, and a confirmer may be at it: nothing can be slipped in any more.
        State::Answered | State::Confirmed | State::Parked
            if newest.answer.is_some_and(|answer| answer != known.into()) =>
        {
            (None, Then::Refuse(Cause::OrphanId))
        }
        State::Answered => (None, Then::Tell(Who::Newest)),
        State::Withdrawn | State::Expired | State::Rejected | State::Held => {
            (None, Then::Refuse(Cause::OrphanId))
        }
        State::Confirmed | State::Superseded | State::Parked => (None, Then::Note),
    };
    // Later replies to the same submission are measured by it, whichever attempt it helped.
    let keep = parties.addressed.answer.is_none().then_some(known.into());
    Plan { learn, keep, give, park: None, then }
}

fn is_asked(party: Party) -> bool {
    matches!(party.state, State::Received | State::Requested)
}

fn rejected(parties: &Parties<'_>) -> Plan {
    let addressed = parties.addressed;
    match addressed.answer {
        Some(AnswerKind::Rejected) if addressed.state == State::Answered => {
            Plan::only(Then::Tell(Who::Addressed))
        }
        Some(AnswerKind::Rejected) => Plan::only(Then::Note),
        Some(AnswerKind::Issued | AnswerKind::Recorded | AnswerKind::NotAsked) => {
            Plan::only(Then::Refuse(Cause::ContradictoryAnswer))
        }
        // What the record has is this attempt's as well; *send* is about to give it, unless it was erased: nobody
        // would tell it again.
        None if is_asked(addressed) && parties.known.is_some() => {
            let park = parties.erased.then_some(Cause::ContradictoryAnswer);
            Plan { park, ..Plan::only(Then::Refuse(Cause::ContradictoryAnswer)) }
        }
        None if is_asked(addressed) => Plan {
            give: Some((Who::Addressed, AnswerKind::Rejected)),
            ..Plan::only(Then::Tell(Who::Addressed))
        },
        // Nobody waits for it any more, but it is this submission's first final answer and stays that.
        None => Plan { keep: Some(AnswerKind::Rejected), ..Plan::only(Then::Note) },
    }
}
