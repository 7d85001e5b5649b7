//! A model of one action of the events generation: two confirmers answer it with the token that
//! came with it or with the bridge's own client, while releases change, tokens die, secrets are
//! rotated, users are assigned, answers are lost and processes stop.
//!
//! The model has no rules of its own: it runs [`choose`](nidbridge::domain::choose),
//! [`expires_at`](nidbridge::domain::expires_at), [`next`](nidbridge::domain::next) and
//! [`lease`](nidbridge::domain::lease), as production does.

mod confirmer;
mod core;
mod world;

use std::time::Instant;

use nidbridge::domain::State;

use super::explore::{Model, explore};
use confirmer::successors;
use world::{Release, Rule, Scope, Step, World, Wrong};

/// One history: a scope, and the rules that are removed.
struct Action {
    scope: Scope,
    without: &'static [Rule],
}

impl Model for Action {
    type World = World;
    type Step = Step;
    type Wrong = Wrong;

    const NEVER_ENDS: Wrong = Wrong::NeverEnds;

    fn start(&self) -> World {
        World::start(&self.scope)
    }

    fn successors(&self, world: &World, out: &mut Vec<(Step, World)>) {
        successors(world, &self.scope, self.without, out);
    }

    fn canonical(&self, world: World) -> World {
        world.canonical(&self.scope)
    }

    fn wrong(&self, world: &World) -> Option<Wrong> {
        world.wrong(&self.scope)
    }

    fn is_fault(&self, step: Step, _before: &World) -> bool {
        step.is_fault()
    }

    fn is_over(&self, world: &World) -> bool {
        !world.state.is_open()
    }
}

/// The upgrade from a release that takes only the token to one that takes only the client.
const UPGRADE: Scope = Scope {
    from: Release::Old,
    to: Release::New,
    has_token: true,
    has_client: true,
    confirmers: 1,
    troubles: 2,
    rejects: false,
};

/// OpenCRVS 2.1 from the start: no token.
const NEW: Scope = Scope { from: Release::New, has_token: false, ..UPGRADE };

/// A bridge without a client, on releases that take the token.
const TOKEN_ONLY: Scope =
    Scope { to: Release::Middle, has_client: false, confirmers: 2, troubles: 1, ..UPGRADE };

fn run(name: &str, scope: Scope, without: &'static [Rule]) -> Option<Wrong> {
    let began = Instant::now();
    let explored = explore(&Action { scope, without });
    let (states, time) = (explored.worlds.len(), began.elapsed());
    let Some((wrong, path)) = explored.found else {
        eprintln!("action, {name}: nothing wrong in {states} states ({time:.1?})");
        return None;
    };
    let path: String = path.iter().map(|step| format!("  {step:?}\n")).collect();
    eprintln!("action, {name}: {wrong:?}, {states} states ({time:.1?})\n{path}");
    Some(wrong)
}

#[test]
fn an_action_is_answered_by_whichever_credential_the_release_takes() {
    for rejects in [false, true] {
        let troubles = if rejects { 1 } else { 2 };
        assert_eq!(run("upgrade", Scope { rejects, troubles, ..UPGRADE }, &[]), None);
        assert_eq!(run("2.1", Scope { rejects, ..NEW }, &[]), None);
        assert_eq!(run("token only", Scope { rejects, ..TOKEN_ONLY }, &[]), None);
    }
    assert_eq!(run("no upgrade", Scope { to: Release::Old, ..UPGRADE }, &[]), None);
    assert_eq!(run("2.1, two confirmers", Scope { confirmers: 2, troubles: 2, ..NEW }, &[]), None);
    let calm = Scope { confirmers: 2, troubles: 1, ..UPGRADE };
    assert_eq!(run("upgrade, two confirmers", calm, &[]), None);
}

#[test]
fn with_a_client_no_action_expires_and_from_2_1_on_each_gets_its_answer() {
    let reached = |scope| {
        let worlds = explore(&Action { scope, without: &[] }).worlds;
        State::ALL
            .into_iter()
            .filter(|state| worlds.iter().any(|world| world.state == *state))
            .collect::<Vec<_>>()
    };
    assert_eq!(reached(NEW), [State::Answered, State::Confirmed]);
    assert_eq!(reached(Scope { troubles: 1, ..UPGRADE }), [State::Answered, State::Confirmed, State::Parked]);
    assert_eq!(reached(Scope { rejects: true, ..NEW }), [State::Answered, State::Rejected]);
    assert!(reached(TOKEN_ONLY).contains(&State::Expired));
}

#[test]
fn without_any_one_rule_of_the_credentials_something_goes_wrong() {
    let rows: [(Rule, Scope, Wrong); 10] = [
        (Rule::OtherCredential, UPGRADE, Wrong::EndedAnswerable),
        (Rule::NoExpiryWithClient, UPGRADE, Wrong::EndedAnswerable),
        (Rule::WaitWhileAssigned, NEW, Wrong::EndedAnswerable),
        (Rule::WaitForScope, NEW, Wrong::EndedAnswerable),
        (Rule::WaitForSecret, NEW, Wrong::EndedAnswerable),
        (Rule::FreshToken, NEW, Wrong::NeverEnds),
        (Rule::RereadSecret, NEW, Wrong::NeverEnds),
        (Rule::Alert, NEW, Wrong::WaitsUnreported),
        (Rule::RepeatAfterDoubt, NEW, Wrong::ConfirmedInVain),
        (Rule::Redeliver, NEW, Wrong::NeverEnds),
    ];
    for (rule, scope, wrong) in rows {
        let without: &'static [Rule] = Box::leak(Box::new([rule]));
        assert_eq!(run(&format!("without {rule:?}"), scope, without), Some(wrong), "without {rule:?}");
    }
}

/// These rules save calls or waiting. Without them the promise still holds.
#[test]
fn these_rules_of_the_credentials_are_covered_by_others() {
    for scope in [Scope { troubles: 1, ..UPGRADE }, NEW, TOKEN_ONLY] {
        assert_eq!(run("without the order", scope, &[Rule::Order]), None);
        assert_eq!(run("without reading", scope, &[Rule::ReadFirst, Rule::ReadAfterDoubt]), None);
        assert_eq!(run("without the lease", scope, &[Rule::Lease]), None);
    }
}
