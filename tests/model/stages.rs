//! The stages up to the answer: record, send and resolve.
//!
//! A stage that stops has done only the first part of its work and leaves its message in the queue.
//! It does the rest when it handles the message again.

use nidbridge::domain::lease::supersedes;
use nidbridge::domain::order::{Ordered, newest, order_stamp};
use nidbridge::domain::resolve::{
    AttemptStatus, FollowUp, Owner, Plan, RecordStatus, ReplyKind, Which, answer_without_asking, is_orphan,
    resolve,
};
use nidbridge::domain::{
    AnswerKind, Cause, CheckVerdict, Event, EventKind, Mismatch, RecordSeen, RegistrationNumber, State,
    SubmissionSeen, check, record_standing,
};

use super::explore::Timestamp;
use super::rules::{Rule, Rules};
use super::steps::{Next, Step, crvs_since, shift, submitted};
use super::world::{Invention, Row, Says, Scope, World, Wrong};

/// The point at which a stage stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It does not stop: everything is done and the message is acknowledged.
    Never,
    /// After its transaction.
    AfterLedger,
    /// After its transaction and its request to the ID system.
    AfterAsking,
    /// Before the acknowledgement; everything else is done.
    BeforeAck,
    /// After an acknowledgement that was sent too early.
    AfterAck,
}

/// Lets each stage handle its message, once to the end and once up to each point where it may stop.
pub fn successors(world: &World, scope: &Scope, rules: Rules, i: u8, out: &mut Next) {
    let mut stops = vec![Stop::Never];
    if scope.stops {
        stops.extend([Stop::AfterLedger, Stop::AfterAsking, Stop::BeforeAck]);
    }
    if !rules.has(Rule::PublishBeforeAck) {
        stops.push(Stop::AfterAck);
    }
    let mut push = |step: Step, after: World, handled: bool| {
        if handled && after != *world {
            out.push((step, after));
        }
    };
    for stop in stops {
        if stop != Stop::AfterAsking {
            let mut after = *world;
            let handled = record(&mut after, scope, i, stop, rules);
            push(Step::Record(i, stop), after, handled);
            for says in Says::ALL {
                let mut after = *world;
                let handled = handle_reply(&mut after, i + 1, says, stop, rules);
                push(Step::Resolve(i + 1, says, stop), after, handled);
            }
        }
        let mut after = *world;
        let handled = send(&mut after, scope, i, stop, rules);
        push(Step::Send(i, stop), after, handled);
    }
}

/// Publishes the next message for an attempt.
pub fn publish_next(world: &mut World, i: u8) {
    match world.ledger.rows[usize::from(i)].map(|row| row.state) {
        Some(State::Received | State::Requested) => world.queues.requests |= 1 << i,
        Some(State::Answered) => world.queues.outcomes |= 1 << i,
        _ => {}
    }
}

fn record(world: &mut World, scope: &Scope, i: u8, stop: Stop, rules: Rules) -> bool {
    if world.queues.registrations & (1 << i) == 0 {
        return false;
    }
    if world.ledger.rows[usize::from(i)].is_none() {
        let order = |i: u8| {
            let ours = submitted(scope, i);
            if rules.has(Rule::FutureOrdersNothing) {
                order_stamp(ours.stamp, ours.accepted_at, ours.tolerance)
            } else {
                ours.stamp
            }
        };
        let is_present = |i: &u8| world.ledger.rows[usize::from(*i)].is_some_and(|row| !row.absent);
        let newest = supersedes(order(i), world.ledger.newest.filter(is_present).map(order));
        if newest {
            if rules.has(Rule::Supersession) {
                shift(world, 1 - i, Event::Supersede, None);
            }
            world.ledger.newest = Some(i);
            world.ledger.submissions += 1;
        }
        let state = if newest { State::Received } else { State::Superseded };
        let submission = if newest { world.ledger.submissions } else { 0 };
        world.ledger.rows[usize::from(i)] = Some(Row {
            state,
            submission,
            answer: None,
            cause: None,
            without_id: false,
            checked: false,
            absent: false,
            before: None,
        });
    }
    if !matches!(stop, Stop::AfterLedger | Stop::AfterAck) {
        publish_next(world, i);
    }
    if matches!(stop, Stop::Never | Stop::AfterAck) {
        world.queues.registrations &= !(1 << i);
    }
    true
}

/// Reads the record in OpenCRVS before the ID system is asked for the first time. Returns whether
/// the ID system may be asked.
fn is_in_opencrvs(world: &mut World, scope: &Scope, i: u8, rules: Rules) -> bool {
    let Some(row) = world.ledger.rows[usize::from(i)].as_mut() else { return false };
    if !scope.inventive || !rules.has(Rule::CheckBeforeSend) || row.checked {
        return true;
    }
    row.checked = true;
    let number = RegistrationNumber::parse("2026BXXDBIC").unwrap();
    let ours = submitted(scope, i);
    let waited: Vec<Timestamp> = (0..=world.crvs.at).map(|at| submitted(scope, at).stamp).collect();
    let standing = record_standing(
        &RecordSeen {
            status: world.crvs.status,
            since: crvs_since(world, scope),
            waited_since: &waited,
            number: None,
        },
        &SubmissionSeen {
            stamp: ours.stamp,
            accepted_at: ours.accepted_at,
            tolerance: std::time::Duration::from_secs(300),
            number: &number,
        },
    );
    let forged = world.invented == Some(Invention::Person) && rules.has(Rule::ComparePersons);
    let persons = if forged { Err(Mismatch::Name) } else { Ok(()) };
    match check(standing, persons, true) {
        CheckVerdict::Send => true,
        CheckVerdict::ReadAgain => false,
        CheckVerdict::Withdraw => {
            shift(world, i, Event::Withdraw, Some(Cause::MovedOn));
            false
        }
        CheckVerdict::NotInOpencrvs(mismatch) => {
            shift(world, i, Event::Park, Some(Cause::NotInOpencrvs));
            if mismatch == Mismatch::Submission && rules.has(Rule::Revival) {
                revive(world, scope, i);
            }
            false
        }
    }
}

/// Marks an attempt as absent, and revives the newest of the others.
fn revive(world: &mut World, scope: &Scope, absent: u8) {
    if let Some(row) = world.ledger.rows[usize::from(absent)].as_mut() {
        row.absent = true;
    }
    let attempts: Vec<(u8, Row)> =
        (0..2).filter_map(|i| world.ledger.rows[usize::from(i)].map(|row| (i, row))).collect();
    let ordered = |(i, row): &(u8, Row)| {
        let ours = submitted(scope, *i);
        Ordered { order: order_stamp(ours.stamp, ours.accepted_at, ours.tolerance), absent: row.absent }
    };
    let Some((i, row)) = newest(&attempts.iter().map(ordered).collect::<Vec<_>>()).map(|at| attempts[at])
    else {
        return;
    };
    world.ledger.newest = Some(i);
    let (before, cause) = row.before.unwrap_or((State::Received, None));
    let revived = shift(world, i, Event::Revive { before, answered: row.answer.is_some() }, cause);
    let status = world.ledger.rows[usize::from(i)];
    let status = status.map(|row| AttemptStatus { state: row.state, answer: row.answer });
    if let (Some(answer), Some(status)) = (world.ledger.known(), status) {
        world.ledger.orphan_reported |= is_orphan(answer, status);
    }
    if revived && row.submission == 0 {
        world.ledger.submissions += 1;
        let submission = world.ledger.submissions;
        if let Some(row) = world.ledger.rows[usize::from(i)].as_mut() {
            row.submission = submission;
        }
    }
}

fn send(world: &mut World, scope: &Scope, i: u8, stop: Stop, rules: Rules) -> bool {
    let Some(row) = world.ledger.rows[usize::from(i)].filter(|_| world.queues.requests & (1 << i) != 0)
    else {
        return false;
    };
    let open = matches!(row.state, State::Received | State::Requested) && world.ledger.newest == Some(i);
    if open && is_in_opencrvs(world, scope, i, rules) {
        shift(world, i, Event::Request, None);
        if !matches!(stop, Stop::AfterLedger | Stop::AfterAck) {
            let invented = match world.invented {
                Some(Invention::Submission) => i == 1,
                Some(Invention::Person) => i == 0,
                None => false,
            };
            if invented {
                world.wrong = Some(Wrong::InventedAsked);
            }
            world.nid.asked[usize::from(row.submission - 1)] = true;
        }
        if matches!(stop, Stop::Never | Stop::BeforeAck)
            && rules.has(Rule::PassOn)
            && let Some(known) = world.ledger.known()
        {
            record_answer(world, i, answer_without_asking(Some(known), false));
        }
    }
    if matches!(stop, Stop::Never | Stop::BeforeAck)
        && world.ledger.rows[usize::from(i)].is_some_and(|row| row.state == State::Answered)
    {
        world.queues.outcomes |= 1 << i;
    }
    let leader = world.ledger.newest.filter(|newest| open && *newest != i);
    if let Some(revived) = leader.filter(|_| matches!(stop, Stop::Never | Stop::BeforeAck)) {
        publish_next(world, revived);
    }
    if matches!(stop, Stop::Never | Stop::AfterAck) {
        world.queues.requests &= !(1 << i);
    }
    true
}

fn record_answer(world: &mut World, i: u8, answer: AnswerKind) {
    if shift(world, i, Event::Answer, None)
        && let Some(row) = world.ledger.rows[usize::from(i)].as_mut()
    {
        row.answer = Some(answer);
    }
}

fn plan(world: &World, addressed: usize, says: Says, rules: Rules) -> Plan {
    let attempt = |i: usize| {
        let row = world.ledger.rows[i].unwrap();
        AttemptStatus { state: row.state, answer: row.answer }
    };
    let newest = usize::from(world.ledger.newest.unwrap());
    let mut status = RecordStatus {
        kind: &EventKind::Birth,
        answer: world.ledger.known(),
        erased: false,
        addressed: attempt(addressed),
        newest: attempt(newest),
    };
    let mut reply = match says {
        Says::Rejected => ReplyKind::Rejected,
        Says::Issued(id) if world.ledger.id == Some(id) => ReplyKind::Issued(Owner::ThisRecord),
        Says::Issued(_) => ReplyKind::Issued(Owner::Nobody),
    };
    if !rules.has(Rule::LookUpBeforePassOn) {
        status.addressed.state = status.newest.state;
    }
    if !rules.has(Rule::FirstAnswer) {
        status.answer = None;
        status.addressed.answer = None;
        if let ReplyKind::Issued(owner) = &mut reply {
            *owner = Owner::Nobody;
        }
    }
    if !rules.has(Rule::PassOn) && says != Says::Rejected && addressed != newest {
        return Plan { learn: None, archive: None, give: None, park: None, follow_up: FollowUp::Nothing };
    }
    resolve(reply, &status)
}

fn handle_reply(world: &mut World, submission: u8, says: Says, stop: Stop, rules: Rules) -> bool {
    let Some(addressed) = world.ledger.of_submission(submission) else { return false };
    if !world.queues.has_reply(submission, says) {
        return false;
    }
    let plan = plan(world, addressed, says, rules);
    let newest = world.ledger.newest.unwrap_or_default();
    let who = |who: Which| match who {
        Which::Addressed => addressed as u8,
        Which::Newest => newest,
    };
    if let (Some(_), Says::Issued(id)) = (plan.learn, says) {
        if world.ledger.id.is_some_and(|known| known != id) {
            world.wrong = Some(Wrong::IdChanged);
        }
        world.ledger.id = Some(id);
    }
    if let Some(answer) = plan.archive
        && let Some(row) = world.ledger.rows[addressed].as_mut()
    {
        row.answer = Some(answer);
    }
    if let Some((to, answer)) = plan.give {
        record_answer(world, who(to), answer);
    }
    if let Some(cause) = plan.park {
        shift(world, newest, Event::Park, Some(cause));
    }
    if plan.follow_up == FollowUp::Refuse(Cause::OrphanId) {
        world.ledger.orphan_reported = true;
    }
    if !matches!(stop, Stop::AfterLedger | Stop::AfterAck)
        && let FollowUp::NotifyConfirmer(to) = plan.follow_up
    {
        publish_next(world, who(to));
    }
    if matches!(stop, Stop::Never | Stop::AfterAck) {
        world.queues.drop_reply(submission, says);
    }
    true
}
