//! The interleavings that the model finds when a rule is removed, played with real processes on a
//! real broker: confirmers that are stopped in the middle, mutations that are applied late,
//! registrars who do not wait.

mod late;
mod stopped;
mod submissions;
mod tripwire;

use std::time::Duration;

use nidbridge::broker::WorkQueue;
use nidbridge::ledger::Case;
use nidbridge::pipeline::names::OUTCOMES_WORK;
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};
use rustix::process::{Signal, kill_process};

use crate::harness::eventually;
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::people;
use crate::replies::{Vendor, issued};

/// The name of the second confirmer.
pub const OTHER: &str = "other confirmer";

/// One delivery at a time, so that a redelivery goes to the confirmer that is free, and no timeout
/// that would end a call.
pub const PATIENT: [(&str, &str); 4] = [
    ("CONFIRM_PREFETCH", "1"),
    ("BROKER_HEARTBEAT", "60s"),
    ("OPENCRVS_TIMEOUT", "40s"),
    ("CONFIRM_LEASE", "50s"),
];

pub async fn submit(world: &World, seed: u64) -> Declaration {
    let declaration = people(Kind::Birth, 1, seed).remove(0);
    submit_as(world, &declaration, SubmitOptions::default()).await;
    declaration
}

pub async fn submit_as(world: &World, declaration: &Declaration, options: SubmitOptions) {
    let submitted = world.opencrvs.submit(declaration, &world.front, options).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
}

pub fn again() -> SubmitOptions {
    SubmitOptions { corrected: Some("Corrected".into()), ..SubmitOptions::default() }
}

/// Waits until the gateway is holding a call back.
pub async fn held(world: &World, calls: Calls) {
    let waits = async || (world.opencrvs.faults().paused(calls) == 1).then_some(());
    eventually(SOON, &format!("{calls:?} is held back"), waits).await;
}

/// Makes the ID system repeat its replies, so that the outcomes are published again.
pub async fn repeats(world: &World, record: &str) {
    let request = request_of(record, "birth");
    let Final::Issued(id) = world.nid.state().finals[&request].clone() else { panic!("issued") };
    Vendor::of(world).await.replies(&issued(&request, 1, &id)).await;
}

/// Waits until a role has delayed a delivery for this cause.
pub async fn put_off(world: &World, role: &'static str, cause: &str) {
    let label = format!("cause=\"{cause}\"");
    eventually(SOON, &format!("{role} delays a delivery: {cause}"), async || {
        (world.metric(role, "nidbridge_retries_total", &label) >= 1.0).then_some(())
    })
    .await;
}

pub async fn newest(world: &World, record: &str) -> Case {
    let history = world.history(record).await;
    let last = history.iter().rev().find_map(|entry| entry.attempt).unwrap();
    let case = world.ledger.case(last).await.unwrap().unwrap();
    world.ledger.case(case.record.newest).await.unwrap().unwrap()
}

pub fn signal(world: &World, role: &str, signal: Signal) {
    kill_process(world.pid(role), signal).unwrap();
}

pub fn confirms(world: &World, record: &str) -> usize {
    world.opencrvs.record(record).unwrap().confirms.len()
}

/// Checks that no queue holds a message and that OpenCRVS was written to once.
pub async fn confirmed_once(world: &World, record: &str) {
    crate::pipeline::stands_as(world, record, "confirmed").await;
    let look = world.look().await;
    let outcomes = WorkQueue::new(OUTCOMES_WORK, &[200, 500, 1_000, 2_000].map(Duration::from_millis), &[]);
    let queues: Vec<String> =
        outcomes.delays().map(|(_, name)| name).chain([outcomes.name().to_owned()]).collect();
    let quiet = async || {
        for queue in &queues {
            if look.depth(queue).await.ok()?.ready > 0 {
                return None;
            }
        }
        Some(())
    };
    eventually(SOON, "the queues are empty", quiet).await;
    look.close().await;
    let seen = world.opencrvs.record(record).unwrap();
    assert_eq!((seen.confirms.len(), seen.numbers.len(), seen.notified), (1, 1, 1));
}
