//! Requests whose time is over, and an ID system that asks for a longer time than a delay queue
//! has.

use std::time::{Duration, Instant};

use nidbridge::sandbox::nid::VendorSettings;
use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::Kind;

use super::{QUICK, alarmed, submit, turns};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, people, stands_as};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_not_sent_again_after_its_deadline_and_a_late_answer_is_welcome() {
    let settings = [QUICK[0], QUICK[1], ("NID_RESEND_AFTER", "1s"), ("NID_DEADLINE", "5s")];
    let world = World::with(Engine::Sqlite, &settings).await;
    world.nid.pause_replies();
    let record = submit(&world, &people(Kind::Birth, 1, 38)).await.remove(0);
    eventually(SOON, "it is sent again before", async || (world.nid.state().repeats >= 1).then_some(()))
        .await;
    alarmed(&world, "overdue", 1.0).await;
    turns(&world, "worker", "done", 2.0).await;
    let before = world.nid.state().repeats;
    turns(&world, "worker", "done", 10.0).await;
    assert_eq!(world.nid.state().repeats, before, "sent again after its own expiry");
    stands_as(&world, &record, "requested").await;
    world.nid.resume_replies();
    ends_as(&world, &record, Status::Registered).await;
    stands_as(&world, &record, "confirmed").await;
    assert_eq!(world.metric("worker", super::ALARMS, "overdue"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_system_is_not_asked_again_before_the_time_that_it_named() {
    let world = World::new(Engine::Sqlite).await;
    // The longest delay queue of this world has two seconds.
    world.nid.change(|vendor: &mut VendorSettings| {
        vendor.retry = 1.0;
        vendor.retry_after_s = 6;
    });
    let record = submit(&world, &people(Kind::Birth, 1, 39)).await.remove(0);
    eventually(SOON, "it is asked", async || (world.nid.state().requests >= 1).then_some(())).await;
    let asked = Instant::now();
    eventually(SOON, "it is asked again", async || (world.nid.state().requests >= 2).then_some(())).await;
    assert!(asked.elapsed() >= Duration::from_millis(4_500), "{:?}", asked.elapsed());
    ends_as(&world, &record, Status::Registered).await;
    assert_eq!(world.nid.state().requests, 2);
}
