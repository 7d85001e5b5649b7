//! The front's spool: while the broker is away, a registration is on the front's disk before it is
//! answered 202, and it is registered once when the broker is back, whatever happens to the front
//! in between.

mod disk;
mod forged;
mod orphan;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use nidbridge::sandbox::opencrvs::{CallResult, Status, SubmitOptions};
use nidbridge::sandbox::population::{AttemptFacts, Declaration, Kind};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::harness::{ChaosProxy, eventually};
use crate::pipeline::{ends_as, people};

const HOLD: Duration = Duration::from_secs(3);
const CANARY: &str = "Kanariewogelqx";

/// A bridge whose front has a spool, and a proxy between the front and the broker.
pub struct Story {
    pub world: World,
    pub broker: ChaosProxy,
    pub spool: PathBuf,
}

impl Story {
    pub async fn new(settings: &[(&str, &str)]) -> Self {
        let mut story = Self::empty(settings).await;
        story.start(&["front", "worker", "confirmer"]).await;
        story.front_has_connected().await;
        story
    }

    /// No role runs yet.
    pub async fn empty(settings: &[(&str, &str)]) -> Self {
        let mut world = World::empty(Engine::Sqlite, &[("FRONT_HOLD", "3s")]).await;
        let spool = world.dir.join("spool");
        fs::create_dir(&spool).unwrap();
        world.set_for("front", "FRONT_SPOOL", spool.to_str().unwrap());
        for (name, value) in settings {
            world.set_for("front", name, value);
        }
        let broker = world.proxy_before_broker("front").await;
        Self { world, broker, spool }
    }

    pub async fn start(&mut self, roles: &[&'static str]) {
        for role in roles {
            self.world.start(role);
        }
        for role in roles {
            self.world.ready(role).await;
        }
    }

    /// The status of the answer; 0 if there was none.
    pub async fn submit(&self, declaration: &Declaration) -> u16 {
        let options = SubmitOptions { corrected: Some(CANARY.to_owned()), ..SubmitOptions::default() };
        let submitted = self.world.opencrvs.submit(declaration, &self.world.front, options).await.unwrap();
        match submitted.result {
            CallResult::Status(status) => status,
            CallResult::NoAnswer(_) => 0,
        }
    }

    /// Waits until the broker has admitted the front, in this run or an earlier one.
    pub async fn front_has_connected(&self) {
        let connected = async || self.files("admitted").len().eq(&1).then_some(());
        eventually(SOON, "the broker has admitted the front", connected).await;
    }

    pub async fn spooled(&self, declarations: &[Declaration]) {
        self.front_has_connected().await;
        self.broker.cut();
        for declaration in declarations {
            assert_eq!(self.submit(declaration).await, 202, "{}", self.world.log_text("front"));
        }
        assert_eq!(self.files(".registration").len(), declarations.len());
    }

    /// The names of the spool's files with this extension, in order.
    pub fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.spool).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.to_str().unwrap().ends_with(ending));
        files.sort();
        files
    }

    /// Waits until the spool is empty and every record is registered once.
    pub async fn all_are_registered_once(&self, declarations: &[Declaration]) {
        eventually(SOON, "the spool is empty", async || self.files(".registration").is_empty().then_some(()))
            .await;
        // Full queues refuse messages, so the spool drains in many rounds.
        let done = |one: &Declaration| {
            self.world
                .opencrvs
                .record(&one.record)
                .is_some_and(|record| record.status() == Status::Registered)
        };
        let all = async || declarations.iter().all(done).then_some(());
        eventually(SOON * 4, "all are registered", all).await;
        for declaration in declarations {
            ends_as(&self.world, &declaration.record, Status::Registered).await;
            let record = self.world.opencrvs.record(&declaration.record).unwrap();
            assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1));
        }
    }

    pub fn metric(&self, name: &str, with: &str) -> f64 {
        self.world.metric("front", name, with)
    }
}

/// A front that has never reached the broker may seal with a key that nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn a_front_spools_only_once_the_broker_has_admitted_it_with_its_key() {
    let mut story = Story::empty(&[("FRONT_HOLD", "300ms")]).await;
    let people = people(Kind::Birth, 4, 307);
    story.broker.cut();
    story.start(&["front"]).await;
    assert_eq!(story.submit(&people[0]).await, 503);
    assert_eq!(story.files(".registration").len(), 0);
    story.broker.restore();
    story.front_has_connected().await;
    assert_eq!(story.submit(&people[1]).await, 202);
    // A slow publisher confirm spools the registration for a moment.
    let relayed = async || story.files(".registration").is_empty().then_some(());
    eventually(SOON, "nothing is spooled", relayed).await;
    assert_eq!(story.world.terminate("front").await, Some(0));
    // After a restart it need not reach the broker first, unless it has another key.
    story.broker.cut();
    story.start(&["front"]).await;
    assert_eq!(story.submit(&people[2]).await, 202);
    assert_eq!(story.files(".registration").len(), 1);
    assert_eq!(story.world.terminate("front").await, Some(0));
    let other = "other:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    story.world.set_for("front", "SEAL_KEYS", other);
    story.start(&["front"]).await;
    assert_eq!(story.submit(&people[3]).await, 503);
    assert_eq!(story.files(".registration").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_the_broker_cannot_take_is_spooled_sealed_and_registered_once() {
    let mut story = Story::new(&[]).await;
    let (mut people, later) = (people(Kind::Birth, 4, 301), people(Kind::Birth, 1, 302));
    let last = people.split_off(3);
    story.broker.cut();
    story.spooled(&people[..1]).await;
    // Only the first caller waits. After it, the front knows that the broker is away.
    let begun = Instant::now();
    assert_eq!(story.submit(&people[1]).await, 202);
    assert!(begun.elapsed() < HOLD, "{:?}", begun.elapsed());
    assert_eq!(story.submit(&people[2]).await, 202);
    let files = story.files(".registration");
    assert_eq!(files.len(), 3);
    assert!(story.files(".tmp").is_empty());
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert_eq!(story.metric("nidbridge_spooled_total", ""), 3.0);
    assert_eq!(story.metric("nidbridge_spool_files", ""), 3.0);
    assert_eq!(story.metric("nidbridge_spool_bytes", ""), f64::from(u32::try_from(bytes).unwrap()));
    story.world.ready("front").await;
    for (file, declaration) in files.iter().zip(&people) {
        nothing_is_in_clear(&fs::read_to_string(file).unwrap(), declaration);
    }
    story.broker.restore();
    story.all_are_registered_once(&people).await;
    eventually(SOON, "the gauges are at 0", async || {
        (story.metric("nidbridge_spool_files", "") + story.metric("nidbridge_spool_bytes", "") == 0.0)
            .then_some(())
    })
    .await;
    // With the broker back, a registration goes to the broker at once.
    assert_eq!(story.submit(&later[0]).await, 202);
    assert_eq!(story.metric("nidbridge_spooled_total", ""), 3.0);
    story.all_are_registered_once(&later).await;
    // A registration that the broker may have stored without confirming is spooled too.
    story.broker.blackhole();
    assert_eq!(story.submit(&last[0]).await, 202);
    assert_eq!(story.metric("nidbridge_spooled_total", ""), 4.0);
    story.broker.restore();
    story.all_are_registered_once(&last).await;
    assert_eq!(story.world.opencrvs.tally().confirmed_twice, 0);
    assert_eq!(story.world.nid.state().persons_doubled, 0);
    assert_eq!(story.world.terminate("front").await, Some(0));
}

/// Checks that a file contains no name, date of birth, personal number or token, in clear or in
/// base64.
fn nothing_is_in_clear(file: &str, declaration: &Declaration) {
    let bundle = declaration
        .bundle(&AttemptFacts { last_modified: "2026-01-01T00:00:00.000Z".into(), earlier: vec![] });
    let mut secrets = vec![CANARY.to_owned(), "eyJhbGci".to_owned(), "eyJ0eXAi".to_owned()];
    for entry in bundle["entry"].as_array().unwrap() {
        let resource = &entry["resource"];
        if resource["resourceType"] == "Patient" {
            for part in ["name", "identifier", "telecom", "birthDate", "address"] {
                values(&resource[part], &mut secrets);
            }
        }
    }
    secrets.retain(|secret| secret.len() > 4);
    assert!(secrets.len() > 5, "{secrets:?}");
    for secret in secrets {
        let encoded = URL_SAFE_NO_PAD.encode(&secret);
        let standard = STANDARD_NO_PAD.encode(&secret);
        for form in [&secret, &encoded, &standard] {
            assert!(!file.contains(form.as_str()), "{secret} is in the spool");
        }
    }
    assert!(file.contains(&declaration.record), "the file is of this record");
}

fn values(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| values(one, into)),
        Value::Object(all) => all.values().for_each(|one| values(one, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_is_killed_while_it_spools_loses_nothing_that_it_answered() {
    let mut story = Story::new(&[]).await;
    let people = people(Kind::Birth, 40, 303);
    story.spooled(&people[..1]).await;
    let answers = {
        let submitting = join_all(people[1..].iter().map(|one| story.submit(one)));
        let opencrvs = &story.world.opencrvs;
        let killing = async {
            eventually(SOON, "some are spooled", async || {
                (story.files(".registration").len() >= 8).then_some(())
            })
            .await;
            kill_process(story.world.pid("front"), Signal::KILL).unwrap();
        };
        let (answers, ()) = tokio::join!(submitting, killing);
        assert!(opencrvs.tally().records >= 40);
        answers
    };
    story.world.kill9("front");
    let answered: Vec<Declaration> = std::iter::once(&people[0])
        .chain(people[1..].iter().zip(&answers).filter(|(_, status)| **status == 202).map(|(one, _)| one))
        .cloned()
        .collect();
    let files = story.files(".registration");
    assert!(files.len() >= answered.len(), "{} answered, {} on the disk", answered.len(), files.len());
    // A file that a crash left behind, and a file that somebody else put there.
    let name = files[0].file_name().unwrap().to_str().unwrap();
    fs::write(story.spool.join(format!("{name}.99.tmp")), "half of").unwrap();
    fs::write(story.spool.join("notes.txt"), "not ours").unwrap();
    story.start(&["front"]).await;
    assert!(story.files(".tmp").is_empty());
    assert_eq!(story.files("notes.txt").len(), 1);
    assert_eq!(story.metric("nidbridge_spool_files", ""), f64::from(u32::try_from(files.len()).unwrap()));
    story.broker.restore();
    story.all_are_registered_once(&answered).await;
    assert_eq!(story.world.opencrvs.tally().confirmed_twice, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sends_registrations_to_the_spool() {
    let mut story = Story::empty(&[]).await;
    for role in ["front", "worker", "confirmer"] {
        story.world.set_for(role, "BROKER_MAX_LENGTH", "8");
    }
    story.start(&["front"]).await;
    let people = people(Kind::Birth, 12, 304);
    for one in &people {
        assert_eq!(story.submit(one).await, 202);
    }
    assert!(story.files(".registration").len() >= 3, "{:?}", story.files(".registration"));
    // `spool relay` is refused as well, and deletes nothing.
    let spooled = story.files(".registration");
    let refused = || story.metric("nidbridge_published_total", "refused");
    let directly = story.metric("nidbridge_spooled_total", "");
    eventually(SOON, "the relay is refused", async || (refused() > directly + 1.0).then_some(())).await;
    assert_eq!(story.files(".registration"), spooled);
    story.start(&["worker", "confirmer"]).await;
    story.all_are_registered_once(&people).await;
}
