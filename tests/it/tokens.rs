//! A record token outlives the seven days that it was given, and none dies unannounced.
//!
//! Each story is told on SQLite and on PostgreSQL.

use nidbridge::domain::RecordId;
use nidbridge::ledger::Case;
use nidbridge::simulate::opencrvs::{OpencrvsSettings, Status, SubmitOptions};
use nidbridge::simulate::population::Kind;

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![a_token_is_renewed_and_the_registration_confirmed_after_the_first_one_died];

const ALARMS: &str = "nidbridge_alarms_total";
const TOKENS: &str = "nidbridge_tokens_total";

/// A keeper that is as quick as the stories.
const QUICK: (&str, &str) = ("TOKEN_INTERVAL", "200ms");

async fn submit(world: &World, count: usize, seed: u64) -> Vec<String> {
    let declarations = people(Kind::Birth, count, seed);
    for declaration in &declarations {
        let outcome =
            world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(outcome.wire.is_success(), "{:?}", outcome.wire);
    }
    declarations.into_iter().map(|declaration| declaration.record).collect()
}

async fn case(world: &World, record: &str) -> Case {
    world.ledger.newest(&RecordId::parse(record).unwrap()).await.unwrap().unwrap()
}

async fn told(world: &World, record: &str, what: &str) -> usize {
    world.history(record).await.iter().filter(|entry| entry.what == what).count()
}

async fn a_token_is_renewed_and_the_registration_confirmed_after_the_first_one_died(engine: Engine) {
    let short = OpencrvsSettings { token_lifetime_s: 6, ..OpencrvsSettings::default() };
    let world = World::beside(short, engine, &[QUICK]).await;
    world.nid.hold();
    let records = submit(&world, 2, 41).await;
    let mut first = Vec::new();
    for record in &records {
        stands_as(&world, record, "requested").await;
        first.push(case(&world, record).await.attempt.token_expires_at);
    }
    let died = first.into_iter().max().unwrap();
    eventually(SOON, "the first tokens are dead", async || {
        (world.ledger.now().await.ok()? > died).then_some(())
    })
    .await;
    world.nid.release();
    for record in &records {
        ends_as(&world, record, Status::Registered).await;
        stands_as(&world, record, "confirmed").await;
        assert!(told(&world, record, "token_renewed").await >= 1);
        // Half of a life of six seconds goes first.
        assert!(told(&world, record, "token_renewed").await <= 6, "a token is not renewed at every turn");
    }
    assert!(world.metric("confirmer", TOKENS, "renewed") >= 2.0);
    assert_eq!(world.metric("confirmer", ALARMS, ""), 0.0);
}
