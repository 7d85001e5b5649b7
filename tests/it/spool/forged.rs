//! Files in the spool that the front did not write: they are set aside under another name, neither
//! published nor deleted, and the operator is told. The genuine ones arrive once.

use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::{Declaration, Kind};
use serde_json::Value;

use super::Story;
use crate::harness::eventually;
use crate::harness::world::SOON;
use crate::pipeline::people;

/// The second line of a file, with another number and kind of event.
fn changed(file: &Path) -> Vec<u8> {
    let text = fs::read_to_string(file).unwrap();
    let mut content: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    content["message"]["registration"]["number"] = "2026B000001".into();
    content["message"]["registration"]["kind"] = "death".into();
    format!("{content}\n").into_bytes()
}

/// A file as releases wrote it that did not authenticate their files. Anybody can make one.
fn unsigned(content: &[u8]) -> Vec<u8> {
    let checksum = URL_SAFE_NO_PAD.encode(digest(&SHA256, content));
    [format!("nidbridge-spool.v1 {checksum}\n").as_bytes(), content].concat()
}

async fn warning(story: &Story, with: &'static str) -> String {
    let warned = async || {
        let (_, body) = story.world.admin("front", "/readyz")?;
        let body: Value = serde_json::from_str(&body).ok()?;
        Some(body["warnings"]["front_spool"].as_str()?.to_owned()).filter(|text| text.contains(with))
    };
    eventually(SOON, "the front warns of its spool", warned).await
}

fn untouched(story: &Story, declaration: &Declaration) {
    let record = story.world.opencrvs.record(&declaration.record).unwrap();
    assert_eq!(record.status(), Status::WaitingValidation);
    assert!(record.numbers.is_empty() && record.confirms.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_front_did_not_write_is_set_aside_and_never_published() {
    let mut story = Story::new(&[]).await;
    let people = people(Kind::Birth, 5, 331);
    story.spooled(&people).await;
    story.world.kill9("front");
    let files = story.files(".registration");
    // An edited one, one that pretends to be of an earlier release, and a truncated one.
    let header = fs::read_to_string(&files[0]).unwrap().lines().next().unwrap().to_owned();
    let edited = [header.as_bytes(), b"\n", changed(&files[0]).as_slice()].concat();
    let cut = fs::read(&files[2]).unwrap()[..400].to_vec();
    let forged = [edited, unsigned(&changed(&files[1])), cut];
    for (file, content) in files.iter().zip(&forged) {
        fs::write(file, content).unwrap();
    }
    // A copy under the name of another attempt.
    let name = files[3].file_name().unwrap().to_str().unwrap();
    let copy = story.spool.join(format!("2020{}", &name[4..]));
    fs::copy(&files[3], &copy).unwrap();

    story.broker.restore();
    story.start(&["front"]).await;
    story.all_are_registered_once(&people[3..]).await;
    let aside = |file: &Path| fs::read(format!("{}.corrupt", file.display())).unwrap();
    for (file, content) in files.iter().zip(&forged) {
        assert_eq!(&aside(file), content, "it stays as it was found");
    }
    assert!(!aside(&copy).is_empty());
    assert_eq!(story.files(".corrupt").len(), 4);
    for one in &people[..3] {
        untouched(&story, one);
    }
    assert_eq!(story.world.opencrvs.tally().confirmed_twice, 0);
    assert_eq!(story.metric("nidbridge_alarms_total", "spool_corrupt"), 4.0);
    let told = warning(&story, "4 registrations").await;
    for why in ["truncated, changed or renamed", "set FRONT_SPOOL_UNSIGNED=true", "2020"] {
        assert!(told.contains(why), "{told}");
    }
    assert!(story.world.log_text("front").contains("a spooled registration cannot be relayed"));
}

/// The way of an upgrade during an outage: nothing that was answered 202 is lost.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_earlier_release_are_published_once_the_operator_says_that_they_are_genuine() {
    let mut story = Story::new(&[]).await;
    let people = people(Kind::Birth, 1, 332);
    story.spooled(&people).await;
    story.world.kill9("front");
    let file = story.files(".registration").remove(0);
    let text = fs::read_to_string(&file).unwrap();
    let content = format!("{}\n", text.lines().nth(1).unwrap());
    fs::write(&file, unsigned(content.as_bytes())).unwrap();
    story.broker.restore();
    story.start(&["front"]).await;
    warning(&story, "set FRONT_SPOOL_UNSIGNED=true, rename the file back").await;
    untouched(&story, &people[0]);
    assert_eq!(story.world.terminate("front").await, Some(0));
    fs::rename(format!("{}.corrupt", file.display()), &file).unwrap();
    story.world.set_for("front", "FRONT_SPOOL_UNSIGNED", "true");
    story.start(&["front"]).await;
    story.all_are_registered_once(&people).await;
    let said = story.world.log_text("front");
    assert!(said.contains("FRONT_SPOOL_UNSIGNED is on: whoever can write to the spool"), "{said}");
}
