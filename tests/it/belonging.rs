//! Roles with different ledgers or keys on one broker are refused: nothing is accepted that no role
//! can decrypt, and nothing is consumed that belongs to another ledger.

mod restored;

use std::collections::BTreeMap;

use nidbridge::broker::{Outgoing, Target};
use nidbridge::pipeline::names::{self, parking_queue};
use nidbridge::sandbox::opencrvs::{CallResult, Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;
use secrecy::ExposeSecret as _;

use crate::harness::eventually;
use crate::harness::ledgers::{Engine, SEAL_KEYS, fresh_url, ledger};
use crate::harness::world::{SOON, World};
use crate::operator::ended;
use crate::pipeline::{ends_as, people};

const OTHER: &str = "other:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Another key under the id of the right one.
const SAME_ID: &str = "test:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ANYWHERE: [(&str, &str); 2] = [("FRONT_LISTEN", "127.0.0.1:0"), ("ADMIN_LISTEN", "127.0.0.1:0")];

/// The retained message of another installation.
fn foreign() -> Outgoing {
    Outgoing {
        id: "x".to_owned(),
        kind: "deployment.v1",
        content_type: "application/json",
        correlation_id: None,
        headers: BTreeMap::new(),
        body: br#"{"v":1,"deployment":"another","keys":{"a":"b"}}"#.to_vec(),
    }
}

async fn is_refused(world: &World, role: &str, settings: &[(&str, &str)], names: &str) {
    let told = ended(world, &[role], &[&ANYWHERE[..], settings].concat()).await;
    assert_eq!(told.code, Some(78), "{role}: {}", told.stderr);
    assert!(told.stderr.contains(names), "{role}: {}", told.stderr);
}

async fn a_birth_is_registered(world: &World, seed: u64) {
    let birth = people(Kind::Birth, 1, seed).remove(0);
    let sent = world.opencrvs.submit(&birth, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(sent.result.is_success(), "{:?}", sent.result);
    ends_as(world, &birth.record, Status::Registered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_with_another_key_and_roles_with_another_ledger_do_not_start() {
    let world = World::new(Engine::Sqlite).await;
    is_refused(&world, "front", &[("SEAL_KEYS", OTHER)], "seals with key `other`").await;
    is_refused(&world, "front", &[("SEAL_KEYS", SAME_ID)], "key `test` is another key").await;
    let other = fresh_url(Engine::Sqlite).await;
    for role in ["worker", "confirmer", "all"] {
        is_refused(&world, role, &[("LEDGER_URL", &other)], "serves another ledger").await;
    }
    for role in ["worker", "confirmer"] {
        is_refused(&world, role, &[("LEDGER_URL", "")], "LEDGER_URL (ledger.url)").await;
    }
    a_birth_is_registered(&world, 61).await;
}

/// A broker that is away is waited for; one that refuses is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_the_broker_refuses_does_not_start_and_names_the_cause() {
    let world = World::new(Engine::Sqlite).await;
    let (broker, vhost) = (format!("127.0.0.1:{}", world.vhosts().amqp_port()), &world.vhosts().bridge);
    let refused = [
        ("BROKER_MAX_LENGTH", "7".to_owned(), "x-max-length"),
        ("AMQP_URL", format!("amqp://nobody:wrong@{broker}/{vhost}"), "the user `nobody`"),
    ];
    for (setting, value, names) in &refused {
        for role in ["front", "worker", "confirmer"] {
            is_refused(&world, role, &[(setting, value)], names).await;
        }
    }
    let no_vhost = world.vhosts().link_settings("x").url.expose_secret().replace(vhost.as_str(), "nowhere");
    is_refused(&world, "front", &[("AMQP_URL", &no_vhost)], "AMQP_URL (broker.url): RabbitMQ has no vhost")
        .await;
    a_birth_is_registered(&world, 67).await;
}

/// Whoever works with the settings of another installation changes nothing here.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_another_ledger_moves_nothing() {
    let world = World::new(Engine::Sqlite).await;
    let look = world.look().await;
    let parked = parking_queue(names::REPLIES_WORK);
    let message = Outgoing { id: "x".to_owned(), kind: "reply.v1", body: b"{}".to_vec(), ..foreign() };
    look.publisher().publish(&Target::queue(&parked), message).await.unwrap();
    let other = fresh_url(Engine::Sqlite).await;
    ledger(&other, SEAL_KEYS).await.unwrap();
    let id = "5c1b3f0e-0000-4000-8000-000000000000";
    let why = ["--reason", "x"];
    for command in [
        &["recover"][..],
        &["recover", "--unknown"],
        &[&["queue", "replay", &parked][..], &why].concat(),
        &[&["attempts", "resume", id][..], &why].concat(),
        &[&["attempts", "decide", id, "--as", "close"][..], &why].concat(),
    ] {
        let told = ended(&world, command, &[("LEDGER_URL", &other)]).await;
        assert_eq!(told.code, Some(78), "{command:?}: {}", told.stderr);
        assert!(told.stderr.contains("serves another ledger"), "{command:?}: {}", told.stderr);
    }
    assert_eq!(look.depth(&parked).await.unwrap().ready, 1);
    let told = ended(&world, &["queue", "replay", &parked, "--reason", "x"], &[]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let gone = async || (look.depth(&parked).await.ok()?.ready == 1).then_some(());
    eventually(SOON, "the reply was tried and parked again", gone).await;
    let other_key = ended(&world, &["recover"], &[("SEAL_KEYS", SAME_ID)]).await;
    assert_eq!(other_key.code, Some(78), "{}", other_key.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_do_not_start_behind_a_front_whose_key_they_lack() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    world.set_for("front", "SEAL_KEYS", OTHER);
    world.start("front");
    let look = world.look().await;
    let left = async || (look.depth(names::DEPLOYMENT).await.ok()?.ready == 1).then_some(());
    eventually(SOON, "the front has left its key", left).await;
    for role in ["worker", "confirmer"] {
        is_refused(&world, role, &[], "a front of this broker seals with key `other`").await;
    }
}

/// The broker is exchanged for one that serves another installation, and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_no_longer_belongs_is_not_ready_and_accepts_nothing_not_even_into_its_spool() {
    let spool = tempfile::tempdir().unwrap();
    let path = spool.path().to_string_lossy().into_owned();
    let mut world = World::empty(Engine::Sqlite, &[("FRONT_SPOOL", &path)]).await;
    let broker = world.proxy_before_broker("front").await;
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
    }
    for role in ["front", "worker", "confirmer"] {
        world.ready(role).await;
    }
    a_birth_is_registered(&world, 62).await;
    let look = world.look().await;
    look.publisher().publish(&Target::queue(names::DEPLOYMENT), foreign()).await.unwrap();
    broker.cut();
    let lost = async || world.log_text("front").contains("no connection to the broker").then_some(());
    eventually(SOON, "the front has lost its broker", lost).await;
    broker.restore();
    let unready = async || {
        let (status, body) = world.admin("front", "/readyz")?;
        (status == 503 && body.contains("front_deployment")).then_some(())
    };
    eventually(SOON, "the front is not ready", unready).await;
    let birth = people(Kind::Birth, 1, 63).remove(0);
    let refused = world.opencrvs.submit(&birth, &world.front, SubmitOptions::default()).await.unwrap();
    assert_eq!(refused.result, CallResult::Status(503));
    assert_eq!(world.metric("front", "nidbridge_received_total", "other_deployment"), 1.0);
    assert_eq!(world.metric("front", "nidbridge_alarms_total", "other_deployment"), 1.0);
    let stored = std::fs::read_dir(spool.path()).unwrap().flatten();
    let stored =
        stored.filter(|file| file.path().extension().is_some_and(|ext| ext == "registration")).count();
    assert_eq!(stored, 0);
    world.purge(names::DEPLOYMENT).await;
    world.ready("front").await;
    a_birth_is_registered(&world, 64).await;
}
