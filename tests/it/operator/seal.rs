//! `nidbridge seal rotate`, and what happens with a wrong or missing key.

use nidbridge::domain::Cause;
use nidbridge::pipeline::names;
use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::Kind;
use serde_json::{Value, json};

use super::{ended, json_of};
use crate::gateway::{confirmed_once, standing, submitted};
use crate::harness::ledgers::{Engine, SEAL_KEYS};
use crate::harness::world::World;
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![
    a_new_key_takes_over_while_registrations_are_under_way,
    sealed_data_without_a_key_is_reported_and_left_as_it_is,
];

const NEW: &str = "new:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const GONE: &str = "gone:AgECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ROTATE: [&str; 3] = ["seal", "rotate", "--json"];

async fn restarted(world: &mut World, seal_keys: &str) {
    world.set("SEAL_KEYS", seal_keys);
    for role in ["front", "worker", "confirmer"] {
        world.kill9(role);
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
}

async fn a_new_key_takes_over_while_registrations_are_under_way(engine: Engine) {
    let mut world = World::new(engine).await;
    let done = people(Kind::Birth, 2, 81);
    for declaration in &done {
        submitted(&world, declaration).await;
        stands_as(&world, &declaration.record, "confirmed").await;
    }
    world.nid.pause_replies();
    let mut open = people(Kind::Birth, 3, 82);
    for declaration in &open {
        submitted(&world, declaration).await;
        stands_as(&world, &declaration.record, "requested").await;
    }
    restarted(&mut world, &format!("{SEAL_KEYS},{NEW}")).await;
    restarted(&mut world, &format!("{NEW},{SEAL_KEYS}")).await;
    let (code, before) = json_of(&world, &["seal", "rotate", "--dry-run", "--json"]).await;
    assert_eq!((code, &before["resting"]["view"]), (Some(0), &json!({ "test": 5 })), "{before}");
    let more = people(Kind::Birth, 4, 83);
    let (rotated, ()) = tokio::join!(json_of(&world, &ROTATE), async {
        for declaration in &more {
            submitted(&world, declaration).await;
        }
    });
    assert_eq!((rotated.0, &rotated.1["unopened"]), (Some(0), &json!({})), "{}", rotated.1);
    assert_eq!(rotated.1["resealed"], 5 + 5 + 2 + 1, "views, tokens, IDs and the ledger's own key");
    for declaration in &more {
        stands_as(&world, &declaration.record, "requested").await;
    }
    let (code, again) = json_of(&world, &ROTATE).await;
    let nine = json!({ "view": { "new": 9 }, "token": { "new": 9 }, "national_id": { "new": 2 }, "ledger_key": { "new": 1 } });
    assert_eq!((code, &again["resealed"], &again["resting"]), (Some(0), &json!(0), &nine));
    let told = ended(&world, &["seal", "rotate"], &[]).await;
    assert!(
        told.stdout.contains("registrations.work.parked") && told.stdout.contains("FRONT_SPOOL"),
        "{}",
        told.stdout
    );
    // The old key can be removed.
    restarted(&mut world, NEW).await;
    world.nid.resume_replies();
    open.extend(more);
    for declaration in &open {
        confirmed_once(&world, &declaration.record, "under the new key").await;
    }
    let old = ended(&world, &ROTATE, &[("SEAL_KEYS", SEAL_KEYS)]).await;
    assert_eq!((old.code, old.stderr.contains("key `new`, which is not in SEAL_KEYS")), (Some(78), true));
}

async fn sealed_data_without_a_key_is_reported_and_left_as_it_is(engine: Engine) {
    let mut world = World::empty(engine, &[]).await;
    world.set_for("front", "SEAL_KEYS", GONE);
    world.start("worker");
    world.ready("worker").await;
    // Otherwise the front would be refused.
    world.purge(names::DEPLOYMENT).await;
    world.start("front");
    world.ready("front").await;
    let lost = people(Kind::Marriage, 1, 84).remove(0);
    submitted(&world, &lost).await;
    let parked = standing(&world, &lost.record, "parked", "a front with a key of its own").await;
    assert_eq!(parked.cause, Some(Cause::Unsealable.into()));
    let without = format!("{NEW},{SEAL_KEYS}");
    let told = ended(&world, &ROTATE, &[("SEAL_KEYS", &without)]).await;
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((told.code, &report["resting"]["token"]), (Some(1), &json!({ "gone": 1 })), "{report}");
    let unopened = report["unopened"].as_object().unwrap();
    assert_eq!(unopened.len(), 2, "a view and a token: {report}");
    assert!(unopened.keys().all(|why| why.contains("key `gone`, which is not in SEAL_KEYS")), "{report}");
    // The same key id with another secret.
    let wrong = format!("{NEW},{SEAL_KEYS},{}", GONE.replace("AgEC", "AwEC"));
    let told = ended(&world, &ROTATE, &[("SEAL_KEYS", &wrong)]).await;
    assert!(told.code == Some(1) && told.stdout.contains("wrong key under that id"), "{}", told.stdout);
    let all = format!("{NEW},{SEAL_KEYS},{GONE}");
    let told = ended(&world, &ROTATE, &[("SEAL_KEYS", &all)]).await;
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((told.code, &report["resting"]["token"]), (Some(0), &json!({ "new": 1 })), "{report}");
    // Only the confirmer lacks a key: it parks what it cannot open, and an operator resumes it.
    world.kill9("worker");
    world.set("SEAL_KEYS", &all);
    world.set_for("confirmer", "SEAL_KEYS", NEW);
    for role in ["worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    let half = people(Kind::Marriage, 1, 85).remove(0);
    submitted(&world, &half).await;
    let parked = standing(&world, &half.record, "parked", "a confirmer without the front's key").await;
    assert_eq!(parked.cause, Some(Cause::Unsealable.into()));
    world.kill9("confirmer");
    world.set_for("confirmer", "SEAL_KEYS", &all);
    world.start("confirmer");
    let resume = ["attempts", "resume", "--cause", "unsealable", "--reason", "the key is back"];
    assert_eq!(world.run(&resume, &[]).await.0, Some(0));
    for declaration in [&lost, &half] {
        ends_as(&world, &declaration.record, Status::Registered).await;
        confirmed_once(&world, &declaration.record, "every key is there").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_the_keys_of_another_ledger_does_not_start_and_says_why() {
    let world = World::empty(Engine::Sqlite, &[]).await;
    for role in ["worker", "confirmer", "all", "recover"] {
        let told = ended(&world, &[role], &[("SEAL_KEYS", NEW), ("FRONT_LISTEN", "127.0.0.1:0")]).await;
        assert_eq!(told.code, Some(78), "{role}: {}", told.stderr);
        let cause = "SEAL_KEYS (seal.keys) is not of this ledger";
        let fix = "key `test`, which is not in SEAL_KEYS: add it";
        assert!(told.stderr.contains(cause) && told.stderr.contains(fix), "{role}: {}", told.stderr);
    }
}
