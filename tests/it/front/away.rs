//! The broker is away: a registration that is certainly not stored is held for a while, then
//! refused. No registration is half accepted.

use std::time::{Duration, Instant};

use super::wire::Post;
use super::{births, boom, bundle, stored, token, view};
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::harness::{ChaosProxy, eventually};

async fn connected(world: &World, yes: bool) {
    let now = || world.metric("front", "nidbridge_broker_connected", "front") > 0.5;
    eventually(SOON, "the front sees the broker come and go", async || (now() == yes).then_some(())).await;
}

async fn front_before(world: &mut World, hold: &str) -> ChaosProxy {
    let proxy = world.proxy_to_broker().await;
    world.set("FRONT_HOLD", hold);
    world.set("PUBLISH_TIMEOUT", "1s");
    world.start("front");
    world.ready("front").await;
    connected(world, true).await;
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_waits_for_the_broker_and_is_then_refused() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let people = births(3, 141);
    let posts = people.iter().map(|one| Post::new(&token(&world, one), bundle(one).to_string()));
    let posts: Vec<Post> = posts.collect();
    let proxy = front_before(&mut world, "1s").await;
    proxy.cut();
    connected(&world, false).await;
    let begun = Instant::now();
    let refused = posts[0].to(&world.front).await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "it was not held: {:?}", begun.elapsed());
    let message = boom(&refused, "cut", 503, "Service Unavailable");
    assert!(message.contains("nothing was stored: submit the record again"), "{message}");
    proxy.restore();
    connected(&world, true).await;
    assert_eq!(stored(&world).await.len(), 0);
    assert_eq!(posts[0].to(&world.front).await.status, 202);
    // The broker takes the message without a confirm. It may be stored, so the front does not try
    // again within the same request.
    proxy.blackhole();
    let message = boom(&posts[1].to(&world.front).await, "silence", 503, "Service Unavailable");
    assert!(message.contains("did not confirm in time: submit the record again"), "{message}");
    proxy.restore();
    for (metric, outcome) in [
        ("nidbridge_received_total", "broker_away"),
        ("nidbridge_received_total", "unconfirmed"),
        ("nidbridge_published_total", "unknown"),
        ("nidbridge_published_total", "confirmed"),
    ] {
        assert_eq!(world.metric("front", metric, &format!("outcome=\"{outcome}\"")), 1.0, "{outcome}");
    }
    assert_eq!(world.terminate("front").await, Some(0));

    let proxy = front_before(&mut world, "60s").await;
    proxy.cut();
    connected(&world, false).await;
    let (post, front) = (posts[2].clone(), world.front.clone());
    let held = tokio::spawn(async move { post.to(&front).await });
    let tried = || world.metric("front", "nidbridge_published_total", "not_sent") > 0.0;
    eventually(SOON, "a try that fails", async || tried().then_some(())).await;
    assert!(!held.is_finished());
    let back = jiff::Timestamp::now();
    proxy.restore();
    assert_eq!(held.await.unwrap().status, 202);
    // The second registration may have been stored when the network came back. The others are
    // stored once.
    let found = stored(&world).await;
    // Nothing may be written to OpenCRVS before it has our answer, so the time in the front does
    // not count as age of the attempt.
    let last = found.iter().find(|one| one.correlation_id.as_ref() == Some(&people[2].record)).unwrap();
    assert!(view(last).0.registration.accepted_at >= back);
    let found: Vec<String> = found.into_iter().filter_map(|one| one.correlation_id).collect();
    let times = |n: usize| found.iter().filter(|record| **record == people[n].record).count();
    assert_eq!((times(0), times(2)), (1, 1), "{found:?}");
    assert!(times(1) <= 1, "{found:?}");
}
