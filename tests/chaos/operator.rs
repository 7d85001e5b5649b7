//! Does what an operator does after an alert.

use std::process::Stdio;
use std::time::Duration;

use nidbridge::sandbox::opencrvs::Claims;
use tokio::process::Command;

use super::stage::Stage;

/// Gives every registration whose token is worthless a fresh token, made from the token of an
/// active user, as the cause `token_orphaned` requires.
pub async fn replace_tokens(stage: &Stage) {
    let claims = stage.opencrvs.record_claims("no-record");
    let claims = Claims { record_id: None, scope: vec!["register".to_owned()], ..claims };
    let file = stage.dir.join("user.jwt");
    std::fs::write(&file, stage.opencrvs.mint(&claims).expect("a token")).expect("a file");
    let file = file.to_string_lossy();
    run(stage, &["tokens", "replace", "--all-orphaned", "--subject-token-file", &file]).await;
}

/// Has the ID system asked again about every record to which it gave the ID of another person.
pub async fn resume(stage: &Stage) {
    let why = ["--cause", "id_of_another_record", "--reason", "the ID system was asked"];
    run(stage, &[["attempts", "resume"].as_slice(), &why].concat()).await;
}

async fn run(stage: &Stage, words: &[&str]) {
    let log = std::fs::File::options().create(true).append(true).open(stage.dir.join("operator.log"));
    let log = log.expect("a log");
    let confirmer = stage.of("confirmer")[0];
    let mut command = Command::new(env!("CARGO_BIN_EXE_nidbridge"));
    command
        .args(words)
        .env_clear()
        .envs(&confirmer.process.recipe.environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .kill_on_drop(true);
    // A command that fails is run again a moment later.
    drop(tokio::time::timeout(Duration::from_secs(30), command.status()).await);
}
