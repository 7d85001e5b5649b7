//! What the gateway may do to a confirmation: whatever it is, OpenCRVS is told at most once, and the ledger knows why.

mod idle;
mod moved;
mod table;
mod unsure;

use nidbridge::ledger::AttemptSummary;
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::Declaration;

use crate::harness::eventually;
use crate::harness::world::{SOON, World};

/// Submits one declaration.
pub async fn submitted(world: &World, declaration: &Declaration) {
    let answered = world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(answered.wire.is_success(), "{:?}", answered.wire);
}

pub fn confirms(world: &World, record: &str) -> usize {
    world.opencrvs.record(record).unwrap().confirms.len()
}

/// Waits until the record's newest attempt stands so, and says why.
pub async fn standing(world: &World, record: &str, state: &str, what: &str) -> AttemptSummary {
    eventually(SOON, &format!("{what}: {record} stands as {state}"), async || {
        let standings = world.ledger.summaries().await.ok()?;
        standings.into_iter().find(|one| one.record.as_str() == record && one.state.as_str() == state)
    })
    .await
}

/// Waits until the record is confirmed, and fails unless that was once and by us.
pub async fn confirmed_once(world: &World, record: &str, what: &str) {
    standing(world, record, "confirmed", what).await;
    let there = world.opencrvs.record(record).unwrap();
    assert_eq!((there.status(), there.confirms.len()), (Status::Registered, 1), "{what}");
}

/// How often the ledger says that a write was begun.
pub async fn writes_begun(world: &World, record: &str) -> usize {
    world.history(record).await.iter().filter(|entry| entry.what == "write_intended").count()
}

/// The cause of every write that certainly did not take place.
pub async fn not_written(world: &World, record: &str) -> Vec<String> {
    let history = world.history(record).await;
    history.into_iter().filter(|entry| entry.what == "not_written").filter_map(|entry| entry.cause).collect()
}
