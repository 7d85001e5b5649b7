//! `nidbridge queue`: parked messages are processed again when their cause is gone, and none is
//! lost.

use nidbridge::broker::headers;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use futures_util::{StreamExt as _, stream};
use nidbridge::broker::{Link, Outgoing, Target};
use nidbridge::pipeline::names::{
    self, NID_REFUSED, REGISTRATIONS, REGISTRATIONS_WORK, UNROUTED, WORK_KEY, parking_queue,
};
use nidbridge::sandbox::population::Kind;

use super::{ended, json_of};
use crate::gateway::{confirmed_once, submitted};
use crate::harness::eventually;
use crate::harness::ledgers::{Engine, fresh_url};
use crate::harness::world::{SOON, World};
use crate::pipeline::people;
use crate::replies::asked;

const NOBODYS: &str = "x:AwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

async fn waits_in(link: &Link, queue: &str, count: u32) {
    eventually(SOON, &format!("{count} in {queue}"), async || {
        (link.depth(queue).await.ok()?.ready == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_met_the_wrong_ledger_is_sent_back_and_taken_in() {
    let mut world = World::new(Engine::Sqlite).await;
    let births = asked(&world, Kind::Birth, 2, 91).await;
    world.kill9("worker");
    world.set_for("worker", "LEDGER_URL", &fresh_url(Engine::Sqlite).await);
    // Otherwise the worker would be refused.
    world.purge(names::DEPLOYMENT).await;
    world.start("worker");
    world.ready("worker").await;
    world.nid.resume_replies();
    let (vendors, place) = (world.look_nid().await, NID_REFUSED.to_owned());
    waits_in(&vendors, &place, 2).await;
    let right = world.ledger_url().to_owned();
    world.kill9("worker");
    world.set_for("worker", "LEDGER_URL", &right);
    world.purge(names::DEPLOYMENT).await;
    world.start("worker");
    world.ready("worker").await;
    let (code, list) = json_of(&world, &["queue", "list", "--json"]).await;
    let count = list.as_array().unwrap().iter().find(|one| one["queue"] == place.as_str()).unwrap();
    assert_eq!((code, count["messages"].as_u64()), (Some(0), Some(2)), "{list}");
    let (code, found) = json_of(&world, &["queue", "list", &place, "--json"]).await;
    assert_eq!((code, &found[0]["cause"]), (Some(0), &"unknown_request".into()), "{found}");
    let replay = ["queue", "replay", &place];
    let why = ["--reason", "the right ledger", "--by", "ada"];
    for (more, settings, code, told) in [
        (&["--dry-run"][..], &[][..], 0, "would go back to work: 2\n"),
        (&["--cause", "malformed"], &[], 0, "went back to work: 0\n"),
        (&[], &[("SEAL_KEYS", NOBODYS)], 78, ""),
        (&["--limit", "1"], &[], 0, "went back to work: 1\n"),
        (&[], &[], 0, "went back to work: 1\n"),
        (&[], &[], 0, "went back to work: 0\n"),
    ] {
        let ended = ended(&world, &[&replay, more, &why].concat(), settings).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), told), "{more:?} {}", ended.stderr);
    }
    for declaration in &births {
        confirmed_once(&world, &declaration.record, "the reply is taken in").await;
    }
    let nowhere = ended(&world, &["queue", "replay", "registrations.work", "--reason", "x"], &[]).await;
    assert_eq!(nowhere.code, Some(1), "only parking places");
    vendors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unrouted_messages_go_back_to_their_exchange_when_the_topology_is_mended() {
    let world = World::new(Engine::Sqlite).await;
    let vhosts = world.vhosts();
    let binding = format!("e/{REGISTRATIONS}/q/{REGISTRATIONS_WORK}/{WORK_KEY}");
    vhosts.api().must("DELETE", &format!("/bindings/{}/{binding}", vhosts.bridge), "");
    let births = people(Kind::Birth, 2, 93);
    for declaration in &births {
        submitted(&world, declaration).await;
    }
    let link = world.look().await;
    waits_in(&link, UNROUTED, 2).await;
    let (code, found) = json_of(&world, &["queue", "list", UNROUTED, "--json"]).await;
    assert_eq!((code, &found[0]["cause"]), (Some(0), &"unrouted".into()), "{found}");
    // Looking into the queue has restored the binding: like a role, a command declares missing
    // parts of the topology, unless it is told not to.
    vhosts.api().must("DELETE", &format!("/bindings/{}/{binding}", vhosts.bridge), "");
    let replay = ["queue", "replay", UNROUTED, "--reason", "the binding is back"];
    for (command, code, told) in [
        (&["queue", "replay", UNROUTED, "--dry-run"][..], 0, Some("would go back to work: 2\n")),
        (&replay, 1, Some("went back to work: 0\n")),
        (&["topology", "apply"], 0, None),
        (&replay, 0, Some("went back to work: 2\n")),
    ] {
        let ended = ended(&world, command, &[("BROKER_APPLY_TOPOLOGY", "false")]).await;
        assert_eq!(ended.code, Some(code), "{command:?} {}", ended.stderr);
        assert!(told.is_none_or(|told| ended.stdout == told), "{command:?} {}", ended.stdout);
        let left = if told.is_some_and(|told| told.starts_with("went back to work: 2")) { 0 } else { 2 };
        waits_in(&link, UNROUTED, left).await;
    }
    for declaration in &births {
        confirmed_once(&world, &declaration.record, "it goes its way").await;
    }
    link.close().await;
}

fn message(n: usize) -> Outgoing {
    Outgoing {
        id: format!("message {n}"),
        kind: "registration.v1",
        content_type: "application/json",
        correlation_id: None,
        headers: BTreeMap::new(),
        body: b"{\"v\": 1}".to_vec(),
    }
}

/// The number of copies of each message in these queues.
async fn found_in(link: &Link, queues: &[&str]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for queue in queues {
        for message in link.peek(queue, 10_000).await.unwrap() {
            *found.entry(message.id.unwrap()).or_default() += 1;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_loses_nothing_and_doubles_one_at_most() {
    const ALL: usize = 800;
    let world = World::with_front(&[]).await;
    let (link, place) = (world.look().await, parking_queue(REGISTRATIONS_WORK));
    waits_in(&link, &place, 0).await;
    let publish = async |n| {
        let to = Target::queue(&place);
        // A queue that was just declared may refuse the first message.
        eventually(SOON, "published", async || link.publisher().publish(&to, message(n)).await.ok()).await;
    };
    stream::iter(0..ALL).for_each_concurrent(32, publish).await;
    let replay = ["queue", "replay", &place, "--reason", "a try", "--by", "ada"];
    let mut child = world.command("", &replay).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually(SOON, "some went back", async || {
        (link.depth(REGISTRATIONS_WORK).await.ok()?.ready > 20).then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(link.depth(REGISTRATIONS_WORK).await.unwrap().ready < 800, "killed too late to tell anything");
    let queues = [REGISTRATIONS_WORK, &place];
    let found = eventually(SOON, "all are in one of the queues", async || {
        let found = found_in(&link, &queues).await;
        (found.len() == ALL).then_some(found)
    })
    .await;
    assert!(found.values().sum::<usize>() <= ALL + 1, "{} for {ALL}", found.values().sum::<usize>());
    assert_eq!(world.run(&replay, &[]).await.0, Some(0));
    waits_in(&link, &place, 0).await;
    let back = link.peek(REGISTRATIONS_WORK, 10_000).await.unwrap();
    let ids: BTreeSet<_> = back.iter().filter_map(|message| message.id.clone()).collect();
    assert_eq!(ids.len(), ALL);
    let told = |message: &nidbridge::broker::Incoming| {
        (
            message.headers.get(headers::REPLAYED_BY).cloned(),
            message.headers.get(headers::REPLAY_REASON).cloned(),
        )
    };
    assert!(back.iter().all(|message| told(message) == (Some("ada".to_owned()), Some("a try".to_owned()))));
    link.close().await;
}
