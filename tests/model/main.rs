//! A model checker for the protocol. It explores every interleaving of two attempts of one record,
//! two confirmers, an ID system that repeats and contradicts itself, OpenCRVS as it behaves, a
//! clock that is ahead, tokens that expire at any moment, an operator who decides, a user who
//! invents registrations, and processes that stop at any step.
//!
//! The model has no rules of its own: it runs [`next`](nidbridge::domain::next),
//! [`decide`](nidbridge::domain::decide), [`lease`](nidbridge::domain::lease) and
//! [`resolve`](nidbridge::domain::resolve()), as production does. Time exists only as events: the
//! lease ends, the quarantine passes.

#![allow(unreachable_pub, reason = "nothing outside of this program sees its items")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod action;
mod confirmer;
mod decisions;
mod explore;
mod rules;
mod stages;
mod steps;
mod world;

use std::time::Instant;

use nidbridge::domain::{NegativePolicy, State};

use explore::{Pipeline, explore};
use rules::{Rule, Rules};
use world::{Clock, Scope, Wrong};

/// An ID system that repeats and contradicts itself, and stages before the confirmer that may stop
/// at any step.
const ANSWERS: Scope = Scope {
    policy: NegativePolicy::Hold,
    more_answers: 1,
    refusals: 0,
    restless: false,
    lenient: false,
    tardy: false,
    confirmers: 1,
    stops: true,
    held: false,
    mortal: false,
    clock: Clock::Right,
    decisions: 0,
    inventive: false,
};

/// As [`ANSWERS`], with `confirm_with_comment` for negative answers.
const COMMENTS: Scope = Scope { policy: NegativePolicy::ConfirmWithComment, ..ANSWERS };

/// Two confirmers that may stop at any step, and a gateway that sometimes refuses permanently.
const WRITES: Scope = Scope { more_answers: 0, refusals: 2, confirmers: 2, stops: false, ..ANSWERS };

/// A registrar who changes the record without waiting for the answer.
const RESTLESS: Scope = Scope { refusals: 1, restless: true, lenient: true, ..WRITES };

/// One confirmer and no faults.
const CALM: Scope = Scope { refusals: 0, confirmers: 1, ..WRITES };

/// Two confirmers, and callers that wait for the answer (`FRONT_WAIT`).
const HELD: Scope = Scope { refusals: 1, held: true, ..WRITES };

/// Two confirmers, and tokens that expire at any moment.
const MORTAL: Scope = Scope { refusals: 0, mortal: true, ..WRITES };

/// Two confirmers, and a clock of OpenCRVS that was ahead at the first submission.
const AHEAD_ONCE: Scope = Scope { refusals: 0, clock: Clock::AheadOnce, ..WRITES };

/// An operator who decides once at any moment.
const DECIDED: Scope = Scope { refusals: 1, decisions: 1, ..WRITES };

/// An operator who decides twice.
const DECIDED_TWICE: Scope = Scope { decisions: 2, confirmers: 1, ..DECIDED };

/// A user who posts registrations that OpenCRVS does not have.
const INVENTED: Scope = Scope { inventive: true, ..CALM };

fn lines(path: &[steps::Step]) -> String {
    path.iter().map(|step| format!("  {step:?}\n")).collect()
}

/// Explores the model without these rules and prints the result.
fn run(name: &str, scope: &Scope, out: &'static [Rule]) -> Option<Wrong> {
    let began = Instant::now();
    let explored = explore(&Pipeline { scope, rules: Rules(out) });
    let (states, time) = (explored.worlds.len(), began.elapsed());
    let Some((wrong, path)) = explored.found else {
        eprintln!("{name}: nothing wrong in {states} states ({time:.1?})");
        return None;
    };
    eprintln!("{name}: {wrong:?} after {} steps, {states} states ({time:.1?})\n{}", path.len(), lines(&path));
    Some(wrong)
}

/// The attempt states that are reached with all rules in force.
fn reached(scope: &Scope) -> Vec<State> {
    explore(&Pipeline { scope, rules: Rules(&[]) }).reached()
}

#[test]
fn nothing_goes_wrong_with_two_confirmers_and_a_gateway_that_refuses() {
    assert_eq!(run("refusals", &WRITES, &[]), None);
    let reached = reached(&WRITES);
    // In these settings no rejection is told inside a request, no token expires and no operator
    // closes anything. Every other state is reached.
    let missing: Vec<State> = State::ALL.into_iter().filter(|state| !reached.contains(state)).collect();
    assert_eq!(missing, [State::Rejected, State::Expired, State::Closed]);
    assert_eq!(run("stops", &Scope { refusals: 0, stops: true, ..WRITES }, &[]), None);
}

#[test]
fn nothing_goes_wrong_with_an_id_system_that_contradicts_itself() {
    assert_eq!(run("contradictions", &ANSWERS, &[]), None);
    let two = Scope { confirmers: 2, stops: false, ..ANSWERS };
    assert_eq!(run("contradictions, two confirmers", &two, &[]), None);
}

#[test]
fn nothing_goes_wrong_where_a_negative_answer_is_confirmed_with_a_comment() {
    assert_eq!(run("comments", &COMMENTS, &[]), None);
}

#[test]
fn nothing_that_the_ledger_could_prevent_goes_wrong_with_a_registrar_who_does_not_wait() {
    assert_eq!(run("restless", &RESTLESS, &[]), None);
}

#[test]
fn nothing_goes_wrong_where_a_token_dies_at_any_moment() {
    assert_eq!(run("tokens", &MORTAL, &[]), None);
    let one = Scope { confirmers: 1, ..MORTAL };
    assert_eq!(run("tokens and stops", &Scope { stops: true, ..one }, &[]), None);
    assert_eq!(run("tokens, restless", &Scope { restless: true, lenient: true, ..one }, &[]), None);
    assert!(reached(&one).contains(&State::Expired));
}

#[test]
fn nothing_goes_wrong_where_core_may_be_told_a_rejection_in_its_own_request() {
    assert_eq!(run("held", &HELD, &[]), None);
    assert!(reached(&HELD).contains(&State::Rejected));
    assert_eq!(run("held, contradictions", &Scope { held: true, ..ANSWERS }, &[]), None);
    assert_eq!(run("held, restless", &Scope { held: true, ..RESTLESS }, &[]), None);
}

#[test]
fn nothing_goes_wrong_where_opencrvs_dates_submissions_in_the_future() {
    let ahead = Scope { clock: Clock::Ahead, ..AHEAD_ONCE };
    for scope in [AHEAD_ONCE, ahead] {
        assert_eq!(run("from the future", &scope, &[]), None);
        assert_eq!(run("from the future, stops", &Scope { stops: true, confirmers: 1, ..scope }, &[]), None);
        let tokens = Scope { mortal: true, confirmers: 1, ..scope };
        assert_eq!(run("from the future, tokens", &tokens, &[]), None);
    }
}

#[test]
fn nothing_goes_wrong_where_an_operator_decides() {
    assert_eq!(run("decisions", &DECIDED, &[]), None);
    assert_eq!(run("two decisions", &DECIDED_TWICE, &[]), None);
    assert_eq!(run("decisions, tokens", &Scope { mortal: true, refusals: 0, ..DECIDED_TWICE }, &[]), None);
    let contradicted = Scope { decisions: 1, stops: false, ..ANSWERS };
    assert_eq!(run("decisions, contradictions", &contradicted, &[]), None);
    assert!(reached(&DECIDED).contains(&State::Closed));
}

#[test]
fn the_id_system_is_asked_about_nobody_whom_opencrvs_does_not_have() {
    assert_eq!(run("inventions", &INVENTED, &[]), None);
    assert_eq!(run("inventions, stops", &Scope { stops: true, ..INVENTED }, &[]), None);
    let ahead = Scope { clock: Clock::AheadOnce, ..INVENTED };
    assert_eq!(run("inventions, from the future", &ahead, &[]), None);
}

#[test]
fn an_invented_registration_with_a_later_stamp_does_not_silence_the_genuine_one() {
    // Every path of these models ends with the answer for which OpenCRVS waits.
    assert_eq!(
        run("inventions, two confirmers", &Scope { confirmers: 2, refusals: 1, ..INVENTED }, &[]),
        None
    );
    let contradicted = Scope { more_answers: 1, ..INVENTED };
    assert_eq!(run("inventions, contradictions", &contradicted, &[]), None);
    assert_eq!(run("inventions, tokens", &Scope { mortal: true, ..INVENTED }, &[]), None);
    let held = Scope { held: true, ..INVENTED };
    assert_eq!(run("inventions, held", &held, &[]), None);
}

#[test]
fn without_any_one_rule_something_goes_wrong() {
    let one = Scope { confirmers: 1, ..MORTAL };
    let rows: [(&'static [Rule], Scope, Wrong); 30] = [
        (&[Rule::Lease], WRITES, Wrong::ConfirmedTwice),
        (&[Rule::FenceAtIntent], WRITES, Wrong::ConfirmedTwice),
        (&[Rule::FenceAtFinish, Rule::ParkKeepsTheIntent], WRITES, Wrong::ConfirmedTwice),
        (&[Rule::Quarantine], WRITES, Wrong::ConfirmedTwice),
        (&[Rule::PromptWrite], WRITES, Wrong::ConfirmedTwice),
        (&[Rule::NewestAtIntent, Rule::AnsweredAtIntent], RESTLESS, Wrong::OlderOverNewer),
        (&[Rule::ReadFirst], RESTLESS, Wrong::ConfirmedTwice),
        (&[Rule::ReadFirst], WRITES, Wrong::WrittenOverTheRegistrar),
        (&[Rule::Supersession], CALM, Wrong::NeverEnds),
        (&[Rule::PassOn], CALM, Wrong::NeverEnds),
        (&[Rule::FirstAnswer], ANSWERS, Wrong::IdChanged),
        (&[Rule::PublishBeforeAck], CALM, Wrong::NeverEnds),
        (&[Rule::ConfirmAfter], WRITES, Wrong::WrittenOverTheRegistrar),
        (&[Rule::PromptWrite], one, Wrong::WrittenAfterExpired),
        (&[Rule::ExpiryWaitsForTheWrite], one, Wrong::ExpiredInFlight),
        (&[Rule::ExpiryWaitsForTheLease, Rule::AnsweredAtIntent], one, Wrong::WrittenAfterExpired),
        (&[Rule::DeadAtEnd], one, Wrong::ExpiredAlive),
        (&[Rule::OrphanAtEnd], one, Wrong::IdDroppedSilently),
        (&[Rule::FutureOrdersNothing], AHEAD_ONCE, Wrong::NewestSuperseded),
        (&[Rule::FutureAtRead], AHEAD_ONCE, Wrong::NeverEnds),
        (&[Rule::DecidesAtRest], DECIDED, Wrong::IdDroppedSilently),
        (&[Rule::DecidesAfterTheWrite], DECIDED, Wrong::ClosedInFlight),
        (&[Rule::DecidesWithoutDoubt], DECIDED_TWICE, Wrong::IdDroppedSilently),
        (&[Rule::ParkKeepsTheIntent], DECIDED_TWICE, Wrong::IdDroppedSilently),
        (&[Rule::DecidesForTheId], DECIDED, Wrong::IdDroppedSilently),
        (&[Rule::DecidesOneId], DECIDED, Wrong::IdChanged),
        (&[Rule::CheckBeforeSend], INVENTED, Wrong::InventedAsked),
        (&[Rule::ComparePersons], INVENTED, Wrong::InventedAsked),
        (&[Rule::Revival], INVENTED, Wrong::NeverEnds),
        (&[Rule::LookUpBeforePassOn], INVENTED, Wrong::NeverEnds),
    ];
    for (out, scope, wrong) in rows {
        assert_eq!(run(&format!("without {out:?}"), &scope, out), Some(wrong), "without {out:?}");
    }
}

/// These rules save work or repeat what another rule ensures. Without them the promise still holds.
#[test]
fn these_rules_are_covered_by_others() {
    let spare: &[Rule] = &[Rule::LeaseRunsAtIntent, Rule::NewestAtLease, Rule::NewestAtIntent];
    assert_eq!(run("without the fence at the end", &WRITES, &[Rule::FenceAtFinish]), None);
    for scope in [WRITES, RESTLESS] {
        assert_eq!(run("without spare rules", &scope, spare), None);
        assert_eq!(run("without the state at the intent", &scope, &[Rule::AnsweredAtIntent]), None);
    }
    // A newer attempt supersedes the older one, and nothing is decided about that.
    let one_confirmer = Scope { confirmers: 1, ..DECIDED };
    assert_eq!(run("decisions about any attempt", &one_confirmer, &[Rule::DecidesTheNewest]), None);
    // The intent requires an answered attempt, and an expired one is no longer answered.
    let one = Scope { confirmers: 1, ..MORTAL };
    assert_eq!(run("without the lease at the end of a token", &one, &[Rule::ExpiryWaitsForTheLease]), None);
}

/// Two windows that no client of OpenCRVS 1.7–1.9 can close: the record changes between our read
/// and our write, or a mutation is applied after its quarantine.
#[test]
fn the_windows_that_stay_open_are_known() {
    let strict = Scope { lenient: false, ..RESTLESS };
    assert_eq!(run("a registrar between read and write", &strict, &[]), Some(Wrong::WrittenOverTheRegistrar));
    let tardy = Scope { tardy: true, ..WRITES };
    assert_eq!(run("a mutation after its quarantine", &tardy, &[]), Some(Wrong::ConfirmedTwice));
}
