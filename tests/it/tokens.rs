//! Record tokens are renewed before they expire, and none expires without a warning.
//!
//! Each test runs on SQLite and on PostgreSQL.

mod dead;
mod ledger;

use nidbridge::domain::{Cause, RecordId};
use nidbridge::ledger::Case;
use nidbridge::sandbox::opencrvs::{Calls, Claims, Fault, OpencrvsSettings, Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};
use crate::traces::collector::Collector;

on_both_ledgers![
    a_token_is_renewed_and_the_registration_confirmed_after_the_first_one_died,
    after_a_change_of_auths_key_each_token_is_alarmed_once_and_fresh_ones_bring_all_to_their_end,
];

const ALARMS: &str = "nidbridge_alarms_total";
const TOKENS: &str = "nidbridge_tokens_total";

/// Settings of a token keeper that is fast enough for tests.
const QUICK: (&str, &str) = ("TOKEN_INTERVAL", "200ms");

async fn submit(world: &World, count: usize, seed: u64) -> Vec<String> {
    let declarations = people(Kind::Birth, count, seed);
    for declaration in &declarations {
        let outcome =
            world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(outcome.result.is_success(), "{:?}", outcome.result);
    }
    declarations.into_iter().map(|declaration| declaration.record).collect()
}

async fn case(world: &World, record: &str) -> Case {
    world.ledger.newest_attempt(&RecordId::parse(record).unwrap()).await.unwrap().unwrap()
}

async fn told(world: &World, record: &str, what: &str) -> usize {
    world.history(record).await.iter().filter(|entry| entry.what == what).count()
}

async fn a_token_is_renewed_and_the_registration_confirmed_after_the_first_one_died(engine: Engine) {
    let short = OpencrvsSettings { token_lifetime_s: 6, ..OpencrvsSettings::default() };
    let world = World::beside(short, engine, &[QUICK]).await;
    world.nid.pause_replies();
    let records = submit(&world, 2, 41).await;
    let mut first = Vec::new();
    for record in &records {
        stands_as(&world, record, "requested").await;
        first.push(case(&world, record).await.attempt.token_expires_at.unwrap());
    }
    let died = first.into_iter().max().unwrap();
    eventually(SOON, "the first tokens are dead", async || {
        (world.ledger.now().await.ok()? > died).then_some(())
    })
    .await;
    world.nid.resume_replies();
    for record in &records {
        ends_as(&world, record, Status::Registered).await;
        stands_as(&world, record, "confirmed").await;
        assert!(told(&world, record, "token_renewed").await >= 1);
        // A token is renewed after half of its life of six seconds.
        assert!(told(&world, record, "token_renewed").await <= 6, "a token is not renewed at every turn");
    }
    assert!(world.metric("confirmer", TOKENS, "renewed") >= 2.0);
    assert_eq!(world.metric("confirmer", ALARMS, ""), 0.0);
}

/// Writes a file with the token of a user who registered none of the records.
pub fn user_token(world: &World, left_s: i64) -> String {
    let claims = world.opencrvs.record_claims("no-record");
    let exp = claims.iat + left_s;
    let claims = Claims { record_id: None, scope: vec!["register".to_owned()], exp, ..claims };
    let path = world.dir.join(format!("user-{left_s}.jwt"));
    std::fs::write(&path, format!("{}\n", world.opencrvs.mint(&claims).unwrap())).unwrap();
    path.to_string_lossy().into_owned()
}

async fn counted(world: &World, outcome: &str, least: f64) {
    eventually(SOON, &format!("{least} tokens {outcome}"), async || {
        (world.metric("confirmer", TOKENS, outcome) >= least).then_some(())
    })
    .await;
}

async fn after_a_change_of_auths_key_each_token_is_alarmed_once_and_fresh_ones_bring_all_to_their_end(
    engine: Engine,
) {
    let mut world = World::with(engine, &[QUICK]).await;
    world.nid.pause_replies();
    let records = submit(&world, 3, 42).await;
    for record in &records {
        stands_as(&world, record, "requested").await;
    }
    counted(&world, "judged", 3.0).await;
    assert_eq!(world.metric("confirmer", ALARMS, ""), 0.0, "their key is auth's");
    world.opencrvs.rotate_key().unwrap();
    counted(&world, "orphaned", 3.0).await;
    // With another confirmer and another key, no warning is repeated.
    world.kill9("confirmer");
    world.start("confirmer");
    let later = submit(&world, 1, 43).await.remove(0);
    counted(&world, "judged", 1.0).await;
    world.opencrvs.rotate_key().unwrap();
    counted(&world, "orphaned", 1.0).await;
    assert_eq!(world.metric("confirmer", ALARMS, "token_orphaned"), 1.0);
    for record in records.iter().chain([&later]) {
        assert_eq!(told(&world, record, "token_orphaned").await, 1, "{record}");
    }
    let replace = |file: String, which: Vec<&str>| {
        let args = ["tokens", "replace", "--subject-token-file"].map(str::to_owned);
        args.into_iter().chain([file]).chain(which.into_iter().map(str::to_owned)).collect::<Vec<_>>()
    };
    let run = async |args: Vec<String>, settings: &[(&str, &str)]| {
        world.run(&args.iter().map(String::as_str).collect::<Vec<_>>(), settings).await
    };
    let user = user_token(&world, 600);
    // One token is replaced in time, the others after OpenCRVS has refused them.
    let (code, said) = run(replace(user.clone(), vec!["--record", &records[0]]), &[]).await;
    assert_eq!((code, said.contains(&records[0])), (Some(0), true), "{said}");
    world.nid.resume_replies();
    ends_as(&world, &records[0], Status::Registered).await;
    for record in records[1..].iter().chain([&later]) {
        stands_as(&world, record, "parked").await;
        assert_eq!(case(&world, record).await.attempt.cause, Some(Cause::TokenRefused.into()));
    }
    let dead = user_token(&world, -5);
    assert_eq!(run(replace(dead, vec!["--all-orphaned"]), &[]).await.0, Some(1));
    let nowhere = [("AUTH_URL", "http://127.0.0.1:1")];
    assert_eq!(run(replace(user.clone(), vec!["--all-orphaned"]), &nowhere).await.0, Some(69));
    assert_eq!(run(replace(user.clone(), vec![]), &[]).await.0, Some(2));
    let (code, said) = run(replace(user.clone(), vec!["--all-orphaned"]), &[]).await;
    assert_eq!((code, said.matches("goes on").count()), (Some(0), 3), "{said}");
    for record in &records[1..] {
        ends_as(&world, record, Status::Registered).await;
        stands_as(&world, record, "confirmed").await;
        assert_eq!(told(&world, record, "token_replaced").await, 1);
    }
    ends_as(&world, &later, Status::Registered).await;
    let (code, said) = run(replace(user, vec!["--record", &later, "--record", "nobody"]), &[]).await;
    assert_eq!((code, said.contains("confirmed"), said.contains("nobody")), (Some(1), true, true), "{said}");
    assert_eq!(world.opencrvs.tally().confirmed_twice, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_auth_costs_no_token_and_no_output_shows_one() {
    let short = OpencrvsSettings { token_lifetime_s: 8, ..OpencrvsSettings::default() };
    let collector = Collector::start();
    let all = [
        QUICK,
        ("LOG_FILTER", "trace"),
        ("SWEEP_INTERVAL", "300ms"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
    ];
    let mut world = World::beside(short, Engine::Sqlite, &all).await;
    world.nid.pause_replies();
    let record = submit(&world, 1, 44).await.remove(0);
    stands_as(&world, &record, "requested").await;
    for fault in [Fault::http(503), Fault::CUT_BEFORE, Fault::NOT_JSON, Fault::UNAUTHORIZED] {
        world.opencrvs.faults().next(Calls::Exchange, 1, fault);
    }
    counted(&world, "renewed", 1.0).await;
    assert!(world.metric("confirmer", TOKENS, "away") >= 3.0);
    assert_eq!(world.metric("confirmer", TOKENS, "refused"), 1.0);
    let user = user_token(&world, 600);
    let args = ["tokens", "replace", "--subject-token-file", &user, "--record", &record];
    let (code, said) = world.run(&args, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    world.nid.resume_replies();
    ends_as(&world, &record, Status::Registered).await;
    stands_as(&world, &record, "confirmed").await;
    let subject = std::fs::read_to_string(&user).unwrap();
    let metrics = world.metrics_text("confirmer");
    let mut places = vec![("what was said", said.into_bytes()), ("metrics", metrics.into_bytes())];
    for role in ["front", "worker", "confirmer"] {
        assert_eq!(world.terminate(role).await, Some(0), "{role}");
        places.push((role, world.log_text(role).into_bytes()));
    }
    let file = world.ledger_url().trim_start_matches("sqlite:").to_owned();
    places.push(("the ledger", std::fs::read(&file).unwrap()));
    places.push(("its journal", std::fs::read(format!("{file}-wal")).unwrap_or_default()));
    places.push(("traces", collector.bytes()));
    // Every token begins with the same header.
    let (head, _) = subject.split_once('.').unwrap();
    for (place, bytes) in &places {
        assert!(!bytes.is_empty() || *place == "its journal", "there is nothing of {place}");
        for text in ["subject_token", head] {
            let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(!found, "{text} is in {place}");
        }
    }
}
