//! The work of a confirmer, step by step. Between any two steps the confirmer may stop, or be
//! overtaken by the other one.

use std::sync::LazyLock;
use std::time::Duration;

use nidbridge::domain::AnswerKind;
use nidbridge::domain::lease::{
    IntentCheck, LeaseState, may_finish, may_intend, may_write, quarantine_left, settles_intent,
};
use nidbridge::domain::{
    Answer, Cause, Course, Event, NationalId, OperatorDecision, Reason, ReasonCode, RecordState,
    RegistrationNumber, Situation, State, decide,
};

use super::explore::Timestamp;
use super::rules::{Rule, Rules};
use super::steps::{Next, Step, crvs_since, expire, shift, submitted};
use super::world::{ConfirmerState, Flight, Phase, Row, Scope, World, Wrong};

/// A step of a confirmer, or a fault that happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    FindsNothingToDo(u8),
    Leases(u8),
    Reads,
    FindsTheTokenDead,
    IsRefusedTheRead,
    Intends,
    Delays,
    Sends,
    FindsItselfLate,
    HearsYes,
    HearsNo,
    HearsNever,
    HearsNothing,
    Retracts,
    Ends,
    EndsAndStops,
    Stops,
}

impl Does {
    pub fn is_fault(self, before: &World, c: u8) -> bool {
        match self {
            Self::IsRefusedTheRead | Self::HearsNever | Self::Stops | Self::EndsAndStops => true,
            // The message is a second copy of one that the other confirmer is handling.
            Self::Leases(i) | Self::FindsNothingToDo(i) => {
                before.confirmers[usize::from(1 - c)].attempt() == Some(i)
            }
            Self::Reads
            | Self::FindsTheTokenDead
            | Self::Intends
            | Self::Delays
            | Self::Sends
            | Self::FindsItselfLate
            | Self::HearsYes
            | Self::HearsNo
            | Self::HearsNothing
            | Self::Retracts
            | Self::Ends => false,
        }
    }
}

struct Values {
    number: RegistrationNumber,
    issued: Answer,
    rejected: Answer,
}

static VALUES: LazyLock<Values> = LazyLock::new(|| Values {
    number: RegistrationNumber::parse("2026BXXDBIC").unwrap(),
    issued: Answer::Issued(NationalId::parse("1234567890").unwrap()),
    rejected: Answer::Rejected(Reason::of(ReasonCode::DuplicatePerson)),
});

/// The quarantine in the model: one step of time.
pub const QUARANTINE: Duration = Duration::from_secs(1);

pub fn successors(world: &World, scope: &Scope, rules: Rules, c: u8, out: &mut Next) {
    let confirmer = world.confirmers[usize::from(c)];
    let mut push = |does: Does, after: World| out.push((Step::Confirmer(c, does), after));
    if confirmer == ConfirmerState::Idle {
        for i in 0..2 {
            if let Some((does, after)) = lease(world, rules, c, i) {
                push(does, after);
            }
        }
        return;
    }
    let mut stopped = *world;
    if let ConfirmerState::Sent { attempt, flight: Flight::Flying } = confirmer {
        stopped.strays[usize::from(attempt)] += 1;
    }
    back_in_queue(&mut stopped, c, confirmer);
    push(Does::Stops, stopped);
    match confirmer {
        ConfirmerState::Idle => {}
        ConfirmerState::Leased { attempt, answer } => {
            read(world, scope, rules, (c, attempt, answer), &mut push);
        }
        ConfirmerState::Deciding { attempt } => intend(world, rules, c, attempt, &mut push),
        ConfirmerState::Intended { attempt, late } => send(world, rules, (c, attempt, late), &mut push),
        ConfirmerState::Sent { attempt, flight } => receive_result(world, c, attempt, flight, &mut push),
        ConfirmerState::Retracting { attempt, park } => retract(world, c, attempt, park, &mut push),
        ConfirmerState::Ending { attempt, event, cause } => {
            end(world, rules, (c, attempt), (event, cause), &mut push);
        }
    }
}

/// Returns the message to its queue and leaves the lease as it is.
fn back_in_queue(world: &mut World, c: u8, confirmer: ConfirmerState) {
    if let Some(i) = confirmer.attempt() {
        world.queues.outcomes |= 1 << i;
    }
    world.confirmers[usize::from(c)] = ConfirmerState::Idle;
}

/// Gives the lease back if it is still ours.
fn release(world: &mut World, c: u8) {
    if world.ledger.lease.last == Some(c) {
        world.ledger.lease.live = false;
    }
}

fn delayed(mut world: World, c: u8) -> World {
    release(&mut world, c);
    let confirmer = world.confirmers[usize::from(c)];
    back_in_queue(&mut world, c, confirmer);
    world
}

/// Takes a message and the lease, in one transaction. Without a lease the transaction changes
/// nothing.
fn lease(world: &World, rules: Rules, c: u8, i: u8) -> Option<(Does, World)> {
    let row = world.ledger.rows[usize::from(i)].filter(|_| world.queues.outcomes & (1 << i) != 0)?;
    let mut after = *world;
    let answer = answer_for_opencrvs(&row).filter(|_| row.state == State::Answered);
    let stale = rules.has(Rule::NewestAtLease) && world.ledger.newest != Some(i);
    let Some(answer) = answer.filter(|_| !stale) else {
        after.queues.outcomes &= !(1 << i);
        return Some((Does::FindsNothingToDo(i), after));
    };
    if rules.has(Rule::ConfirmAfter) && world.crvs.phase[usize::from(i)] != Phase::Over {
        return None;
    }
    let now = Timestamp::UNIX_EPOCH + QUARANTINE;
    let intended = world.ledger.intended(now);
    if rules.has(Rule::Quarantine) && quarantine_left(intended, now, QUARANTINE).is_some() {
        return None;
    }
    let (lease, _) = world.ledger.lease_state(usize::from(c));
    if rules.has(Rule::Lease) && !lease.may_lease(now) {
        return None;
    }
    after.ledger.lease.last = Some(c);
    after.ledger.lease.live = true;
    after.confirmers[usize::from(c)] = ConfirmerState::Leased { attempt: i, answer };
    Some((Does::Leases(i), after))
}

/// The answer that is written to OpenCRVS.
fn answer_for_opencrvs(row: &Row) -> Option<AnswerKind> {
    let answer = match row.answer? {
        AnswerKind::Issued => VALUES.issued.clone(),
        AnswerKind::Rejected => VALUES.rejected.clone(),
        AnswerKind::Recorded => Answer::Recorded,
        AnswerKind::NotAsked => Answer::NotAsked,
    };
    let without = OperatorDecision::WithoutId { comment: None };
    Some(match OperatorDecision::applied_to(row.without_id.then_some(&without), answer) {
        Answer::Issued(_) => AnswerKind::Issued,
        Answer::Recorded => AnswerKind::Recorded,
        Answer::Rejected(_) => AnswerKind::Rejected,
        Answer::NotAsked => AnswerKind::NotAsked,
    })
}

fn read(
    world: &World,
    scope: &Scope,
    rules: Rules,
    (c, attempt, answer): (u8, u8, AnswerKind),
    push: &mut impl FnMut(Does, World),
) {
    let mut after = *world;
    let mine = usize::from(c);
    let dead = world.dead[usize::from(attempt)];
    if world.refusals > 0 || dead {
        after.refusals = world.refusals.saturating_sub(u8::from(!dead));
        // The token was valid at the start, and expired before the gateway saw it.
        let cause = if dead { Cause::TokenRefused } else { Cause::RecordRefused };
        after.confirmers[mine] = ConfirmerState::Ending { attempt, event: Event::Park, cause: Some(cause) };
        push(Does::IsRefusedTheRead, after);
        after = *world;
    }
    if dead {
        after.confirmers[mine] =
            ConfirmerState::Ending { attempt, event: Event::Expire, cause: Some(Cause::TokenRefused) };
        return push(Does::FindsTheTokenDead, after);
    }
    let answer = match answer {
        AnswerKind::Issued => &VALUES.issued,
        AnswerKind::NotAsked => &Answer::NotAsked,
        AnswerKind::Rejected | AnswerKind::Recorded => &VALUES.rejected,
    };
    let mut ours = submitted(scope, attempt);
    if !rules.has(Rule::FutureAtRead) {
        ours.tolerance = Duration::MAX;
    }
    let registered = world.crvs.status == RecordState::Registered;
    let decision = decide(&Situation {
        status: if rules.has(Rule::ReadFirst) { world.crvs.status } else { RecordState::Waiting },
        since: if rules.has(Rule::ReadFirst) { crvs_since(world, scope) } else { ours.stamp },
        number_there: registered.then_some(VALUES.number.as_str()),
        read_at: submitted(scope, 2).accepted_at,
        submitted: ours,
        number: &VALUES.number,
        answer,
        policy: scope.policy,
        waited: scope.held,
    });
    match decision.course(answer) {
        Course::Write => {
            after.confirmers[mine] = ConfirmerState::Deciding { attempt };
            push(Does::Reads, after);
        }
        Course::End(event, cause) => {
            after.confirmers[mine] = ConfirmerState::Ending { attempt, event, cause };
            push(Does::Reads, after);
        }
        Course::Later => push(Does::Delays, delayed(after, c)),
    }
}

fn intend(world: &World, rules: Rules, c: u8, attempt: u8, push: &mut impl FnMut(Does, World)) {
    let row = world.ledger.rows[usize::from(attempt)].unwrap();
    let (lease, fence) = world.ledger.lease_state(usize::from(c));
    let now = Timestamp::UNIX_EPOCH + QUARANTINE;
    let fenced = rules.has(Rule::Lease) && rules.has(Rule::FenceAtIntent);
    let runs = rules.has(Rule::Lease) && rules.has(Rule::LeaseRunsAtIntent);
    let standing = IntentCheck {
        lease: LeaseState {
            fence: if fenced { lease.fence } else { fence },
            until: if runs { lease.until } else { Timestamp::MAX },
        },
        newest: !rules.has(Rule::NewestAtIntent) || world.ledger.newest == Some(attempt),
        state: if rules.has(Rule::AnsweredAtIntent) { row.state } else { State::Answered },
    };
    if !may_intend(&standing, fence, now) {
        return push(Does::Delays, delayed(*world, c));
    }
    let mut after = *world;
    after.ledger.intent = Some(attempt);
    after.ledger.quarantine_over = false;
    if fence == lease.fence {
        after.ledger.lease.live = true;
    }
    after.knew_newer |= world.ledger.newest != Some(attempt);
    after.confirmers[usize::from(c)] = ConfirmerState::Intended { attempt, late: false };
    push(Does::Intends, after);
}

fn send(world: &World, rules: Rules, (c, attempt, late): (u8, u8, bool), push: &mut impl FnMut(Does, World)) {
    let mut after = *world;
    let mine = usize::from(c);
    let elapsed = if late { QUARANTINE } else { Duration::ZERO };
    if rules.has(Rule::PromptWrite) && !may_write(elapsed, QUARANTINE) {
        after.confirmers[mine] = ConfirmerState::Retracting { attempt, park: false };
        return push(Does::FindsItselfLate, after);
    }
    if world.ledger.rows[usize::from(attempt)].is_some_and(|row| row.state == State::Expired) {
        after.wrong = Some(Wrong::WrittenAfterExpired);
    }
    after.confirmers[mine] = ConfirmerState::Sent { attempt, flight: Flight::Flying };
    push(Does::Sends, after);
}

fn receive_result(world: &World, c: u8, attempt: u8, flight: Flight, push: &mut impl FnMut(Does, World)) {
    let mine = usize::from(c);
    // A timeout, a broken connection, or an error after the record was saved.
    let mut unknown = *world;
    if flight == Flight::Flying {
        unknown.strays[usize::from(attempt)] += 1;
    }
    push(Does::HearsNothing, delayed(unknown, c));
    let mut after = *world;
    match flight {
        Flight::Flying => {}
        Flight::Applied => {
            after.confirmers[mine] = ConfirmerState::Ending { attempt, event: Event::Confirm, cause: None };
            push(Does::HearsYes, after);
        }
        Flight::Lost => {
            after.confirmers[mine] = ConfirmerState::Retracting { attempt, park: false };
            push(Does::HearsNo, after);
            let dead = world.dead[usize::from(attempt)];
            if world.refusals > 0 || dead {
                after.refusals = world.refusals.saturating_sub(u8::from(!dead));
                after.confirmers[mine] = ConfirmerState::Retracting { attempt, park: true };
                push(Does::HearsNever, after);
            }
        }
    }
}

fn retract(world: &World, c: u8, attempt: u8, park: bool, push: &mut impl FnMut(Does, World)) {
    let mut after = *world;
    let (lease, fence) = world.ledger.lease_state(usize::from(c));
    if lease.is_last(fence) && world.ledger.intent == Some(attempt) {
        clear_intent(&mut after);
    }
    if park {
        after.confirmers[usize::from(c)] =
            ConfirmerState::Ending { attempt, event: Event::Park, cause: Some(Cause::RecordRefused) };
        push(Does::Retracts, after);
    } else {
        push(Does::Retracts, delayed(after, c));
    }
}

fn clear_intent(world: &mut World) {
    world.ledger.intent = None;
    world.ledger.quarantine_over = false;
}

fn end(
    world: &World,
    rules: Rules,
    (c, attempt): (u8, u8),
    (event, cause): (Event, Option<Cause>),
    push: &mut impl FnMut(Does, World),
) {
    let mut after = *world;
    let (lease, fence) = world.ledger.lease_state(usize::from(c));
    if rules.has(Rule::FenceAtFinish) && !may_finish(&lease, fence, event) {
        return push(Does::Delays, delayed(after, c));
    }
    if event == Event::Expire {
        let row = world.ledger.rows[usize::from(attempt)];
        let dead = world.dead[usize::from(attempt)] || !rules.has(Rule::DeadAtEnd);
        if !dead || row.is_none_or(|row| !row.state.is_open()) {
            return push(Does::Delays, delayed(after, c));
        }
        expire(&mut after, rules, attempt);
    } else {
        // A conflict changes nothing, but the result of the write is known in any case.
        shift(&mut after, attempt, event, cause);
    }
    let settles = settles_intent(event) || !rules.has(Rule::ParkKeepsTheIntent);
    if world.ledger.intent == Some(attempt) && settles {
        clear_intent(&mut after);
    }
    let mut stopped = after;
    back_in_queue(&mut stopped, c, world.confirmers[usize::from(c)]);
    push(Does::EndsAndStops, stopped);
    release(&mut after, c);
    after.queues.outcomes &= !(1 << attempt);
    after.confirmers[usize::from(c)] = ConfirmerState::Idle;
    push(Does::Ends, after);
}
