//! A vendor that floods its vhost: genuine replies still pass, and what it can store is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};
use nidbridge::broker::{Link, LinkSettings, Reached, Target, Topology, Unobserved, User};
use nidbridge::pipeline::{Users, names, topology};
use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::Kind;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::message;
use crate::gateway::submitted;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::vhosts::{Vhosts, connected};
use crate::harness::world::{SOON, World};
use crate::operator::ended;
use crate::pipeline::{ends_as, people};

/// Messages that a queue holds in this story.
const LENGTH: u32 = 200;
/// Accepted messages of the flood before the story goes on.
const FLOOD: usize = 1_500;

/// Publishes replies that are none until it is stopped, many at a time.
async fn flood(vendor: Link, accepted: Arc<AtomicUsize>, stop: CancellationToken) {
    let to = Target::new(names::NID_REPLIES, "reply.birth");
    let publisher = vendor.publisher();
    let one = |number: usize| {
        let (publisher, to, accepted) = (publisher.clone(), to.clone(), Arc::clone(&accepted));
        async move {
            let mut garbage = message(&format!("garbage {number}"));
            garbage.body = vec![b'x'; 8 * 1024];
            if publisher.publish(&to, garbage).await.is_ok() {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let mut all = std::pin::pin!(stream::iter(0..).map(one).buffer_unordered(16));
    while !stop.is_cancelled() && all.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_stops_no_genuine_reply_and_only_the_newest_garbage_is_kept() {
    let length = LENGTH.to_string();
    let mut world = World::empty(Engine::Sqlite, &[("BROKER_MAX_LENGTH", &length)]).await;
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    let (accepted, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let flooding = tokio::spawn(flood(world.vendor_link().await, Arc::clone(&accepted), stop.clone()));
    let has_flooded = async || (accepted.load(Ordering::Relaxed) > FLOOD).then_some(());
    eventually(SOON, "many times more than a queue holds", has_flooded).await;
    for birth in people(Kind::Birth, 3, 821) {
        submitted(&world, &birth).await;
        ends_as(&world, &birth.record, Status::Registered).await;
    }
    assert_eq!(world.admin("worker", "/livez").map(|(status, _)| status), Some(200));
    stop.cancel();
    flooding.await.unwrap();

    let nid = world.look_nid().await;
    let is_worked_off = async || (nid.depth(names::NID_REPLIES).await.ok()?.ready == 0).then_some(());
    eventually(SOON, "the flood is worked off", is_worked_off).await;
    let is_full = async || (nid.depth(names::NID_REFUSED).await.ok()?.ready == LENGTH).then_some(());
    eventually(SOON, "only the newest garbage is kept", is_full).await;
    let purge = ["queue", "purge", names::NID_REFUSED];
    let lost = ended(&world, &["queue", "purge", "registrations.work.parked", "--reason", "x"], &[]).await;
    assert_eq!(lost.code, Some(1), "only replies: {}", lost.stderr);
    for (more, told) in [
        (&["--dry-run"][..], "would be removed: 200\n"),
        (&["--reason", "a flood"], "removed: 200\n"),
        (&["--reason", "a flood"], "removed: 0\n"),
    ] {
        let ended = ended(&world, &[&purge, more].concat(), &[]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), told), "{more:?} {}", ended.stderr);
    }
    nid.close().await;
    world.assert_all_run();
}

/// The same URL with another user, who has the same password.
fn as_user(url: &SecretString, user: &str) -> SecretString {
    let mut url = Url::parse(url.expose_secret()).expect("a URL");
    url.set_username(user).expect("a user");
    SecretString::from(String::from(url))
}

async fn link(url: &SecretString, vhost: &str) -> Link {
    let settings = LinkSettings { apply_topology: false, ..LinkSettings::new("vendor", url.clone()) };
    connected(Link::open(&settings, Topology::empty(vhost), Arc::new(Unobserved))).await
}

/// Imports what `nidbridge topology print` prints for the vendor's vhost, with smaller queues.
async fn import(vhosts: &Vhosts, vendor: User, bytes: u64) {
    let topology = topology::national_id(&vhosts.settings).in_vhost(&vhosts.vendor);
    let bridge = User::existing(nidbridge::sandbox::rabbitmq::Cluster::users().0);
    let users = Users { bridge, vendor, roles: Vec::new(), administrator: None };
    let mut made = users.definitions(&[topology]).expect("definitions");
    made["policies"][0]["definition"]["max-length-bytes"] = bytes.into();
    let api = vhosts.api().clone();
    let imported = move || api.must("POST", "/definitions", &made.to_string());
    tokio::task::spawn_blocking(imported).await.expect("an import");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_can_store_and_open_only_so_much() {
    const BYTES: u64 = 4_000_000;
    let vhosts = Vhosts::fresh().await;
    let vhost = vhosts.vendor.as_str();
    let url = as_user(&vhosts.vendor_url(), vhost);
    let password = Url::parse(url.expose_secret()).unwrap().password().unwrap().to_owned();
    import(&vhosts, User::new(vhost, SecretString::from(password)), BYTES).await;

    let vendor = link(&url, vhost).await;
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..60 {
        let mut garbage = message(&number.to_string());
        garbage.body = vec![b'x'; 100_000];
        let to = Target::new(names::NID_REPLIES, "reply.birth");
        match vendor.publisher().publish(&to, garbage).await {
            Ok(()) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!((39..=41).contains(&accepted) && refused == 60 - accepted, "{accepted} {refused}");

    let limits: Value =
        serde_json::from_str(&vhosts.api().must("GET", &format!("/vhost-limits/{vhost}"), "")).unwrap();
    assert_eq!(limits[0]["value"]["max-queues"], 100, "{limits}");
    // A link has two connections.
    let mut links = vec![vendor];
    while links.len() < 25 {
        links.push(link(&url, vhost).await);
    }
    let is_refused = async || match LinkSettings::new("one more", url.clone()).reach().await {
        Reached::Away(why) => why.contains("connection limit (50)").then_some(()),
        Reached::Yes | Reached::Refused(_) => None,
    };
    eventually(SOON, "no more connections", is_refused).await;
    // The bridge's own user is not counted with the vendor's.
    let ours = LinkSettings::new("ours", vhosts.nid_link_settings("ours").url).reach().await;
    assert!(matches!(ours, Reached::Yes), "{ours:?}");
    for link in links {
        link.close().await;
    }
    vhosts.api().must("DELETE", &format!("/users/{vhost}"), "");
}
