//! A ledger that is restored from a copy does not have the attempts that were accepted since. Their
//! messages wait, and a command takes them in again.

use std::collections::BTreeMap;

use nidbridge::pipeline::names::{self, AMQP_SYSTEM, NID_REFUSED, NID_REPLIES, OUTCOMES_WORK, parking_queue};
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use crate::harness::eventually;
use crate::harness::ledgers::{Engine, copy_of};
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![
    what_a_restored_ledger_does_not_have_is_taken_in_again_and_ends_well,
    requests_that_were_sent_or_waited_are_taken_in_again_and_their_replies_with_them,
];

async fn submit(world: &World, declarations: &[Declaration]) {
    for declaration in declarations {
        let sent = world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(sent.result.is_success(), "{:?}", sent.result);
    }
}

async fn waits_in(world: &World, queue: &str, count: u32) {
    let look = if queue.starts_with("nid.") { world.look_nid().await } else { world.look().await };
    eventually(SOON, &format!("{count} in {queue}"), async || {
        (look.depth(queue).await.ok()?.ready == count).then_some(())
    })
    .await;
}

/// One registration is confirmed. Then worker and confirmer end, and the ledger is copied.
async fn copied(world: &mut World) -> String {
    let known = people(Kind::Birth, 1, 71);
    submit(world, &known).await;
    ends_as(world, &known[0].record, Status::Registered).await;
    stands_as(world, &known[0].record, "confirmed").await;
    for role in ["worker", "confirmer"] {
        assert_eq!(world.terminate(role).await, Some(0));
    }
    copy_of(world.ledger_url()).await
}

async fn start_on(world: &mut World, copy: &str) {
    world.restore(copy).await;
    for role in ["worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
}

async fn recovered(world: &World, arguments: &[&str]) -> String {
    let (code, said) = world.run(&[&["recover", "--unknown"], arguments].concat(), &[]).await;
    assert_eq!(code, Some(0), "{said}");
    said
}

async fn numbers_of(world: &World, declarations: &[Declaration]) -> BTreeMap<String, String> {
    let mut numbers = BTreeMap::new();
    for declaration in declarations {
        numbers.insert(declaration.record.clone(), world.number_of(declaration).await);
    }
    numbers
}

/// Each is registered by one confirm, with the number that it had and the ID that was issued first.
async fn each_ends_well(world: &World, since: &[Declaration], numbers: &BTreeMap<String, String>) {
    for declaration in since {
        ends_as(world, &declaration.record, Status::Registered).await;
        stands_as(world, &declaration.record, "confirmed").await;
        let record = world.opencrvs.record(&declaration.record).unwrap();
        assert_eq!(record.confirms.len(), 1, "{}", declaration.record);
        assert_eq!(record.confirms[0].number, numbers[&declaration.record]);
        let issued = world.nid.state().issued.get(&request_of(&declaration.record, "birth")).cloned();
        assert_eq!(record.identifiers.get("NATIONAL_ID"), issued.as_ref(), "{}", declaration.record);
    }
    let (tally, seen) = (world.opencrvs.tally(), world.nid.state());
    assert_eq!((tally.confirmed_twice, tally.waiting), (0, 0), "{tally:?}");
    assert_eq!((seen.persons_doubled, seen.ids_doubled, seen.changed_repeats), (0, 0, 0));
}

/// The history of attempts that were answered, but not confirmed, when the copy is put in the place
/// of the ledger.
async fn what_a_restored_ledger_does_not_have_is_taken_in_again_and_ends_well(engine: Engine) {
    let mut world = World::new(engine).await;
    let copy = copied(&mut world).await;
    world.start("worker");
    let mut since = people(Kind::Birth, 3, 72);
    since.extend(people(Kind::Death, 1, 73));
    since.extend(people(Kind::Marriage, 1, 74));
    submit(&world, &since).await;
    for declaration in &since {
        stands_as(&world, &declaration.record, "answered").await;
    }
    let numbers = numbers_of(&world, &since).await;
    assert_eq!(world.terminate("worker").await, Some(0));
    start_on(&mut world, &copy).await;
    let place = parking_queue(OUTCOMES_WORK);
    waits_in(&world, &place, 5).await;
    let (code, list) = world.run(&["queue", "list", &place, "--json"], &[]).await;
    assert_eq!((code, list.matches("unknown_attempt").count()), (Some(0), 5), "{list}");
    assert_eq!(recovered(&world, &["--dry-run"]).await, "would be taken in again: 5\n");
    let said = recovered(&world, &[]).await;
    assert_eq!(said, "taken in again: 5\nreplies that went back to work: 0\n");
    each_ends_well(&world, &since, &numbers).await;
    waits_in(&world, &place, 0).await;
    assert_eq!(recovered(&world, &["--dry-run"]).await, "would be taken in again: 0\n");
}

/// The history of attempts that the ID system was asked about, and of others that waited to be
/// sent, when the copy is put in the place of the ledger. Replies come meanwhile.
async fn requests_that_were_sent_or_waited_are_taken_in_again_and_their_replies_with_them(engine: Engine) {
    let mut world = World::with(engine, &[("SEND_CHECK", "true")]).await;
    let copy = copied(&mut world).await;
    world.nid.pause_replies();
    world.start("worker");
    let mut since = people(Kind::Birth, 3, 75);
    since.extend(people(Kind::Death, 1, 76));
    submit(&world, &since).await;
    let asked = async || (world.nid.state().persons == 5).then_some(());
    eventually(SOON, "the ID system was asked", asked).await;
    for declaration in &since {
        stands_as(&world, &declaration.record, "requested").await;
    }
    assert_eq!(world.terminate("worker").await, Some(0));
    world.start_stages("recorder", "record");
    let waiting = people(Kind::Birth, 2, 77);
    submit(&world, &waiting).await;
    waits_in(&world, &names::requests_work(AMQP_SYSTEM), 2).await;
    since.extend(waiting);
    let numbers = numbers_of(&world, &since).await;
    assert_eq!(world.terminate("recorder").await, Some(0));
    world.nid.resume_replies();
    waits_in(&world, NID_REPLIES, 4).await;

    start_on(&mut world, &copy).await;
    let (replies, requests) = (NID_REFUSED.to_owned(), parking_queue(&names::requests_work(AMQP_SYSTEM)));
    waits_in(&world, &replies, 4).await;
    waits_in(&world, &requests, 2).await;
    assert_eq!(recovered(&world, &["--dry-run"]).await, "would be taken in again: 6\n");
    let said = recovered(&world, &[]).await;
    assert_eq!(said, "taken in again: 6\nreplies that went back to work: 4\n");
    each_ends_well(&world, &since, &numbers).await;
    for queue in [replies, requests] {
        waits_in(&world, &queue, 0).await;
    }
    let said = recovered(&world, &[]).await;
    assert_eq!(said, "taken in again: 0\nreplies that went back to work: 0\n");
}
