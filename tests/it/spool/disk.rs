//! Faults of the spool's disk: damaged files, a full spool, a full disk, a missing directory. A
//! registration that is not stored is never answered 202.

use std::fs;
use std::process::Command;

use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::Kind;

use super::Story;
use crate::harness::eventually;
use crate::harness::world::SOON;
use crate::pipeline::people;

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_set_aside_with_an_alarm_and_the_rest_goes_on() {
    let mut story = Story::new(&[]).await;
    let people = people(Kind::Birth, 3, 311);
    story.spooled(&people).await;
    story.world.kill9("front");
    let files = story.files(".registration");
    let (mut cut, mut changed) = (fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap());
    cut.truncate(cut.len() / 2);
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&files[0], &cut).unwrap();
    fs::write(&files[1], &changed).unwrap();
    story.broker.restore();
    story.start(&["front"]).await;
    story.all_are_registered_once(&people[2..]).await;
    let aside = story.files(".corrupt");
    let names: Vec<_> = files.iter().take(2).map(|file| format!("{}.corrupt", file.display())).collect();
    assert_eq!(aside.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(), names);
    assert_eq!((fs::read(&aside[0]).unwrap(), fs::read(&aside[1]).unwrap()), (cut, changed));
    assert_eq!(story.metric("nidbridge_alarms_total", "spool_corrupt"), 2.0);
    for one in &people[..2] {
        assert_eq!(
            story.world.opencrvs.record(&one.record).unwrap().status(),
            Status::WaitingValidation,
            "an operator knows"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_full_or_gone_is_answered_503_with_an_alarm() {
    // Space for one registration, not for two.
    let story = Story::new(&[("FRONT_SPOOL_MAX", "8KiB"), ("FRONT_HOLD", "200ms")]).await;
    let people = people(Kind::Birth, 4, 312);
    story.spooled(&people[..1]).await;
    let room = fs::metadata(&story.files(".registration")[0]).unwrap().len();
    assert!((4_097..=8_192).contains(&room), "{room} bytes: choose another bound for this test");
    assert_eq!(story.submit(&people[1]).await, 503);
    assert_eq!(story.metric("nidbridge_alarms_total", "spool_full"), 1.0);
    assert_eq!(story.metric("nidbridge_received_total", "spool_full"), 1.0);
    assert_eq!(story.files("").len(), 3, "the lock, the admission and the one that fits");
    assert_eq!(
        story.world.opencrvs.record(&people[1].record).unwrap().status(),
        Status::Rejected,
        "the registrar sees that it did not go"
    );
    story.broker.restore();
    story.all_are_registered_once(&people[..1]).await;
    assert_eq!(story.submit(&people[2]).await, 202);
    story.broker.cut();
    fs::remove_dir_all(&story.spool).unwrap();
    assert_eq!(story.submit(&people[3]).await, 503);
    assert_eq!(story.metric("nidbridge_alarms_total", "spool_unwritable"), 1.0);
    assert_eq!(story.metric("nidbridge_spool_files", ""), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_answered_503_and_what_was_answered_202_is_registered() {
    let mount = "mount -t tmpfs -o size=24k spool \"$FRONT_SPOOL\" && exec \"$@\"";
    let by = ["unshare", "-rm", "/bin/sh", "-c", mount, "sh"];
    let can = Command::new(by[0]).args(["-rm", "/bin/sh", "-c", "mount -t tmpfs x /mnt"]).output();
    if !can.is_ok_and(|tried| tried.status.success()) {
        eprintln!("SKIPPED: no full disk: this machine lets `unshare -rm` mount nothing");
        return;
    }
    let mut story = Story::empty(&[("FRONT_HOLD", "200ms")]).await;
    story.world.start_under("front", &by);
    story.start(&["front", "worker", "confirmer"]).await;
    story.broker.cut();
    let people = people(Kind::Birth, 20, 313);
    let mut answered = Vec::new();
    let mut refused = 0;
    for one in &people {
        match story.submit(one).await {
            202 => answered.push(one.clone()),
            503 => refused += 1,
            other => panic!("{other}"),
        }
        if refused == 2 {
            break;
        }
    }
    assert_eq!(refused, 2, "the disk was not full after {} registrations", answered.len());
    assert!(!answered.is_empty());
    assert_eq!(story.metric("nidbridge_alarms_total", "spool_unwritable"), 2.0);
    let held = f64::from(u32::try_from(answered.len()).unwrap());
    assert_eq!(story.metric("nidbridge_spool_files", ""), held);
    story.broker.restore();
    eventually(SOON, "the spool is empty", async || {
        (story.metric("nidbridge_spool_files", "") == 0.0).then_some(())
    })
    .await;
    story.all_are_registered_once(&answered).await;
}
