//! A ledger that is restored from a copy does not have the attempts that were accepted since. Their
//! messages wait, and a command takes them in again.

use nidbridge::pipeline::names::{OUTCOMES_WORK, parking_queue};
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, people, stands_as};

async fn submit(world: &World, declarations: &[Declaration]) {
    for declaration in declarations {
        let sent = world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(sent.result.is_success(), "{:?}", sent.result);
    }
}

async fn waits_in(world: &World, queue: &str, count: u32) {
    let look = world.look().await;
    eventually(SOON, &format!("{count} in {queue}"), async || {
        (look.depth(queue).await.ok()?.ready == count).then_some(())
    })
    .await;
}

/// Attempts that were answered, and one whose ID system was asked, before an older copy replaced the
/// ledger.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_ledger_does_not_have_is_taken_in_again_and_ends_well() {
    let mut world = World::new(Engine::Sqlite).await;
    let known = people(Kind::Birth, 1, 71);
    submit(&world, &known).await;
    ends_as(&world, &known[0].record, Status::Registered).await;
    stands_as(&world, &known[0].record, "confirmed").await;
    for role in ["worker", "confirmer"] {
        assert_eq!(world.terminate(role).await, Some(0));
    }
    let file = world.ledger_url().trim_start_matches("sqlite:").to_owned();
    let copy = world.dir.join("copy.db");
    std::fs::copy(&file, &copy).unwrap();
    let journal = format!("{file}-wal");
    if std::fs::exists(&journal).unwrap() {
        std::fs::copy(&journal, world.dir.join("copy.db-wal")).unwrap();
    }
    // An hour of work: births, a death and a marriage are answered, but not confirmed yet.
    world.start("worker");
    let mut since = people(Kind::Birth, 3, 72);
    since.extend(people(Kind::Death, 1, 73));
    since.extend(people(Kind::Marriage, 1, 74));
    submit(&world, &since).await;
    for declaration in &since {
        stands_as(&world, &declaration.record, "answered").await;
    }
    let mut numbers = Vec::new();
    for declaration in &since {
        numbers.push(world.number_of(declaration).await);
    }
    assert_eq!(world.terminate("worker").await, Some(0));
    world.set("LEDGER_URL", &format!("sqlite:{}", copy.display()));
    for role in ["worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    let place = parking_queue(OUTCOMES_WORK);
    waits_in(&world, &place, 5).await;
    let (code, list) = world.run(&["queue", "list", &place, "--json"], &[]).await;
    assert_eq!((code, list.matches("unknown_attempt").count()), (Some(0), 5), "{list}");
    let (code, said) = world.run(&["recover", "--unknown", "--dry-run"], &[]).await;
    assert_eq!((code, said.contains("would be taken in again: 5")), (Some(0), true), "{said}");
    let (code, said) = world.run(&["recover", "--unknown"], &[]).await;
    assert_eq!((code, said.contains("taken in again: 5")), (Some(0), true), "{said}");
    for (declaration, number) in since.iter().zip(numbers) {
        ends_as(&world, &declaration.record, Status::Registered).await;
        let record = world.opencrvs.record(&declaration.record).unwrap();
        assert_eq!(record.confirms.len(), 1, "{}", declaration.record);
        assert_eq!(record.confirms[0].number, number);
    }
    let tally = world.opencrvs.tally();
    assert_eq!((tally.confirmed, tally.confirmed_twice, tally.waiting), (6, 0, 0), "{tally:?}");
    waits_in(&world, &place, 0).await;
    let (code, said) = world.run(&["recover", "--unknown"], &[]).await;
    assert_eq!((code, said.as_str()), (Some(0), "taken in again: 0\n"));
}
