//! `kill -9` of each role in the middle of a load: nothing is lost, nothing is confirmed twice.

use std::time::Duration;

use nidbridge::sandbox::nid::VendorSettings;
use nidbridge::sandbox::opencrvs::RunOptions;
use tokio_util::sync::CancellationToken;

use super::on_both_ledgers;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::World;

on_both_ledgers![each_role_is_killed_in_the_middle_of_a_load_and_nothing_is_lost_or_doubled];

const REGISTRATIONS: u64 = 500;

async fn each_role_is_killed_in_the_middle_of_a_load_and_nothing_is_lost_or_doubled(engine: Engine) {
    let mut world = World::checked(engine, &[]).await;
    world.nid.change(|vendor| {
        *vendor = VendorSettings {
            garbage: 0.0,
            retry_after_s: 1,
            latency_ms: (50, 300),
            ..VendorSettings::lively()
        };
    });
    let load = RunOptions {
        registrations: Some(REGISTRATIONS),
        rate: 50.0,
        resubmit: 1.0,
        attempts: 50,
        ..RunOptions::to(world.front.clone())
    };
    let running = tokio::spawn({
        let opencrvs = world.opencrvs.clone();
        async move { opencrvs.run(load, CancellationToken::new()).await }
    });
    for (confirmed, role) in
        [(20, "worker"), (60, "confirmer"), (100, "front"), (150, "worker"), (200, "confirmer")]
    {
        let seen = async || (world.opencrvs.tally().confirmed >= confirmed).then_some(());
        eventually(Duration::from_secs(180), &format!("{confirmed} are confirmed"), seen).await;
        world.kill9(role);
        world.start(role);
        world.ready(role).await;
    }
    running.await.unwrap().unwrap();
    let rejected = || world.nid.state().finals.values().filter(|last| last.status() == "rejected").count();
    let settled = async || {
        let tally = world.opencrvs.tally();
        let held = u64::try_from(rejected()).unwrap();
        (tally.waiting == held && tally.confirmed + held == REGISTRATIONS).then_some(())
    };
    eventually(Duration::from_secs(180), "every registration has its end", settled).await;
    let tally = world.opencrvs.tally();
    assert_eq!(
        (tally.records, tally.confirmed_twice, tally.notified_twice),
        (REGISTRATIONS, 0, 0),
        "{tally:?}"
    );
    assert_eq!(tally.confirmed_out_of_place, 0, "{tally:?}");
    let seen = world.nid.state();
    assert_eq!((seen.persons_doubled, seen.ids_doubled, seen.changed_repeats), (0, 0, 0), "{seen:?}");
}
