//! What an operator does: looks, compares, lets go on, seals anew. The commands are the product's own, as processes.

mod attempts;
mod reconcile;

use serde_json::Value;

use crate::harness::world::World;

/// Runs a command that prints one line of JSON.
pub async fn json_of(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = world.run(args, &[]).await;
    let value = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    (code, value)
}
