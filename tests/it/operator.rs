//! The operator's commands, run as processes: listing, reconciling, resuming, and rotating keys.

mod attempts;
pub mod decide;
mod demo;
mod failing;
mod parked;
mod queue;
mod reconcile;
mod refused;
mod seal;
mod signals;

use std::process::Stdio;

use serde_json::Value;

use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};

/// Runs a command that prints one line of JSON, and returns it.
pub async fn json_of(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = world.run(args, &[]).await;
    let value = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    (code, value)
}

/// The exit code, stdout and stderr of a command.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end, with these settings over those of the roles.
pub async fn ended(world: &World, args: &[&str], settings: &[(&str, &str)]) -> Ended {
    let mut command = world.command("", args);
    command.env("ADMIN_LISTEN", format!("127.0.0.1:{}", free_port()));
    command.envs(settings.iter().copied()).stdin(Stdio::null());
    let mut command = tokio::process::Command::from(command);
    let output = tokio::time::timeout(SOON, command.kill_on_drop(true).output()).await;
    let output = output.unwrap_or_else(|_| panic!("{args:?} has not ended")).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
