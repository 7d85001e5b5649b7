//! Bounds of `FRONT_WAIT`: the number of waiting callers is limited, no caller waits longer than is
//! useful, and none delays a shutdown.

use std::time::{Duration, Instant};

use nidbridge::sandbox::opencrvs::{CallResult, Status, SubmitOptions, SubmitOutcome};
use nidbridge::sandbox::population::{Declaration, Kind};
use tokio::task::JoinSet;

use super::{AT_ONCE, world};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, people, stands_as};

/// Longer than any of these tests takes.
const FOR_EVER: &str = "60s";

/// Submits all declarations concurrently.
fn submit_all(world: &World, families: &[Declaration]) -> JoinSet<SubmitOutcome> {
    let mut callers = JoinSet::new();
    for family in families {
        let (opencrvs, front, family) = (world.opencrvs.clone(), world.front.clone(), family.clone());
        callers
            .spawn(async move { opencrvs.submit(&family, &front, SubmitOptions::default()).await.unwrap() });
    }
    callers
}

async fn waiting(world: &World, count: u32) {
    eventually(SOON, &format!("{count} wait"), async || {
        (world.metric("front", "nidbridge_waiting", "") == f64::from(count)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_wait_than_may() {
    let world = world(Engine::Sqlite, FOR_EVER, &[("FRONT_WAITERS", "3")]).await;
    world.nid.pause_replies();
    let families = people(Kind::Birth, 8, 233);
    let begun = Instant::now();
    let mut callers = submit_all(&world, &families);
    waiting(&world, 3).await;
    for _ in 0..5 {
        assert_eq!(callers.join_next().await.unwrap().unwrap().result, CallResult::Status(202));
    }
    assert!(begun.elapsed() < AT_ONCE);
    assert_eq!(world.metric("front", "nidbridge_waited_total", "full"), 5.0);
    world.nid.resume_replies();
    while let Some(caller) = callers.join_next().await {
        assert_eq!(caller.unwrap().result, CallResult::Status(200));
    }
    for family in &families {
        stands_as(&world, &family.record, "answered").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_stops_sends_its_callers_away_with_a_202_and_nothing_is_lost() {
    let mut world = world(Engine::Sqlite, "10s", &[]).await;
    world.nid.pause_replies();
    let families = people(Kind::Birth, 4, 239);
    let mut callers = submit_all(&world, &families);
    waiting(&world, 4).await;
    let begun = Instant::now();
    assert_eq!(world.terminate("front").await, Some(0));
    while let Some(caller) = callers.join_next().await {
        assert_eq!(caller.unwrap().result, CallResult::Status(202));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waited for what cannot come any more");
    world.nid.resume_replies();
    for family in &families {
        ends_as(&world, &family.record, Status::Registered).await;
        assert_eq!(world.opencrvs.record(&family.record).unwrap().confirms.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_are_killed_while_callers_wait_lose_no_answer() {
    let mut world = world(Engine::Sqlite, FOR_EVER, &[]).await;
    world.nid.pause_replies();
    let families = people(Kind::Birth, 12, 263);
    let mut callers = submit_all(&world, &families);
    waiting(&world, 12).await;
    world.nid.resume_replies();
    for role in ["worker", "confirmer"] {
        world.kill9(role);
        world.start(role);
    }
    while let Some(caller) = callers.join_next().await {
        assert_eq!(caller.unwrap().result, CallResult::Status(200));
    }
    for family in &families {
        assert_eq!(world.opencrvs.record(&family.record).unwrap().confirms.len(), 0, "inside its request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_is_killed_takes_its_callers_with_it_and_no_registration() {
    let mut world = world(Engine::Sqlite, "6s", &[]).await;
    world.nid.pause_replies();
    let families = people(Kind::Birth, 6, 269);
    let mut callers = submit_all(&world, &families);
    waiting(&world, 6).await;
    world.kill9("front");
    while let Some(caller) = callers.join_next().await {
        let outcome = caller.unwrap();
        assert!(matches!(outcome.result, CallResult::NoAnswer(_)), "{:?}", outcome.result);
        assert_eq!(outcome.status, Status::Rejected, "core takes it for a failure");
    }
    world.start("front");
    world.ready("front").await;
    world.nid.resume_replies();
    for family in &families {
        let again = SubmitOptions { corrected: Some("Corrected".to_owned()), ..SubmitOptions::default() };
        let again = world.opencrvs.submit(family, &world.front, again).await.unwrap();
        assert!(again.result.is_success(), "{:?}", again.result);
    }
    for family in &families {
        ends_as(&world, &family.record, Status::Registered).await;
        let record = world.opencrvs.record(&family.record).unwrap();
        assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1));
    }
    assert_eq!(world.nid.state().persons, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_disconnects_leaves_nothing_behind() {
    let world = world(Engine::Sqlite, FOR_EVER, &[]).await;
    world.nid.pause_replies();
    let [fhir, event] = <[_; 2]>::try_from(people(Kind::Birth, 2, 241)).unwrap();
    let gone = || SubmitOptions { timeout: Some(Duration::from_secs(3)), ..SubmitOptions::default() };
    let (in_fhir, in_events) = tokio::join!(
        world.opencrvs.submit(&fhir, &world.front, gone()),
        world.opencrvs.submit_event(&event, &world.front, gone()),
    );
    assert!(matches!(in_fhir.unwrap().result, CallResult::NoAnswer(_)));
    assert!(matches!(in_events.unwrap().result, CallResult::NoAnswer(_)));
    eventually(SOON, "both registrations are in the ledger", async || {
        let standings = world.ledger.summaries().await.ok()?;
        let has = |family: &Declaration| standings.iter().any(|one| one.record.as_str() == family.record);
        (has(&fhir) && has(&event)).then_some(())
    })
    .await;
    eventually(AT_ONCE, "nobody waits any more", async || {
        (world.metric("front", "nidbridge_waiting", "") == 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_heard_again_after_the_broker_was_away() {
    let mut world = crate::events::world(Engine::Sqlite, &[]).await;
    world.terminate("front").await;
    let proxy = world.proxy_before_broker("front").await;
    world.set("FRONT_WAIT", "20s");
    world.start("front");
    world.ready("front").await;
    let mut families = people(Kind::Birth, 30, 251).into_iter();
    heard(&world, &mut families).await;
    proxy.cut();
    eventually(SOON, "the front has lost the broker", async || {
        (world.metric("front", "nidbridge_broker_connected", "") == 0.0).then_some(())
    })
    .await;
    proxy.restore();
    heard(&world, &mut families).await;
}

/// Registers records one by one until one gets its answer inside its request.
async fn heard(world: &World, families: &mut impl Iterator<Item = Declaration>) {
    let families = std::sync::Mutex::new(families);
    eventually(SOON, "a registration is answered in its request", async || {
        let family = families.lock().unwrap().next().expect("another family");
        let outcome = world.opencrvs.submit(&family, &world.front, SubmitOptions::default()).await.unwrap();
        (outcome.result == CallResult::Status(200)).then_some(())
    })
    .await;
}
