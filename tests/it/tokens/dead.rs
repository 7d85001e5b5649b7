//! Dead tokens cost the confirmer milliseconds: registrations with live tokens do not wait for
//! them, and auth is asked for its key a few times for all of them.

use std::time::Duration;

use nidbridge::domain::{Cause, State};
use nidbridge::sandbox::opencrvs::{OpencrvsSettings, Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;

use super::case;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, people, stands_as};

/// Registrations of each sort. The large number is for measuring.
const FEW: usize = 24;
const MANY: usize = 500;
/// The confirmer handles this many outcomes at a time, so dead tokens could occupy all of them.
const PREFETCH: (&str, &str) = ("CONFIRM_PREFETCH", "4");
/// The keeper checks tokens only at its start, because this story is about the confirmer.
const ONE_LOOK: (&str, &str) = ("TOKEN_INTERVAL", "1h");

async fn submit(world: &World, count: usize, seed: u64) -> Vec<String> {
    let declarations = people(Kind::Birth, count, seed);
    for declaration in &declarations {
        let sent = world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(sent.result.is_success(), "{:?}", sent.result);
    }
    declarations.into_iter().map(|declaration| declaration.record).collect()
}

async fn confirmed(world: &World, count: usize) -> Duration {
    let begun = std::time::Instant::now();
    let all = async || (world.opencrvs.tally().confirmed == count as u64).then_some(());
    eventually(SOON, "all live registrations are confirmed", all).await;
    begun.elapsed()
}

/// Answers `count` dead registrations and as many live ones at once. Returns how long the live ones
/// took.
async fn live_among_dead(refetch: &str, count: usize) -> (World, Vec<String>, Duration) {
    let mut world = World::empty(Engine::Sqlite, &[PREFETCH, ONE_LOOK]).await;
    world.set_for("confirmer", "OPENCRVS_KEY_REFETCH", refetch);
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
    world.nid.pause_replies();
    let dead = submit(&world, count, 51).await;
    for record in &dead {
        stands_as(&world, record, "requested").await;
    }
    world.opencrvs.rotate_key().unwrap();
    let live = submit(&world, count, 52).await;
    for record in &live {
        stands_as(&world, record, "requested").await;
    }
    world.nid.resume_replies();
    let took = confirmed(&world, count).await;
    for record in &live {
        ends_as(&world, record, Status::Registered).await;
    }
    (world, dead, took)
}

/// One fetch at a time would take a minute for each dead token here.
#[tokio::test(flavor = "multi_thread")]
async fn live_registrations_are_confirmed_although_dead_tokens_wait_for_auths_key() {
    let (world, dead, _) = live_among_dead("60s", FEW).await;
    let fetches = world.opencrvs.counts().calls["key"];
    // Two by the front (before and after the change), one by the keeper, the others by the
    // confirmer.
    assert!(fetches <= 5, "auth was asked {fetches} times");
    for record in &dead {
        let state = case(&world, record).await.attempt.state;
        assert_eq!(state, State::Answered, "{record}: no key after the issue of its token is known");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_tokens_are_parked_by_the_newest_key_and_few_fetches_serve_them_all() {
    let (world, dead, _) = live_among_dead("2s", FEW).await;
    for record in &dead {
        stands_as(&world, record, "parked").await;
        assert_eq!(case(&world, record).await.attempt.cause, Some(Cause::TokenRefused.into()));
    }
    let fetches = world.opencrvs.counts().calls["key"];
    assert!(fetches < FEW as u64 / 2, "auth was asked {fetches} times for {FEW} tokens");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; run it alone"]
async fn five_hundred_dead_tokens_do_not_double_the_time_of_five_hundred_live_ones() {
    let world = World::beside(OpencrvsSettings::default(), Engine::Sqlite, &[PREFETCH]).await;
    world.nid.pause_replies();
    let alone = submit(&world, MANY, 53).await;
    for record in &alone {
        stands_as(&world, record, "requested").await;
    }
    world.nid.resume_replies();
    let usual = confirmed(&world, MANY).await;
    drop(world);
    let (_, _, took) = live_among_dead("5s", MANY).await;
    assert!(took <= usual * 2, "{took:?} instead of {usual:?}");
}
