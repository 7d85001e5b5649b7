//! `/readyz` of a process whose dependencies are away.

use serde_json::{Value, json};

use super::{opens, submit};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn readyz_names_each_open_breaker_and_each_role_of_one_process() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let (gateway, broker) = (world.proxy_to_gateway().await, world.proxy_to_broker().await);
    world.start("all");
    world.ready("all").await;
    gateway.cut();
    submit(&world, 99, 6).await;
    opens(&world, "all", "gateway").await;
    let ready = json!({"ready": true, "missing": [], "why": {}, "left_alone": ["gateway"], "warnings": {}});
    assert_eq!(readyz(&world), Some((200, ready)));
    broker.cut();
    let missing = json!(["confirmer_broker", "worker_broker"]);
    let named = async || {
        let (status, body) = readyz(&world)?;
        (status == 503 && body["missing"] == missing).then_some(())
    };
    eventually(SOON, "either role's link is missing", named).await;
}

fn readyz(world: &World) -> Option<(u16, Value)> {
    let (status, body) = world.admin("all", "/readyz")?;
    Some((status, serde_json::from_str(&body).ok()?))
}
