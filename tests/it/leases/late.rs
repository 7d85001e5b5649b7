//! A mutation that OpenCRVS applies late, but within the quarantine.

use nidbridge::sandbox::opencrvs::Calls;

use super::{OTHER, confirmed_once, held, repeats, submit};
use crate::harness::ledgers::Engine;
use crate::harness::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_is_applied_late_is_found_by_reading() {
    let settings = [("CONFIRM_PREFETCH", "1"), ("CONFIRM_QUARANTINE", "6s")];
    let mut world = World::with(Engine::Sqlite, &settings).await;
    world.start_as(OTHER, "confirmer");
    world.ready(OTHER).await;
    world.opencrvs.faults().pause_next(Calls::Confirm);
    let birth = submit(&world, 61).await;
    held(&world, Calls::Confirm).await;
    // Nobody waits for the answer any more, and the outcome is delivered again.
    let ambiguous = async || {
        let count = |role| world.metric(role, "nidbridge_confirm_total", "gateway_unavailable");
        (count("confirmer") + count(OTHER) >= 1.0).then_some(())
    };
    crate::harness::eventually(crate::harness::world::SOON, "the mutation timed out", ambiguous).await;
    repeats(&world, &birth.record).await;
    let waits = async || {
        let count = |role| world.metric(role, "nidbridge_retries_total", "cause=\"quarantined\"");
        (count("confirmer") + count(OTHER) >= 2.0).then_some(())
    };
    crate::harness::eventually(crate::harness::world::SOON, "both deliveries are delayed", waits).await;
    assert_eq!(super::confirms(&world, &birth.record), 0);
    world.opencrvs.faults().resume(Calls::Confirm);
    confirmed_once(&world, &birth.record).await;
    let already = |role| world.metric(role, "nidbridge_confirm_total", "already");
    assert_eq!(already("confirmer") + already(OTHER), 1.0, "it was found by reading");
    world.assert_all_run();
}
