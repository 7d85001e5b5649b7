//! An OpenCRVS whose clock is ahead: every registration is answered once, and an operator is told.

use nidbridge::domain::Cause;
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use crate::events;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as, stands_as_second};
use crate::replies::alarmed;

on_both_ledgers![
    a_bundle_from_the_future_does_not_close_its_record,
    an_action_from_the_future_is_answered_like_any_other,
];

/// A submission in the year 2100.
fn ahead(lose_answer: bool) -> SubmitOptions {
    let at = "2100-01-01T00:00:00Z".parse().unwrap();
    SubmitOptions { at: Some(at), lose_answer, ..SubmitOptions::default() }
}

/// Waits until the worker has reported this many stamps from the future, each with its history
/// entry.
async fn reported(world: &World, birth: &Declaration, dialect: &str, times: usize) {
    alarmed(world, "worker", "stamp_in_future", times as f64).await;
    assert_eq!(world.metric("worker", "nidbridge_stamps_in_future_total", dialect), times as f64);
    let history = world.history(&birth.record).await;
    let told: Vec<_> = history.iter().filter(|entry| entry.what == "stamp_in_future").collect();
    assert_eq!(told.len(), times, "{history:?}");
    assert!(told.iter().all(|entry| entry.cause == Some(Cause::StampInFuture.into())));
}

async fn confirmed_once(world: &World, birth: &Declaration) {
    ends_as(world, &birth.record, Status::Registered).await;
    stands_as(world, &birth.record, "confirmed").await;
    let record = world.opencrvs.record(&birth.record).unwrap();
    assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1), "{record:?}");
}

async fn a_bundle_from_the_future_does_not_close_its_record(engine: Engine) {
    let world = World::new(engine).await;
    let births = people(Kind::Birth, 2, 111);
    world.opencrvs.submit(&births[0], &world.front, ahead(false)).await.unwrap();
    confirmed_once(&world, &births[0]).await;
    reported(&world, &births[0], "fhir", 1).await;
    // The registrar submits the second one again.
    world.nid.pause_replies();
    world.opencrvs.submit(&births[1], &world.front, ahead(true)).await.unwrap();
    let recorded = async || (!world.history(&births[1].record).await.is_empty()).then_some(());
    eventually(SOON, "the first submission is recorded", recorded).await;
    let again = SubmitOptions { corrected: Some("Corrected".into()), ..SubmitOptions::default() };
    world.opencrvs.submit(&births[1], &world.front, again).await.unwrap();
    stands_as_second(&world, &births[1].record).await;
    world.nid.resume_replies();
    confirmed_once(&world, &births[1]).await;
}

async fn an_action_from_the_future_is_answered_like_any_other(engine: Engine) {
    let world = events::world(engine, &[]).await;
    let birth = people(Kind::Birth, 1, 112).remove(0);
    let submitted = world.opencrvs.submit_event(&birth, &world.front, ahead(false)).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
    confirmed_once(&world, &birth).await;
    reported(&world, &birth, "events", 1).await;
    let tally = world.opencrvs.events_tally();
    assert!(tally.is_undamaged(), "{tally:?}");
}
