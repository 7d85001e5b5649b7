//! The decisions of an operator about an attempt (`attempts decide`).

use nidbridge::domain::lease::may_expire;
use nidbridge::domain::resolve::Owner;
use nidbridge::domain::{
    AnswerKind, DecidedCase, Dialect, Event, EventKind, OperatorDecision, State, decide_by_operator,
};

use super::confirmer::QUARANTINE;
use super::explore::Timestamp;
use super::rules::{Rule, Rules};
use super::steps::{Next, Step, shift};
use super::world::{ConfirmerState, Flight, Id, Row, World, Wrong};

/// What an operator may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decides {
    Issued(Id),
    WithoutId,
    AskAgain,
    Close,
}

impl Decides {
    const ALL: [Self; 5] =
        [Self::Issued(Id::A), Self::Issued(Id::B), Self::WithoutId, Self::AskAgain, Self::Close];

    fn decision(self) -> OperatorDecision {
        match self {
            Self::Issued(_) => OperatorDecision::Issued,
            Self::WithoutId => OperatorDecision::WithoutId { comment: None },
            Self::AskAgain => OperatorDecision::AskAgain,
            Self::Close => OperatorDecision::Close,
        }
    }

    fn id(self) -> Option<Id> {
        if let Self::Issued(id) = self { Some(id) } else { None }
    }
}

pub fn successors(world: &World, rules: Rules, i: u8, out: &mut Next) {
    let Some(row) = world.ledger.rows[usize::from(i)].filter(|_| world.decisions > 0) else { return };
    for decides in Decides::ALL {
        let mut after = *world;
        after.decisions -= 1;
        if apply(&mut after, rules, i, (row, decides)) {
            out.push((Step::OperatorDecides(i, decides), after));
        }
    }
}

/// The attempt, as the rules of the domain see it. A rule that is removed sees nothing wrong.
fn case(world: &World, rules: Rules, i: u8, (row, decides): (Row, Decides)) -> DecidedCase<'static> {
    let now = Timestamp::UNIX_EPOCH + QUARANTINE;
    let (lease, _) = world.ledger.lease_state(0);
    let being_written = !may_expire(&lease, world.ledger.intended(now), now, QUARANTINE);
    let this = world.ledger.id.is_some() && world.ledger.id == decides.id();
    let keeps = match decides {
        Decides::Issued(_) => Rule::DecidesOneId,
        Decides::WithoutId | Decides::AskAgain | Decides::Close => Rule::DecidesForTheId,
    };
    let at_rest = row.state != State::Answered || rules.has(Rule::DecidesAtRest);
    DecidedCase {
        dialect: Dialect::Fhir,
        kind: &EventKind::Birth,
        state: if at_rest { row.state } else { State::Parked },
        newest: world.ledger.newest == Some(i) || !rules.has(Rule::DecidesTheNewest),
        answer: row.answer,
        record_answer: world.ledger.known().filter(|_| rules.has(keeps)),
        erased: false,
        owner: if this { Owner::ThisRecord } else { Owner::Nobody },
        asked: row.submission > 0 && world.nid.asked[usize::from(row.submission - 1)],
        replied: row.answer == Some(AnswerKind::Rejected),
        askable: true,
        past_deadline: false,
        expired: world.dead[usize::from(i)],
        being_written: being_written && rules.has(Rule::DecidesAfterTheWrite),
        write_unknown: world.ledger.intent.is_some() && rules.has(Rule::DecidesWithoutDoubt),
    }
}

fn apply(world: &mut World, rules: Rules, i: u8, (row, decides): (Row, Decides)) -> bool {
    let case = case(world, rules, i, (row, decides));
    let Ok(plan) = decide_by_operator(&decides.decision(), &case) else { return false };
    // The model has room for two submissions.
    if plan.resubmit && (world.ledger.submissions > 1 || world.crvs.at > 0) {
        return false;
    }
    if plan.event == Event::Close {
        let flying = ConfirmerState::Sent { attempt: i, flight: Flight::Flying };
        if world.strays[usize::from(i)] > 0 || world.confirmers.contains(&flying) {
            world.wrong = Some(Wrong::ClosedInFlight);
        }
        // The operator sees the ID of the record.
        world.ledger.orphan_reported = true;
    }
    if let (Some(_), Some(id)) = (plan.learn, decides.id()) {
        if world.ledger.id.is_some_and(|known| known != id) {
            world.wrong = Some(Wrong::IdChanged);
        }
        world.ledger.id = Some(id);
    }
    if case.state != row.state
        && let Some(row) = world.ledger.rows[usize::from(i)].as_mut()
    {
        row.state = case.state;
    }
    if !shift(world, i, plan.event, None) {
        return false;
    }
    if plan.resubmit {
        world.ledger.submissions += 1;
    }
    let submission = world.ledger.submissions;
    let Some(row) = world.ledger.rows[usize::from(i)].as_mut() else { return false };
    if plan.give.is_some() {
        row.answer = plan.give;
    }
    if plan.resubmit {
        row.submission = submission;
    }
    if decides == Decides::AskAgain {
        row.answer = None;
        // The ID system replies to a repeated request, too.
        world.nid.spoke[usize::from(row.submission.max(1) - 1)] = false;
    }
    row.without_id = decides == Decides::WithoutId;
    match row.state {
        State::Answered => world.queues.outcomes |= 1 << i,
        State::Received | State::Requested => world.queues.requests |= 1 << i,
        State::Confirmed
        | State::Rejected
        | State::Superseded
        | State::Withdrawn
        | State::Held
        | State::Expired
        | State::Closed
        | State::Parked => {}
    }
    true
}
