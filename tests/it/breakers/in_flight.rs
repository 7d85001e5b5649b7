//! Deliveries that are being handled when a breaker opens are finished, however short or long the
//! drain timeout is.

use nidbridge::sandbox::opencrvs::{Calls, Fault};

use super::{all_confirmed_once, opens, state, submit};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_write_outlives_the_opening_of_its_breaker() {
    let settings = [
        ("BREAKER_FAILURES", "1"),
        ("BROKER_DRAIN", "1ms"),
        ("OPENCRVS_TIMEOUT", "30s"),
        ("CONFIRM_LEASE", "90s"),
    ];
    let world = World::with(Engine::Sqlite, &settings).await;
    let faults = world.opencrvs.faults();
    faults.pause_next(Calls::Confirm);
    submit(&world, 95, 1).await;
    let writes = async || (world.opencrvs.faults().paused(Calls::Confirm) == 1).then_some(());
    eventually(SOON, "a write is under way", writes).await;
    faults.next(Calls::Fetch, 1, Fault::http(503));
    submit(&world, 96, 1).await;
    // The probe succeeds long after the consumer was cancelled. The half-open breaker still waits
    // for the delivery being handled.
    let probed = async || (state(&world, "confirmer", "gateway") == 1.0).then_some(());
    eventually(SOON, "the gateway is tried again", probed).await;
    faults.resume(Calls::Confirm);
    all_confirmed_once(&world, 2).await;
    let of = |outcome| world.metric("confirmer", "nidbridge_confirm_total", outcome);
    let counted = async || (of("\"confirmed\"") + of("\"already\"") == 2.0).then_some(());
    eventually(SOON, "both are counted", counted).await;
    assert_eq!(of("\"already\""), 0.0, "the slow write was cut off and found later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_what_a_breaker_would_wait_for() {
    let settings = [
        ("BREAKER_FAILURES", "1"),
        ("BREAKER_PAUSE", "1h"),
        ("BREAKER_PAUSE_MAX", "1h"),
        ("BROKER_DRAIN", "1s"),
        ("OPENCRVS_TIMEOUT", "30s"),
        ("CONFIRM_LEASE", "90s"),
    ];
    let mut world = World::with(Engine::Sqlite, &settings).await;
    let faults = world.opencrvs.faults();
    faults.pause_next(Calls::Fetch);
    submit(&world, 97, 1).await;
    let reads = async || (world.opencrvs.faults().paused(Calls::Fetch) == 1).then_some(());
    eventually(SOON, "a read is under way", reads).await;
    faults.next(Calls::Fetch, 1, Fault::http(503));
    submit(&world, 98, 1).await;
    opens(&world, "confirmer", "gateway").await;
    let stopping = std::time::Instant::now();
    assert_eq!(world.terminate("confirmer").await, Some(0));
    assert!(stopping.elapsed() < std::time::Duration::from_secs(10), "{:?}", stopping.elapsed());
}
