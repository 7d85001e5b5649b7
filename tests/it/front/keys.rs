//! The front while auth changes its key or is away.

use std::net::SocketAddr;

use nidbridge::sandbox::opencrvs::{OpencrvsSettings, OpencrvsSim, SubmitOptions};

use super::wire::Post;
use super::{births, boom, bundle, token};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_and_the_last_good_one_survives_a_restart() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let kept = world.dir.join("auth.pem");
    world.set("FRONT_KEY_CACHE", kept.to_str().unwrap());
    world.start("front");
    world.ready("front").await;
    let [first, second, third] = births(3, 111).try_into().unwrap();
    let old = Post::new(&token(&world, &first), bundle(&first).to_string());
    assert_eq!(old.to(&world.front).await.status, 202);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), world.opencrvs.public_key());
    world.opencrvs.rotate_key().unwrap();
    let submitted = world.opencrvs.submit(&second, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), world.opencrvs.public_key());
    let message = boom(&old.to(&world.front).await, "the old key", 401, "Unauthorized");
    assert!(message.contains("AUTH_URL"), "{message}");

    assert_eq!(world.terminate("front").await, Some(0));
    world.set("AUTH_URL", &format!("http://127.0.0.1:{}", free_port()));
    world.start("front");
    world.ready("front").await;
    let post = Post::new(&token(&world, &third), bundle(&third).to_string());
    assert_eq!(post.to(&world.front).await.status, 202);
    // Auth cannot be asked for a newer key, and the last good key does not fit.
    boom(&old.to(&world.front).await, "auth is away", 401, "Unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn until_auth_has_answered_once_registrations_are_answered_503() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let auth = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let kept = world.dir.join("auth.pem");
    std::fs::write(&kept, "no key at all").unwrap();
    world.set("AUTH_URL", &format!("http://{auth}"));
    world.set("FRONT_KEY_CACHE", kept.to_str().unwrap());
    world.start("front");
    let listens = async || world.admin("front", "/livez").map(drop);
    eventually(SOON, "the front listens", listens).await;
    let declaration = births(1, 112).remove(0);
    let post = Post::new(&token(&world, &declaration), bundle(&declaration).to_string());
    for _ in 0..2 {
        let message = boom(&post.to(&world.front).await, "auth is away", 503, "Service Unavailable");
        assert!(message.contains("AUTH_URL"), "{message}");
    }
    let late = OpencrvsSim::start(OpencrvsSettings { auth, ..OpencrvsSettings::default() }).await.unwrap();
    let submitted = late.submit(&declaration, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), late.public_key());
    world.ready("front").await;
    assert_eq!(world.metric("front", "nidbridge_received_total", "outcome=\"no_key\""), 2.0);
}
