//! Faults after which it is unknown whether the write was applied: nothing is written again before
//! that is known.

use std::time::Duration;

use nidbridge::sandbox::opencrvs::{Calls, Fault};
use nidbridge::sandbox::population::Kind;

use super::{confirmed_once, confirms, not_written, submitted, writes_begun};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::people;

/// A fault, and whether the write was applied all the same.
const UNSURE: [(Fault, bool); 15] = [
    (Fault::FAILS_BEFORE, false),
    (Fault::WORKFLOW_UNREACHABLE, false),
    (Fault::http(500), false),
    (Fault::http(502), false),
    (Fault::http(503), false),
    (Fault::http(504), false),
    (Fault::NOT_JSON, false),
    (Fault::HANG, false),
    (Fault::CUT_BEFORE, false),
    (Fault::FAILS_AFTER, true),
    (Fault::http_after(500), true),
    (Fault::http_after(502), true),
    (Fault::HANG_AFTER, true),
    (Fault::CUT_AFTER, true),
    (Fault::delay(4_000), true),
];

/// All faults at the same time, so that the test waits for one quarantine only.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_an_unknown_result_is_applied_once_in_the_end() {
    let mut world = World::checked(Engine::Sqlite, &[]).await;
    world.nid.pause_replies();
    let births = people(Kind::Birth, UNSURE.len(), 54);
    for birth in &births {
        submitted(&world, birth).await;
    }
    let all = u64::try_from(births.len()).unwrap();
    eventually(SOON, "all are asked", async || (world.nid.state().persons == all).then_some(())).await;
    for (fault, _) in UNSURE {
        world.opencrvs.faults().next(Calls::Confirm, 1, fault);
    }
    world.nid.resume_replies();
    let mut begun = Vec::new();
    for birth in &births {
        confirmed_once(&world, &birth.record, "a write whose end is not known").await;
        assert!(not_written(&world, &birth.record).await.is_empty(), "nothing tells that it was not written");
        begun.push(writes_begun(&world, &birth.record).await);
    }
    begun.sort_unstable();
    let after = UNSURE.iter().filter(|(_, applied)| *applied).count();
    let expected: Vec<usize> = (0..UNSURE.len()).map(|n| if n < after { 1 } else { 2 }).collect();
    assert_eq!(begun, expected, "what was applied is written once, what was not is written once more");
    assert_eq!(world.opencrvs.tally().confirmed_twice, 0);
    let already = world.metric("confirmer", "nidbridge_confirm_total", "outcome=\"already\"");
    assert!((already - f64::from(u32::try_from(after).unwrap())).abs() < 0.5, "{already}");
    world.assert_all_run();
}

/// Nobody writes before the quarantine is over, not even when the outcome is delivered again.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_again_within_the_quarantine() {
    let mut world = World::checked(Engine::Sqlite, &[("CONFIRM_QUARANTINE", "4s")]).await;
    world.opencrvs.faults().next(Calls::Confirm, 1, Fault::FAILS_BEFORE);
    let birth = people(Kind::Birth, 1, 55).remove(0);
    submitted(&world, &birth).await;
    let begun = async || (writes_begun(&world, &birth.record).await == 1).then(std::time::Instant::now);
    let first = eventually(SOON, "the write is begun", begun).await;
    confirmed_once(&world, &birth.record, "FailsBefore").await;
    assert!(first.elapsed() > Duration::from_millis(3_900), "{:?}", first.elapsed());
    assert_eq!(confirms(&world, &birth.record), 1);
    world.assert_all_run();
}

/// The process that began the write has ended, and another one finds its intent.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_a_killed_confirmer_began_is_read_before_it_is_written_again() {
    let mut world = World::checked(Engine::Sqlite, &[]).await;
    for (fault, applied) in [(Fault::HANG_AFTER, true), (Fault::HANG, false)] {
        world.opencrvs.faults().next(Calls::Confirm, 1, fault);
        let birth = people(Kind::Birth, 1, 56 + u64::from(applied)).remove(0);
        submitted(&world, &birth).await;
        let begun = async || (writes_begun(&world, &birth.record).await == 1).then_some(());
        eventually(SOON, "the write is begun", begun).await;
        if applied {
            let there = async || (confirms(&world, &birth.record) == 1).then_some(());
            eventually(SOON, "the write has arrived", there).await;
        }
        world.kill9("confirmer");
        world.start("confirmer");
        world.ready("confirmer").await;
        confirmed_once(&world, &birth.record, &format!("{fault:?}")).await;
    }
    world.assert_all_run();
}
