//! The sweeper: it recovers from a broker that lost everything, a message that vanished, a token
//! that expires and a reply that never comes, and it erases sealed data in time.
//!
//! Each test runs on SQLite and on PostgreSQL.

mod expired;
mod ledger;

use nidbridge::domain::{Cause, RecordId, State};
use nidbridge::ledger::{Case, HistoryEntry};
use nidbridge::pipeline::names::{NID_REPLIES, OUTCOMES_WORK};
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, Fault, OpencrvsSettings, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![
    a_broker_that_lost_everything_is_refilled_and_nothing_is_confirmed_twice,
    a_message_that_vanished_is_published_again_once_by_the_one_that_sweeps,
    an_outage_adds_nothing_to_the_queues_however_long_it_lasts,
    a_token_that_dies_is_told_before_and_ends_the_attempt,
    a_request_without_a_reply_is_sent_again,
    what_is_sealed_is_erased_and_the_same_id_still_alarms,
];

const SWEEPS: &str = "nidbridge_sweeps_total";
const SWEPT: &str = "nidbridge_swept_total";
const ALARMS: &str = "nidbridge_alarms_total";

/// Settings of a sweeper that is fast enough for tests.
const QUICK: [(&str, &str); 2] = [("SWEEP_INTERVAL", "300ms"), ("SWEEP_MARGIN", "500ms")];

async fn submit(world: &World, declarations: &[Declaration]) -> Vec<String> {
    for declaration in declarations {
        let outcome =
            world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(outcome.result.is_success(), "{:?}", outcome.result);
    }
    declarations.iter().map(|declaration| declaration.record.clone()).collect()
}

async fn history(world: &World, record: &str) -> Vec<HistoryEntry> {
    world.ledger.history(&RecordId::parse(record).unwrap()).await.unwrap()
}

async fn told(world: &World, record: &str, what: &str) -> usize {
    history(world, record).await.iter().filter(|entry| entry.what == what).count()
}

async fn case(world: &World, record: &str) -> Case {
    let attempt = history(world, record).await.iter().rev().find_map(|entry| entry.attempt).unwrap();
    world.ledger.case(attempt).await.unwrap().unwrap()
}

/// Waits until the sweeper of a worker has run this many more times.
async fn turns(world: &World, worker: &'static str, outcome: &str, count: f64) {
    let from = world.metric(worker, SWEEPS, outcome);
    eventually(SOON, "turns of the sweeper", async || {
        (world.metric(worker, SWEEPS, outcome) >= from + count).then_some(())
    })
    .await;
}

async fn alarmed(world: &World, cause: &str, times: f64) {
    eventually(SOON, &format!("the alarm {cause}"), async || {
        (world.metric("worker", ALARMS, cause) >= times).then_some(())
    })
    .await;
}

async fn a_broker_that_lost_everything_is_refilled_and_nothing_is_confirmed_twice(engine: Engine) {
    let mut world = World::new(engine).await;
    world.nid.pause_replies();
    let mut records = submit(&world, &people(Kind::Birth, 6, 31)).await;
    eventually(SOON, "the ID system has the requests", async || {
        (world.nid.state().requests == 6).then_some(())
    })
    .await;
    // Those are answered at once and wait for the confirmer. Then the replies arrive and wait for
    // the worker.
    world.kill9("confirmer");
    records.extend(submit(&world, &people(Kind::Marriage, 3, 32)).await);
    for record in &records[6..] {
        stands_as(&world, record, "answered").await;
    }
    world.kill9("worker");
    world.nid.resume_replies();
    let vendors = world.look_nid().await;
    eventually(SOON, "the replies wait", async || {
        (vendors.depth(NID_REPLIES).await.ok()?.ready == 6).then_some(())
    })
    .await;
    vendors.close().await;
    world.kill9("front");
    world.lose_broker().await;
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
    let (code, counted) = world.run(&["recover", "--dry-run"], &[]).await;
    assert_eq!((code, counted.contains("would be published: 9")), (Some(0), true), "{counted}");
    assert_eq!(told(&world, &records[0], "republished").await, 0, "a dry run publishes");
    for _ in 0..2 {
        let (code, done) = world.run(&["recover"], &[]).await;
        assert_eq!((code, done.contains("\npublished: ")), (Some(0), true), "{done}");
    }
    for record in &records {
        ends_as(&world, record, Status::Registered).await;
        stands_as(&world, record, "confirmed").await;
    }
    let (_, nothing) = world.run(&["recover"], &[]).await;
    assert!(nothing.ends_with("published: 0\n"), "{nothing}");
    let (tally, seen) = (world.opencrvs.tally(), world.nid.state());
    assert_eq!((tally.confirmed, tally.confirmed_twice, tally.notified_twice), (9, 0, 0), "{tally:?}");
    assert_eq!((seen.persons, seen.persons_doubled, seen.ids_doubled, seen.changed_repeats), (6, 0, 0, 0));
}

async fn a_message_that_vanished_is_published_again_once_by_the_one_that_sweeps(engine: Engine) {
    let mut world = World::with(engine, &QUICK).await;
    world.kill9("confirmer");
    turns(&world, "worker", "done", 1.0).await;
    world.start_as("second worker", "worker");
    world.ready("second worker").await;
    turns(&world, "second worker", "elsewhere", 2.0).await;
    let records = submit(&world, &people(Kind::Marriage, 4, 33)).await;
    for record in &records {
        stands_as(&world, record, "answered").await;
    }
    let ours = world.look().await;
    let waiting = async || (ours.depth(OUTCOMES_WORK).await.ok()?.ready == 4).then_some(());
    eventually(SOON, "the outcomes wait", waiting).await;
    world.purge(OUTCOMES_WORK).await;
    eventually(SOON, "the outcomes wait again", waiting).await;
    // After more than the longest delay they are overdue again, but no message is missing.
    turns(&world, "worker", "done", 15.0).await;
    for record in &records {
        assert_eq!(told(&world, record, "republished").await, 1);
    }
    let swept = |worker| (world.metric(worker, SWEPT, "answered"), world.metric(worker, SWEEPS, "done"));
    assert_eq!(swept("worker").0, 4.0);
    assert_eq!(swept("second worker"), (0.0, 0.0), "two sweepers");
    // Killed, so that it does not give its lease back.
    world.kill9("worker");
    turns(&world, "second worker", "done", 1.0).await;
    // Terminated, so that it gives its lease back.
    world.start("worker");
    world.ready("worker").await;
    assert_eq!(world.terminate("second worker").await, Some(0));
    turns(&world, "worker", "done", 1.0).await;
    world.start("confirmer");
    for record in &records {
        ends_as(&world, record, Status::Registered).await;
    }
    assert_eq!(world.opencrvs.tally().confirmed_twice, 0);
    ours.close().await;
}

async fn an_outage_adds_nothing_to_the_queues_however_long_it_lasts(engine: Engine) {
    let world = World::with(engine, &QUICK).await;
    world.opencrvs.faults().always(Calls::Fetch, Fault::http(503));
    let records = submit(&world, &people(Kind::Marriage, 5, 34)).await;
    for record in &records {
        stands_as(&world, record, "answered").await;
    }
    turns(&world, "worker", "done", 30.0).await;
    let again = world.metric("worker", SWEPT, "");
    // A message that a confirmer is handling is in no queue. Without looking at the queues, the
    // sweeper would publish each of the five again whenever it was silent for longer than the
    // longest delay.
    assert!(again <= 4.0, "{again} were added to the backlog");
    world.opencrvs.faults().clear();
    for record in &records {
        ends_as(&world, record, Status::Registered).await;
    }
    assert_eq!(world.opencrvs.tally().confirmed_twice, 0);
}

async fn a_token_that_dies_is_told_before_and_ends_the_attempt(engine: Engine) {
    let short = OpencrvsSettings { token_lifetime_s: 6, ..OpencrvsSettings::default() };
    let world = World::beside(short, engine, &QUICK).await;
    world.nid.pause_replies();
    let records = submit(&world, &people(Kind::Birth, 2, 35)).await;
    for record in &records {
        stands_as(&world, record, "requested").await;
    }
    alarmed(&world, "token_expiring", 2.0).await;
    for record in &records {
        stands_as(&world, record, "expired").await;
        assert_eq!(case(&world, record).await.attempt.cause, Some(Cause::TokenRefused.into()));
        assert_eq!(told(&world, record, "token_expiring").await, 1);
    }
    alarmed(&world, "token_refused", 2.0).await;
    turns(&world, "worker", "done", 2.0).await;
    assert_eq!(world.metric("worker", ALARMS, "token_refused"), 2.0);
    assert_eq!(world.metric("worker", ALARMS, "token_expiring"), 2.0);
    // The ID comes too late for both: nothing is written to OpenCRVS, and an operator is alerted.
    world.nid.resume_replies();
    alarmed(&world, "orphan_id", 2.0).await;
    assert_eq!(world.opencrvs.tally().confirmed, 0);
}

async fn a_request_without_a_reply_is_sent_again(engine: Engine) {
    let settings = [QUICK[0], QUICK[1], ("NID_RESEND_AFTER", "4s")];
    let world = World::with(engine, &settings).await;
    world.nid.pause_replies();
    let record = submit(&world, &people(Kind::Birth, 1, 36)).await.remove(0);
    stands_as(&world, &record, "requested").await;
    eventually(SOON, "the request is sent again", async || (world.nid.state().repeats == 1).then_some(()))
        .await;
    // The history is written once the broker has confirmed, and the ID system may be quicker.
    eventually(SOON, "the history says so", async || {
        (told(&world, &record, "republished").await == 1).then_some(())
    })
    .await;
    world.nid.resume_replies();
    ends_as(&world, &record, Status::Registered).await;
    let seen = world.nid.state();
    assert_eq!((seen.persons, seen.changed_repeats, seen.ids_doubled), (1, 0, 0), "{seen:?}");
    assert_eq!(world.opencrvs.tally().confirmed_twice, 0);
}

async fn what_is_sealed_is_erased_and_the_same_id_still_alarms(engine: Engine) {
    let settings = [QUICK[0], QUICK[1], ("RETENTION_SEALED", "1s")];
    let world = World::with(engine, &settings).await;
    let declarations = people(Kind::Birth, 2, 37);
    for declaration in &declarations {
        let request = request_of(&declaration.record, "birth");
        world.nid.will_answer(&request, Final::Issued("1234567890".to_owned()));
    }
    let first = submit(&world, &declarations[..1]).await.remove(0);
    stands_as(&world, &first, "confirmed").await;
    eventually(SOON, "what is sealed is erased", async || {
        let Case { record, attempt } = case(&world, &first).await;
        let gone =
            record.sealed_id.is_none() && attempt.sealed_view.is_none() && attempt.sealed_token.is_none();
        gone.then_some(())
    })
    .await;
    assert_eq!(told(&world, &first, "erased").await, 1);
    let second = submit(&world, &declarations[1..]).await.remove(0);
    stands_as(&world, &second, "parked").await;
    assert_eq!(case(&world, &second).await.attempt.cause, Some(Cause::IdOfAnotherRecord.into()));
    alarmed(&world, "id_of_another_record", 1.0).await;
    assert_eq!(case(&world, &first).await.attempt.state, State::Confirmed);
    assert!(case(&world, &second).await.attempt.sealed_view.is_some(), "parked is no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn recover_says_what_it_cannot_reach() {
    let world = World::empty(Engine::Sqlite, &[]).await;
    let (code, _) = world.run(&["recover"], &[("AMQP_URL", "amqp://guest:guest@127.0.0.1:1/x")]).await;
    assert_eq!(code, Some(69));
    let nowhere = world.dir.join("nowhere").join("ledger.db");
    let (code, _) =
        world.run(&["recover"], &[("LEDGER_URL", &format!("sqlite:{}", nowhere.display()))]).await;
    assert_eq!(code, Some(69));
    let (code, _) = world.run(&["recover"], &[("SEAL_KEYS", "")]).await;
    assert_eq!(code, Some(78));
}
