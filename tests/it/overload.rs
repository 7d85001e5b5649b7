//! Overload: the front refuses requests in time and stays within its memory, and every registration
//! that it accepted is registered.

use std::time::Duration;

use nidbridge::sandbox::opencrvs::RunOptions;
use tokio_util::sync::CancellationToken;

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::World;

const REGISTRATIONS: u64 = 600;
/// In KiB. Far below the size of all bodies together, so the front can hold only a few of them.
const MEMORY_KIB: u64 = 220 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn an_overload_is_refused_in_time_and_the_rest_is_registered_once() {
    let mut world = World::with(
        Engine::Sqlite,
        &[
            ("BROKER_MAX_LENGTH", "150"),
            ("FRONT_HOLD", "500ms"),
            ("FRONT_MAX_BODY", "2MiB"),
            ("FRONT_BODY_MEMORY", "4MiB"),
        ],
    )
    .await;
    // All callers come at once, and each that is refused comes again at once: many times more than
    // the bridge can process.
    let load = RunOptions {
        registrations: Some(REGISTRATIONS),
        rate: 0.0,
        in_flight: 400,
        lost_answers: 0.0,
        resubmit: 1.0,
        resubmit_after: Duration::from_millis(100),
        attempts: 1_000,
        ..RunOptions::to(world.front.clone())
    };
    world.opencrvs.run(load, CancellationToken::new()).await.unwrap();
    let all = async || (world.opencrvs.tally().confirmed == REGISTRATIONS).then_some(());
    eventually(Duration::from_secs(240), "every registration is confirmed", all).await;
    world.assert_all_run();
    let tally = world.opencrvs.tally();
    assert!(tally.refused > 0, "nothing was refused: {tally:?}");
    assert_eq!((tally.confirmed_twice, tally.notified_twice, tally.waiting), (0, 0, 0), "{tally:?}");
    assert_eq!(world.nid.state().persons_doubled, 0);
    for role in ["front", "worker", "confirmer"] {
        let most = peak_memory_kib(&world, role);
        assert!(most < MEMORY_KIB, "the peak memory of {role} is {most} KiB");
    }
}

/// The peak memory of a role, as the kernel counts it.
fn peak_memory_kib(world: &World, role: &str) -> u64 {
    let path = format!("/proc/{}/status", world.pid(role).as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
