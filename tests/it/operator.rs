//! What an operator does: looks, compares, lets go on, seals anew. The commands are the product's own, as processes.

mod attempts;
mod demo;
mod queue;
mod reconcile;
mod refused;
mod seal;

use std::process::Stdio;

use serde_json::Value;

use crate::harness::http::free_port;
use crate::harness::world::World;

/// Runs a command that prints one line of JSON.
pub async fn json_of(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = world.run(args, &[]).await;
    let value = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    (code, value)
}

/// How a command ended: its exit code, what it printed, and what it said of its work.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end, with these settings over the world's.
pub async fn ended(world: &World, args: &[&str], settings: &[(&str, &str)]) -> Ended {
    let mut command = world.command("", args);
    command.env("ADMIN_LISTEN", format!("127.0.0.1:{}", free_port()));
    command.envs(settings.iter().copied()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
