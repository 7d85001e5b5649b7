//! Tests of the harness: the servers that it starts are usable, and end when they should.

use std::process::{Command, Stdio};
use std::time::Duration;

use nidbridge::config::Sources;
use nidbridge::sandbox::guardian::Guardian;

use super::{Vhosts, eventually, postgres, temporary};

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (one, two) = (postgres::fresh_database().await, postgres::fresh_database().await);
    assert_ne!(one, two);
    assert!(one.starts_with("postgres://"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_is_of_the_installation_that_was_asked_for() {
    let environment = Sources::of_process(None).environment;
    let root = environment.get("NIDBRIDGE_RABBITMQ").map_or("/", String::as_str);
    let overview = Vhosts::fresh().await.api().must("GET", "/overview", "");
    let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
    let version = overview["rabbitmq_version"].as_str().unwrap();
    eprintln!("RabbitMQ {version} on Erlang {}", overview["erlang_version"]);
    let installed = format!("{root}/usr/lib/rabbitmq/lib/rabbitmq_server-{version}");
    assert!(std::path::Path::new(&installed).exists(), "{installed}");
}

#[tokio::test]
async fn a_guardian_ends_what_it_watches_when_its_owner_goes() {
    let dir = temporary("guarded");
    std::fs::create_dir_all(&dir).unwrap();
    let mut watched = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    drop(Guardian::watch(&[watched.id()], Some(&dir)).unwrap());
    eventually(Duration::from_secs(10), "the process has ended", async || {
        watched.try_wait().unwrap().map(drop)
    })
    .await;
    eventually(Duration::from_secs(20), "the directory is gone", async || (!dir.exists()).then_some(()))
        .await;
}

#[tokio::test]
async fn a_guardian_that_is_dismissed_lets_things_be() {
    let mut watched = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    Guardian::watch(&[watched.id()], None).unwrap().dismiss();
    assert!(watched.try_wait().unwrap().is_none());
    watched.kill().unwrap();
    watched.wait().unwrap();
}
