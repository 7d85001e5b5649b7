//! The possible next steps, and what the environment does: OpenCRVS, the registrar, the ID system,
//! time, an operator.

use std::time::Duration;

use nidbridge::domain::AnswerKind;
use nidbridge::domain::lease::may_expire;
use nidbridge::domain::order::Submitted;
use nidbridge::domain::{Cause, Event, RecordState, State, next};

use super::confirmer::{self, QUARANTINE};
use super::decisions;
use super::explore::Timestamp;
use super::rules::{Rule, Rules};
use super::stages::{self, Stop};
use super::world::{Clock, ConfirmerState, Flight, Id, Invention, Phase, Says, Scope, World, Wrong};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    CoreTakesOurAnswer(u8),
    OurAnswerToCoreIsLost(u8),
    CoreIsToldTheRejection(u8),
    RegistrarTakesItBack,
    RegistrarSubmitsAgain,
    IdSystemSays(u8, Says),
    IdSystemSaysMore(u8, Says),
    LeaseEnds,
    QuarantinePasses,
    MutationApplied(u8),
    MutationLost(u8),
    StrayApplied(u8),
    StrayLost(u8),
    OperatorResumes(u8),
    OperatorDecides(u8, decisions::Decides),
    UserInvents(Invention),
    TokenDies(u8),
    TokenReplaced(u8),
    SweeperExpires(u8),
    SweeperRepublishes(u8),
    Record(u8, Stop),
    Send(u8, Stop),
    Resolve(u8, Says, Stop),
    Confirmer(u8, confirmer::Does),
}

impl Step {
    /// Whether the step is a fault. Progress must not depend on faults.
    pub fn is_fault(self, before: &World) -> bool {
        match self {
            Self::OurAnswerToCoreIsLost(_)
            | Self::CoreIsToldTheRejection(_)
            | Self::RegistrarTakesItBack
            | Self::RegistrarSubmitsAgain
            | Self::TokenDies(_)
            | Self::TokenReplaced(_)
            | Self::OperatorDecides(..)
            | Self::UserInvents(_)
            | Self::IdSystemSaysMore(..) => true,
            Self::Record(_, stop) | Self::Send(_, stop) | Self::Resolve(_, _, stop) => stop != Stop::Never,
            Self::Confirmer(c, does) => does.is_fault(before, c),
            Self::CoreTakesOurAnswer(_)
            | Self::IdSystemSays(..)
            | Self::LeaseEnds
            | Self::QuarantinePasses
            | Self::MutationApplied(_)
            | Self::MutationLost(_)
            | Self::StrayApplied(_)
            | Self::StrayLost(_)
            | Self::SweeperExpires(_)
            | Self::SweeperRepublishes(_)
            | Self::OperatorResumes(_) => false,
        }
    }
}

pub type Next = Vec<(Step, World)>;

/// All possible next steps.
pub fn successors(world: &World, scope: &Scope, rules: Rules, out: &mut Next) {
    core_and_registrar(world, scope, out);
    id_system(world, out);
    time_and_mutations(world, scope, out);
    if scope.inventive {
        user(world, out);
    }
    for i in 0..2 {
        if scope.inventive {
            sweep(world, i, out);
        }
        operator(world, i, out);
        decisions::successors(world, rules, i, out);
        if scope.mortal {
            tokens(world, rules, i, out);
        }
        stages::successors(world, scope, rules, i, out);
        if i < scope.confirmers {
            confirmer::successors(world, scope, rules, i, out);
        }
    }
}

fn core_and_registrar(world: &World, scope: &Scope, out: &mut Next) {
    for i in 0..2_u8 {
        if world.crvs.phase[usize::from(i)] == Phase::Open {
            let mut taken = *world;
            taken.crvs.phase[usize::from(i)] = Phase::Over;
            out.push((Step::CoreTakesOurAnswer(i), taken));
            // OpenCRVS writes REJECTED from its old copy of the record, whatever the record's state
            // is by then.
            if taken.crvs.status == RecordState::Registered && !scope.lenient {
                taken.wrong = Some(Wrong::OverwrittenByCore);
            }
            taken.crvs.status = RecordState::MovedOn;
            out.push((Step::OurAnswerToCoreIsLost(i), taken));
            let rejected =
                world.ledger.rows[usize::from(i)].is_some_and(|row| row.answer == Some(AnswerKind::Rejected));
            if scope.held && rejected {
                out.push((Step::CoreIsToldTheRejection(i), taken));
            }
        }
    }
    let here = usize::from(world.crvs.at);
    let quiet =
        world.confirmers.iter().all(|confirmer| *confirmer == ConfirmerState::Idle) && world.strays == [0; 2];
    if world.crvs.status == RecordState::Waiting
        && world.crvs.phase[here] == Phase::Over
        && (scope.restless || quiet)
    {
        let mut back = *world;
        back.crvs.status = RecordState::MovedOn;
        out.push((Step::RegistrarTakesItBack, back));
    }
    // The model has room for two submissions.
    if world.crvs.status == RecordState::MovedOn
        && world.crvs.at == 0
        && world.invented.is_none()
        && world.ledger.submissions < 2
    {
        let mut again = *world;
        again.crvs.at = 1;
        again.crvs.status = RecordState::Waiting;
        again.crvs.phase[1] = Phase::Open;
        again.queues.registrations |= 2;
        out.push((Step::RegistrarSubmitsAgain, again));
    }
}

fn id_system(world: &World, out: &mut Next) {
    for s in 0..2_u8 {
        let n = usize::from(s);
        if !world.nid.asked[n] {
            continue;
        }
        for says in Says::ALL {
            let mut said = *world;
            said.queues.put_reply(s + 1, says);
            if !world.nid.spoke[n] {
                // The ID system never issues a second ID for one person by itself.
                if says != Says::Issued(Id::B) {
                    said.nid.spoke[n] = true;
                    out.push((Step::IdSystemSays(s + 1, says), said));
                }
            } else if world.nid.more > 0 {
                said.nid.more -= 1;
                out.push((Step::IdSystemSaysMore(s + 1, says), said));
            }
        }
    }
}

fn time_and_mutations(world: &World, scope: &Scope, out: &mut Next) {
    if world.ledger.lease.live {
        let mut over = *world;
        over.ledger.lease.live = false;
        for confirmer in &mut over.confirmers {
            if let ConfirmerState::Intended { late, .. } = confirmer {
                *late = true;
            }
        }
        out.push((Step::LeaseEnds, over));
    }
    let is_flying =
        |confirmer: &ConfirmerState| matches!(confirmer, ConfirmerState::Sent { flight: Flight::Flying, .. });
    let flying = world.strays != [0; 2] || world.confirmers.iter().any(is_flying);
    // A late mutation is applied within the quarantine, and the quarantine is longer than any
    // lease.
    if world.ledger.intent.is_some()
        && !world.ledger.quarantine_over
        && (!flying || scope.tardy)
        && !world.ledger.lease.live
    {
        let mut passed = *world;
        passed.ledger.quarantine_over = true;
        out.push((Step::QuarantinePasses, passed));
    }
    for i in 0..2_u8 {
        if world.strays[usize::from(i)] > 0 {
            let mut lost = *world;
            lost.strays[usize::from(i)] -= 1;
            out.push((Step::StrayLost(i), lost));
            apply(&mut lost, i, scope);
            out.push((Step::StrayApplied(i), lost));
        }
        let c = usize::from(i);
        if let ConfirmerState::Sent { attempt, flight: Flight::Flying } = world.confirmers[c] {
            let mut lost = *world;
            lost.confirmers[c] = ConfirmerState::Sent { attempt, flight: Flight::Lost };
            out.push((Step::MutationLost(i), lost));
            let mut done = *world;
            done.confirmers[c] = ConfirmerState::Sent { attempt, flight: Flight::Applied };
            apply(&mut done, attempt, scope);
            out.push((Step::MutationApplied(i), done));
        }
    }
}

/// OpenCRVS 1.7–1.9 confirms without checking the state of the record.
fn apply(world: &mut World, attempt: u8, scope: &Scope) {
    let i = usize::from(attempt);
    world.crvs.confirms[i] += 1;
    if attempt != world.crvs.at && (!scope.lenient || world.knew_newer) {
        world.wrong = Some(Wrong::OlderOverNewer);
    } else if world.crvs.status == RecordState::MovedOn && !scope.lenient {
        world.wrong = Some(Wrong::WrittenOverTheRegistrar);
    }
    world.crvs.status = RecordState::Registered;
    let issued = world.ledger.rows[i].is_some_and(|row| row.answer == Some(AnswerKind::Issued));
    world.crvs.id = world.ledger.id.filter(|_| issued);
}

fn operator(world: &World, i: u8, out: &mut Next) {
    let Some(row) = world.ledger.rows[usize::from(i)] else { return };
    let resume = Event::Resume { asked: true, answered: row.answer.is_some() };
    // In the model only a refusal of the gateway parks an attempt, so an operator resumes only
    // answered attempts.
    if row.state == State::Parked && row.answer.is_some() && !world.dead[usize::from(i)] {
        let mut resumed = *world;
        if shift(&mut resumed, i, resume, None) {
            resumed.queues.outcomes |= 1 << i;
            out.push((Step::OperatorResumes(i), resumed));
        }
    }
}

/// A user of OpenCRVS who has a token of the record posts something of their own.
fn user(world: &World, out: &mut Next) {
    if world.invented.is_some() || world.crvs.at != 0 {
        return;
    }
    let mut submission = *world;
    submission.invented = Some(Invention::Submission);
    submission.queues.registrations |= 2;
    out.push((Step::UserInvents(Invention::Submission), submission));
    // The genuine registration that comes after it is a repeat.
    if world.ledger.rows[0].is_none() {
        let mut person = *world;
        person.invented = Some(Invention::Person);
        out.push((Step::UserInvents(Invention::Person), person));
    }
}

/// The sweeper publishes the message of an open attempt that has none.
fn sweep(world: &World, i: u8, out: &mut Next) {
    let mut after = *world;
    if world.ledger.newest == Some(i) {
        stages::publish_next(&mut after, i);
    }
    if after != *world {
        out.push((Step::SweeperRepublishes(i), after));
    }
}

/// The token of an attempt expires, is replaced by an operator, or is found expired by the sweeper.
fn tokens(world: &World, rules: Rules, i: u8, out: &mut Next) {
    let n = usize::from(i);
    let row = world.ledger.rows[n];
    let may_go_on = row.is_none_or(|row| row.state.is_open() || row.state == State::Parked);
    if world.crvs.phase[n] == Phase::Unsent || !may_go_on {
        return;
    }
    let mut turned = *world;
    turned.dead[n] = !world.dead[n];
    match (world.dead[n], row) {
        (false, _) => out.push((Step::TokenDies(i), turned)),
        (true, Some(_)) => out.push((Step::TokenReplaced(i), turned)),
        (true, None) => {}
    }
    if !world.dead[n] || row.is_none_or(|row| !row.state.is_open()) {
        return;
    }
    let now = Timestamp::UNIX_EPOCH + QUARANTINE;
    // The sweeper has no lease, so the fence does not matter to it.
    let (mut lease, _) = world.ledger.lease_state(0);
    if !rules.has(Rule::ExpiryWaitsForTheLease) {
        lease.until = Timestamp::UNIX_EPOCH;
    }
    let intended = world.ledger.intended(now).filter(|_| rules.has(Rule::ExpiryWaitsForTheWrite));
    if !may_expire(&lease, intended, now, QUARANTINE) {
        return;
    }
    let mut ended = *world;
    expire(&mut ended, rules, i);
    out.push((Step::SweeperExpires(i), ended));
}

/// Expires an attempt whose token was found expired, and raises the alarm for an ID that nothing
/// else will report.
pub fn expire(world: &mut World, rules: Rules, i: u8) {
    let flying = ConfirmerState::Sent { attempt: i, flight: Flight::Flying };
    if !world.dead[usize::from(i)] {
        world.wrong = Some(Wrong::ExpiredAlive);
    } else if world.strays[usize::from(i)] > 0 || world.confirmers.contains(&flying) {
        world.wrong = Some(Wrong::ExpiredInFlight);
    }
    let orphan = world.ledger.newest == Some(i) && world.ledger.id.is_some();
    if shift(world, i, Event::Expire, Some(Cause::TokenRefused)) && rules.has(Rule::OrphanAtEnd) {
        world.ledger.orphan_reported |= orphan;
    }
}

/// Applies the production rule to an attempt. Returns `false` on a conflict, and then changes
/// nothing.
pub fn shift(world: &mut World, i: u8, event: Event, cause: Option<Cause>) -> bool {
    let Some(row) = world.ledger.rows[usize::from(i)].as_mut() else { return false };
    match next(row.state, event) {
        Ok(state) => {
            row.before = (event == Event::Supersede).then_some((row.state, row.cause));
            row.state = state;
            row.cause = cause;
            true
        }
        Err(_) => false,
    }
}

/// By how much a clock that is ahead differs from the right time.
const AHEAD: Duration = Duration::from_secs(1_000);

/// The time of an attempt's submission, and its stamp by OpenCRVS's clock.
pub fn submitted(scope: &Scope, i: u8) -> Submitted {
    let accepted_at = Timestamp::from_second(i64::from(i) + 1).unwrap();
    let ahead = match scope.clock {
        Clock::Right => false,
        Clock::AheadOnce => i == 0,
        Clock::Ahead => true,
    };
    let stamp = if ahead { accepted_at + AHEAD } else { accepted_at };
    Submitted { stamp, accepted_at, tolerance: QUARANTINE }
}

/// The time since which the record has had its status, by OpenCRVS's clock.
pub fn crvs_since(world: &World, scope: &Scope) -> Timestamp {
    let Submitted { stamp, accepted_at, .. } = submitted(scope, world.crvs.at);
    match (world.crvs.status, scope.clock) {
        (RecordState::Waiting, _) => stamp,
        (_, Clock::Right | Clock::AheadOnce) => accepted_at + Duration::from_millis(500),
        (_, Clock::Ahead) => stamp + Duration::from_millis(500),
    }
}
