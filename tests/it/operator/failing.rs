//! A record that OpenCRVS cannot read: an operator sees why, how often and when it is tried next.

use nidbridge::sandbox::opencrvs::{Calls, Fault};
use nidbridge::sandbox::population::Kind;

use super::json_of;
use crate::gateway::{confirmed_once, submitted};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::people;

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_and_again_shows_its_cause_its_count_and_its_next_try() {
    let world = World::new(Engine::Sqlite).await;
    let birth = people(Kind::Birth, 1, 321).remove(0);
    world.opencrvs.faults().always(Calls::Fetch, Fault::FAILS_BEFORE);
    submitted(&world, &birth).await;
    let failing = eventually(SOON, "it fails again and again", async || {
        let (_, shown) = json_of(&world, &["attempts", "show", &birth.record, "--json"]).await;
        let failing = shown[0]["attempts"][0]["failing"].clone();
        (failing["count"].as_u64()? >= 3).then_some(failing)
    })
    .await;
    assert_eq!(failing["cause"], "gateway_unavailable", "{failing}");
    assert!(failing["next_try_at"].is_string() && failing["since"].is_string(), "{failing}");
    let (_, listed) = world.run(&["attempts", "list"], &[]).await;
    assert!(listed.contains("gateway_unavailable"), "{listed}");
    world.opencrvs.faults().clear();
    confirmed_once(&world, &birth.record, "OpenCRVS can read it again").await;
}
