//! Replies that are not final: the bridge asks again in time, or waits.

use std::time::Duration;

use nidbridge::sandbox::nid::VendorSettings;
use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::Kind;

use super::submit;
use crate::harness::ledgers::Engine;
use crate::harness::world::World;
use crate::pipeline::{ends_as, stands_as};

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_asks_for_time_is_asked_the_same_once_more() {
    let mut world = World::new(Engine::Sqlite).await;
    world.nid.change(|vendor: &mut VendorSettings| {
        vendor.retry = 1.0;
        vendor.retry_after_s = 1;
    });
    let begun = std::time::Instant::now();
    let birth = submit(&world, Kind::Birth, 1, 41).await.remove(0);
    ends_as(&world, &birth.record, Status::Registered).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "asked again before the time");
    let seen = world.nid.state();
    assert_eq!((seen.requests, seen.repeats, seen.changed_repeats, seen.misbehaved["retry"]), (2, 1, 0, 1));
    assert_eq!((seen.persons, seen.ended("issued")), (1, 1));
    stands_as(&world, &birth.record, "confirmed").await;
    assert_eq!(world.opencrvs.record(&birth.record).unwrap().confirms.len(), 1);
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_with_a_reference_and_a_repeat_of_the_answer_change_nothing() {
    let mut world = World::new(Engine::Sqlite).await;
    world.nid.change(|vendor: &mut VendorSettings| {
        vendor.pending = 1.0;
        vendor.duplicate = 1.0;
    });
    let births = submit(&world, Kind::Birth, 3, 42).await;
    for birth in &births {
        ends_as(&world, &birth.record, Status::Registered).await;
        stands_as(&world, &birth.record, "confirmed").await;
    }
    let taken = || world.metric("worker", "nidbridge_replies_total", "");
    let all = async || (taken() >= 9.0).then_some(());
    crate::harness::eventually(crate::harness::world::SOON, "every reply is taken in", all).await;
    assert_eq!(world.nid.state().requests, 3, "a notice is no reason to ask again");
    for birth in &births {
        assert_eq!(world.opencrvs.record(&birth.record).unwrap().confirms.len(), 1);
        assert!(world.history(&birth.record).await.iter().all(|entry| entry.cause.is_none()));
    }
    world.assert_all_run();
}
