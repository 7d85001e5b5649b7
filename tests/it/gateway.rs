//! Faults of the gateway during a confirmation: whatever happens, OpenCRVS is written to at most
//! once, and the ledger records the cause.

mod ambiguous;
mod certain;
mod idle;
mod moved;

use nidbridge::ledger::AttemptSummary;
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::Declaration;

use crate::harness::eventually;
use crate::harness::world::{SOON, World};

pub async fn submitted(world: &World, declaration: &Declaration) {
    let answered = world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(answered.result.is_success(), "{:?}", answered.result);
}

pub fn confirms(world: &World, record: &str) -> usize {
    world.opencrvs.record(record).unwrap().confirms.len()
}

/// Waits until the newest attempt of a record is in this state, and returns its summary.
pub async fn standing(world: &World, record: &str, state: &str, what: &str) -> AttemptSummary {
    eventually(SOON, &format!("{what}: {record} stands as {state}"), async || {
        let standings = world.ledger.summaries().await.ok()?;
        standings.into_iter().find(|one| one.record.as_str() == record && one.state.as_str() == state)
    })
    .await
}

/// Waits until the record is confirmed, and checks that we confirmed it once.
pub async fn confirmed_once(world: &World, record: &str, what: &str) {
    standing(world, record, "confirmed", what).await;
    let there = world.opencrvs.record(record).unwrap();
    assert_eq!((there.status(), there.confirms.len()), (Status::Registered, 1), "{what}");
}

/// The number of write intents in the ledger.
pub async fn writes_begun(world: &World, record: &str) -> usize {
    world.history(record).await.iter().filter(|entry| entry.what == "write_intended").count()
}

/// The causes of the intents that were retracted.
pub async fn not_written(world: &World, record: &str) -> Vec<String> {
    let history = world.history(record).await;
    let not_written = history.into_iter().filter(|entry| entry.what == "not_written");
    not_written.filter_map(|entry| entry.cause.map(|cause| cause.as_str().to_owned())).collect()
}
