//! A record that is submitted again before, while and after its first attempt is answered, with two
//! confirmers, and an ID system that contradicts itself.

use nidbridge::sandbox::opencrvs::{Calls, Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;

use super::{OTHER, again, confirmed_once, held, submit, submit_as};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, people, stands_as, stands_as_second};
use crate::replies::{Vendor, issued, refused, rejected};

async fn two_confirmers() -> World {
    let mut world = World::with(Engine::Sqlite, &[("CONFIRM_PREFETCH", "1")]).await;
    world.start_as(OTHER, "confirmer");
    world.ready(OTHER).await;
    world
}

fn lost() -> SubmitOptions {
    SubmitOptions { lose_answer: true, ..SubmitOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn submitted_again_before_the_first_is_answered() {
    let world = two_confirmers().await;
    world.nid.pause_replies();
    let birth = people(Kind::Birth, 1, 71).remove(0);
    submit_as(&world, &birth, lost()).await;
    submit_as(&world, &birth, again()).await;
    stands_as_second(&world, &birth.record).await;
    world.nid.resume_replies();
    confirmed_once(&world, &birth.record).await;
    assert_eq!(world.nid.state().persons_doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn submitted_again_while_a_confirmer_is_at_the_first() {
    let world = two_confirmers().await;
    world.opencrvs.faults().pause_next(Calls::Fetch);
    let birth = submit(&world, 72).await;
    held(&world, Calls::Fetch).await;
    assert!(world.opencrvs.set_status(&birth.record, Status::Rejected));
    submit_as(&world, &birth, again()).await;
    stands_as_second(&world, &birth.record).await;
    stands_as(&world, &birth.record, "answered").await;
    world.opencrvs.faults().resume(Calls::Fetch);
    confirmed_once(&world, &birth.record).await;
    let seen = world.opencrvs.record(&birth.record).unwrap();
    assert!(seen.attempts[0].confirmed.is_none() && seen.attempts[1].confirmed.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn submitted_again_after_the_first_was_answered_in_vain() {
    let world = two_confirmers().await;
    let birth = people(Kind::Birth, 1, 73).remove(0);
    submit_as(&world, &birth, lost()).await;
    stands_as(&world, &birth.record, "withdrawn").await;
    let orphans = async || {
        let count = |role| world.metric(role, "nidbridge_alarms_total", "cause=\"orphan_id\"");
        (count("confirmer") + count(OTHER) == 1.0).then_some(())
    };
    eventually(SOON, "an ID without a registration is an alarm", orphans).await;
    submit_as(&world, &birth, again()).await;
    confirmed_once(&world, &birth.record).await;
    assert_eq!((world.nid.state().persons_doubled, world.nid.state().ids_doubled), (0, 0));
}

/// The process stops between its commit and its publish, and a contradicting reply arrives before
/// the redelivery.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_next_hop_was_lost_survives_a_contradiction() {
    let mut world = World::empty(
        Engine::Sqlite,
        &[("PUBLISH_TIMEOUT", "20s"), ("CONFIRM_LEASE", "30s"), ("SWEEP_INTERVAL", "1h")],
    )
    .await;
    let proxy = world.proxy_before_broker("worker").await;
    for role in ["front", "worker"] {
        world.start(role);
        world.ready(role).await;
    }
    world.nid.pause_replies();
    let birth = people(Kind::Birth, 1, 74).remove(0);
    let record = birth.record.as_str();
    submit_as(&world, &birth, lost()).await;
    submit_as(&world, &birth, again()).await;
    let asked =
        async || (world.nid.state().requests >= 1 && second_was_asked(&world, record).await).then_some(());
    eventually(SOON, "the second attempt was asked", asked).await;
    proxy.blackhole();
    let vendor = Vendor::of(&world).await;
    let request = request_of(record, "birth");
    vendor.replies(&issued(&request, 1, "5550003333")).await;
    stands_as(&world, record, "answered").await;
    vendor.replies(&rejected(&request, 1)).await;
    refused(&world, record, "contradictory_answer").await;
    let history = world.history(record).await;
    assert!(!history.iter().any(|entry| entry.what == "rejected_too_late"), "the first answer was forgotten");
    world.kill9("worker");
    proxy.cut();
    proxy.restore();
    for role in ["worker", "confirmer"] {
        world.start(role);
    }
    ends_as(&world, record, Status::Registered).await;
    confirmed_once(&world, record).await;
    let seen = world.opencrvs.record(record).unwrap();
    assert_eq!(seen.identifiers.get("NATIONAL_ID").map(String::as_str), Some("5550003333"));
}

async fn second_was_asked(world: &World, record: &str) -> bool {
    let history = world.history(record).await;
    let Some(last) = history.iter().rev().find_map(|entry| entry.attempt) else { return false };
    let Ok(Some(case)) = world.ledger.case(last).await else { return false };
    case.attempt.submission == 2 && case.attempt.sent_at.is_some()
}
