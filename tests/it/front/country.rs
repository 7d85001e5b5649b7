//! The type of identifier under which OpenCRVS keeps the national ID of a country.

use nidbridge::sandbox::population::{AttemptFacts, Declaration, Kind};

use super::token;
use super::wire::Post;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::people;

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_deceased_is_read_under_the_type_under_which_ids_are_written() {
    let world = World::with(Engine::Sqlite, &[("CONFIRM_IDENTIFIER_TYPE", "NIN")]).await;
    let death = people(Kind::Death, 9, 141).into_iter().find(Declaration::deceased_has_national_id).unwrap();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let bundle = death.bundle(&AttemptFacts { last_modified: now, earlier: Vec::new() }).to_string();
    let body = bundle.replace("\"NATIONAL_ID\"", "\"NIN\"");
    assert_ne!(bundle, body);
    assert_eq!(Post::new(&token(&world, &death), body.as_str()).to(&world.front).await.status, 202);
    eventually(SOON, "the ID system is told", async || {
        (world.nid.state().ended("recorded") == 1).then_some(())
    })
    .await;
}
