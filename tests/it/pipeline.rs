//! The whole way of a registration: OpenCRVS → front → RabbitMQ → worker → National ID queue →
//! confirmer → OpenCRVS.
//!
//! Each test runs on SQLite and on PostgreSQL.

mod crash;
mod fixtures;

use std::collections::BTreeSet;
use std::time::Duration;

use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind, Mix, Population};

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World, request_of};

/// Makes two tests of each function: one on SQLite and one on PostgreSQL.
macro_rules! on_both_ledgers {
    ($($(#[$meta:meta])* $story:ident),+ $(,)?) => {
        mod sqlite {
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread")]
            async fn $story() { super::$story(crate::harness::ledgers::Engine::Sqlite).await; })+
        }
        mod postgres {
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread")]
            async fn $story() { super::$story(crate::harness::ledgers::Engine::Postgres).await; })+
        }
    };
}
pub(crate) use on_both_ledgers;

on_both_ledgers![
    births_deaths_and_marriages_are_registered_once_each,
    a_lost_answer_and_a_second_submission_end_as_one_registration,
    a_rejection_is_held_and_an_operator_is_told,
];

/// Different declarations of one kind.
pub fn people(kind: Kind, count: usize, seed: u64) -> Vec<Declaration> {
    let mix = match kind {
        Kind::Birth => Mix { deaths: 0.0, marriages: 0.0, ..Mix::default() },
        Kind::Death => Mix { deaths: 1.0, marriages: 0.0, ..Mix::default() },
        Kind::Marriage => Mix { deaths: 0.0, marriages: 1.0, ..Mix::default() },
    };
    Population::new(seed, mix).take(count).collect()
}

pub async fn ends_as(world: &World, record: &str, status: Status) {
    eventually(SOON, &format!("{record} is {status:?}"), async || {
        (world.opencrvs.record(record)?.status() == status).then_some(())
    })
    .await;
}

/// Waits until the newest attempt of a record is in this state in the ledger.
pub async fn stands_as(world: &World, record: &str, state: &str) {
    eventually(SOON, &format!("{record} stands as {state}"), async || {
        let standings = world.ledger.summaries().await.ok()?;
        let ours = standings.into_iter().find(|one| one.record.as_str() == record)?;
        (ours.state.as_str() == state).then_some(())
    })
    .await;
}

async fn births_deaths_and_marriages_are_registered_once_each(engine: Engine) {
    let world = World::checked(engine, &[]).await;
    for kind in [Kind::Birth, Kind::Death, Kind::Marriage] {
        for declaration in people(kind, 3, kind as u64 + 7) {
            let submitted =
                world.opencrvs.submit(&declaration, &world.front, SubmitOptions::default()).await.unwrap();
            assert!(submitted.result.is_success(), "{:?}", submitted.result);
            let id = declaration.record.clone();
            ends_as(&world, &id, Status::Registered).await;
            let record = world.opencrvs.record(&id).unwrap();
            assert_eq!(record.confirms.len(), 1);
            assert_eq!(record.numbers, [world.number_of(&declaration).await]);
            assert_eq!(record.identifiers.contains_key("NATIONAL_ID"), kind == Kind::Birth, "{kind:?}");
            stands_as(&world, &id, "confirmed").await;
        }
    }
    assert_eq!(world.nid.state().ended("issued"), 3);
    assert_eq!(world.opencrvs.tally().confirmed_twice, 0);
    assert_eq!(world.metric("worker", "nidbridge_broker_connected", ""), 2.0, "each link has its own gauge");
}

async fn a_lost_answer_and_a_second_submission_end_as_one_registration(engine: Engine) {
    let world = World::checked(engine, &[]).await;
    for (n, declaration) in people(Kind::Birth, 2, 11).into_iter().enumerate() {
        let id = declaration.record.clone();
        // The answer to the first submission arrives after the second one was submitted, or before.
        if n == 0 {
            world.nid.pause_replies();
        }
        let lost = SubmitOptions { lose_answer: true, ..SubmitOptions::default() };
        world.opencrvs.submit(&declaration, &world.front, lost).await.unwrap();
        assert_eq!(world.opencrvs.record(&id).unwrap().status(), Status::Rejected);
        let requested = async || (world.nid.state().persons > u64::try_from(n).unwrap()).then_some(());
        eventually(SOON, "the ID system was asked", requested).await;
        let again = SubmitOptions { corrected: Some("Corrected".into()), ..SubmitOptions::default() };
        world.opencrvs.submit(&declaration, &world.front, again).await.unwrap();
        stands_as_second(&world, &id).await;
        world.nid.resume_replies();
        ends_as(&world, &id, Status::Registered).await;
        let record = world.opencrvs.record(&id).unwrap();
        assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1));
    }
    let seen = world.nid.state();
    assert_eq!((seen.persons, seen.persons_doubled, seen.ids_doubled), (2, 0, 0));
}

/// Waits until the second attempt is on record.
pub async fn stands_as_second(world: &World, record: &str) {
    let record = nidbridge::domain::RecordId::parse(record).unwrap();
    eventually(SOON, "the second attempt is on record", async || {
        let history = world.ledger.history(&record).await.ok()?;
        let attempts: BTreeSet<String> =
            history.iter().filter_map(|entry| entry.attempt).map(|id| id.to_string()).collect();
        (attempts.len() == 2).then_some(())
    })
    .await;
}

async fn a_rejection_is_held_and_an_operator_is_told(engine: Engine) {
    let world = World::checked(engine, &[]).await;
    let declaration = people(Kind::Birth, 1, 13).remove(0);
    let id = declaration.record.clone();
    world.nid.will_answer(&request_of(&id, "birth"), Final::Rejected("not_eligible"));
    world.opencrvs.submit(&declaration, &world.front, SubmitOptions::default()).await.unwrap();
    stands_as(&world, &id, "held").await;
    let record = world.opencrvs.record(&id).unwrap();
    assert_eq!((record.status(), record.confirms.len()), (Status::WaitingValidation, 0));
    let alarm = || world.metric("confirmer", "nidbridge_alarms_total", "rejected_by_id_system");
    eventually(Duration::from_secs(5), "the alarm", async || (alarm() >= 1.0).then_some(())).await;
}
