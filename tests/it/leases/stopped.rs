//! A confirmer is stopped (SIGSTOP) in the middle of its work, another one takes the record over,
//! and the first one continues.

use std::sync::Arc;

use nidbridge::domain::State;
use nidbridge::sandbox::opencrvs::{Calls, Fault};
use rustix::process::Signal;
use sqlx::Connection as _;

use super::tripwire::Tripwire;
use super::{OTHER, PATIENT, confirmed_once, confirms, held, newest, put_off, repeats, signal, submit};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};

/// Waits until the lease has ended by the ledger's clock.
async fn lease_passes(world: &World, record: &str) {
    let mut ledger = sqlx::AnyConnection::connect(world.ledger_url()).await.unwrap();
    let passed = sqlx::query("UPDATE record SET lease_until = 0 WHERE record_id = $1").bind(record);
    assert_eq!(passed.execute(&mut ledger).await.unwrap().rows_affected(), 1);
}

/// Stopped before its read returned: its write is refused when it continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_confirmer_ends_no_attempt_that_another_one_has_leased() {
    let mut world = World::with(Engine::Sqlite, &PATIENT).await;
    let faults = world.opencrvs.faults();
    faults.pause_next(Calls::Fetch);
    let birth = submit(&world, 51).await;
    let record = birth.record.as_str();
    held(&world, Calls::Fetch).await;
    signal(&world, "confirmer", Signal::STOP);
    lease_passes(&world, record).await;
    world.opencrvs.faults().pause_next(Calls::Confirm);
    world.start_as(OTHER, "confirmer");
    world.ready(OTHER).await;
    repeats(&world, record).await;
    held(&world, Calls::Confirm).await;
    let intent = newest(&world, record).await.record.intent;
    assert!(intent.is_some());

    world.opencrvs.faults().next(Calls::Fetch, 1, Fault::http(403));
    world.opencrvs.faults().resume(Calls::Fetch);
    signal(&world, "confirmer", Signal::CONT);
    put_off(&world, "confirmer", "leased").await;
    let now = newest(&world, record).await;
    assert_eq!((now.attempt.state, now.record.intent), (State::Answered, intent));
    assert_eq!(confirms(&world, record), 0);
    world.opencrvs.faults().resume(Calls::Confirm);
    confirmed_once(&world, record).await;
    world.assert_all_run();
}

/// Stopped between its intent and its write, for longer than lease and quarantine.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmer_that_slept_after_its_intent_writes_nothing() {
    let settings = [
        ("CONFIRM_PREFETCH", "1"),
        ("BROKER_HEARTBEAT", "60s"),
        ("OPENCRVS_TIMEOUT", "3s"),
        ("CONFIRM_LEASE", "4s"),
        ("CONFIRM_QUARANTINE", "3s"),
    ];
    let mut world = World::empty(Engine::Postgres, &settings).await;
    for role in ["front", "worker"] {
        world.start(role);
        world.ready(role).await;
    }
    let wire = Arc::new(Tripwire::before(world.ledger_url(), "write_intended").await);
    world.set_for("confirmer", "LEDGER_URL", &wire.url);
    world.start("confirmer");
    world.ready("confirmer").await;
    let birth = submit(&world, 52).await;
    let record = birth.record.as_str();
    eventually(SOON, "the intent is committed", async || wire.is_tripped().then_some(())).await;
    signal(&world, "confirmer", Signal::STOP);
    assert_eq!(newest(&world, record).await.record.intent.map(|_| confirms(&world, record)), Some(0));

    world.start_as(OTHER, "confirmer");
    world.ready(OTHER).await;
    repeats(&world, record).await;
    confirmed_once(&world, record).await;
    wire.release();
    signal(&world, "confirmer", Signal::CONT);
    put_off(&world, "confirmer", "leased").await;
    confirmed_once(&world, record).await;
    world.assert_all_run();
}
