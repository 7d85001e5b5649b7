//! Does what an operator does after an alert.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use nidbridge::sandbox::opencrvs::{Claims, Release};
use tokio::process::Command;
use tokio::time::timeout;

use super::rig::Rig;
use super::roles::CONFIRMER;

/// Gives every registration whose token is worthless a fresh token, made from the token of an
/// active user, as the cause `token_orphaned` requires.
pub async fn replace_tokens(rig: &Rig) {
    // Nothing that is in 2.1 from the start has a token.
    if !rig.has_tokens {
        return;
    }
    let claims = rig.opencrvs.record_claims("no-record");
    let claims = Claims { record_id: None, scope: vec!["register".to_owned()], ..claims };
    let file = rig.dir.join("user.jwt");
    std::fs::write(&file, rig.opencrvs.mint(&claims).expect("a token")).expect("a file");
    let file = file.to_string_lossy();
    run(rig, &["tokens", "replace", "--all-orphaned", "--subject-token-file", &file]).await;
}

/// Has the ID system asked again about every record to which it gave the ID of another person, and
/// has the client answer what was parked before the upgrade because its token was worthless.
pub async fn resume(rig: &Rig) {
    resume_cause(rig, "id_of_another_record", "the ID system was asked").await;
    if rig.client.is_some() && rig.opencrvs.release() == Release::V2_1 {
        resume_cause(rig, "token_refused", "the client answers").await;
    }
}

async fn resume_cause(rig: &Rig, cause: &str, reason: &str) {
    run(rig, &["attempts", "resume", "--cause", cause, "--reason", reason]).await;
}

async fn run(rig: &Rig, words: &[&str]) {
    let log = File::options().create(true).append(true).open(rig.dir.join("operator.log")).expect("a log");
    let confirmer = rig.of(CONFIRMER)[0];
    let mut command = Command::from(confirmer.process.recipe.command(words.iter().copied()));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).kill_on_drop(true);
    // A command that fails is run again a moment later.
    drop(timeout(Duration::from_secs(30), command.status()).await);
}
