//! The lock of the spool: only one front at a time uses the spool, and `nidbridge spool relay`
//! drains it when its front is gone.

use std::process::Output;

use nidbridge::sandbox::population::Kind;

use super::Story;
use crate::harness::world::SOON;
use crate::pipeline::people;

async fn run(story: &Story, arguments: &[&str]) -> (Option<i32>, String) {
    run_with(story, arguments, None).await
}

async fn run_with(story: &Story, arguments: &[&str], setting: Option<(&str, &str)>) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::from(story.world.command("front", arguments));
    command.kill_on_drop(true);
    command.env("FRONT_LISTEN", "127.0.0.1:0").env("ADMIN_LISTEN", "127.0.0.1:0").envs(setting);
    let ended = tokio::time::timeout(SOON, command.output()).await.expect("it ends by itself");
    let Output { status, stdout, stderr } = ended.unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_has_a_spool_and_an_orphan_is_drained_by_hand() {
    let mut story = Story::new(&[("FRONT_HOLD", "200ms")]).await;
    let directory = story.spool.to_str().unwrap().to_owned();
    let relay = ["spool", "relay", directory.as_str()];
    let people = people(Kind::Birth, 3, 321);
    story.spooled(&people).await;

    let (code, said) = run(&story, &["front"]).await;
    assert_eq!(code, Some(69), "{said}");
    let why = format!("FRONT_SPOOL (front.spool): the spool {directory} is in use by another process");
    assert!(said.contains(&why), "{said}");
    let (code, said) = run(&story, &relay).await;
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");

    story.world.kill9("front");
    let (code, said) = run(&story, &relay).await;
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("relayed 0 registrations") && said.contains("3 registrations left"), "{said}");
    assert_eq!(story.files(".registration").len(), 3);

    story.broker.restore();
    // With other keys, no file could be told from a forged one: nothing is touched.
    let other = ("SEAL_KEYS", "other:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let (code, said) = run_with(&story, &relay, Some(other)).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("nothing was relayed") && said.contains("SEAL_KEYS (seal.keys)"), "{said}");
    assert_eq!(story.files(".registration").len(), 3);
    let (code, said) = run(&story, &relay).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("relayed 3 registrations"), "{said}");
    story.all_are_registered_once(&people).await;
    let (code, said) = run(&story, &relay).await;
    assert_eq!((code, said.contains("nothing to relay")), (Some(0), true), "{said}");
    let (code, said) = run(&story, &["spool", "relay", "/nowhere/at/all"]).await;
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("the spool /nowhere/at/all cannot be used"), "{said}");
}
