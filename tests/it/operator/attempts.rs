//! `nidbridge attempts`: a parked attempt is listed, explained, and resumed once from where it
//! stopped.

use nidbridge::domain::Cause;
use nidbridge::ledger::HistoryEntry;
use nidbridge::pipeline::names;
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::{Declaration, Kind};
use serde_json::Value;

use super::json_of;
use crate::gateway::{confirmed_once, confirms, standing, submitted};
use crate::harness::eventually;
use crate::harness::ledgers::{Engine, SEAL_KEYS};
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![
    what_is_parked_is_found_explained_and_goes_on_once,
    a_resumed_attempt_goes_on_from_every_stage,
];

const OTHER_KEY: &str = "other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The registrar of a record is no longer active, so OpenCRVS refuses the answer.
async fn parked(world: &World, declarations: &[Declaration]) {
    for declaration in declarations {
        submitted(world, declaration).await;
        let registrar = world.opencrvs.record(&declaration.record).unwrap().registrar;
        world.opencrvs.faults().deactivate(&registrar, true);
    }
    for declaration in declarations {
        standing(world, &declaration.record, "parked", "its registrar has left").await;
    }
}

fn reactivate(world: &World, declarations: &[Declaration]) {
    for declaration in declarations {
        let registrar = world.opencrvs.record(&declaration.record).unwrap().registrar;
        world.opencrvs.faults().deactivate(&registrar, false);
    }
}

fn attempts(list: &Value) -> Vec<String> {
    let attempts = list["attempts"].as_array().unwrap();
    attempts.iter().map(|one| one["attempt"].as_str().unwrap().to_owned()).collect()
}

async fn resumed(world: &World, record: &str) -> Vec<HistoryEntry> {
    world.history(record).await.into_iter().filter(|entry| entry.what == "resumed").collect()
}

async fn what_is_parked_is_found_explained_and_goes_on_once(engine: Engine) {
    // The outcomes wait until every registrar has left.
    let world = World::with(engine, &[("CONFIRM_DELAY", "2s")]).await;
    let all = people(Kind::Marriage, 3, 71);
    parked(&world, &all).await;
    let (code, list) = json_of(&world, &["attempts", "list", "--state", "parked", "--json"]).await;
    assert_eq!((code, attempts(&list).len()), (Some(0), 3), "{list}");
    let left = list["attempts"][0]["token_hours_left"].as_f64().unwrap();
    assert!((167.0..=168.0).contains(&left), "{list}");
    for (none, filter) in [
        (0, &["--cause", "unsealable"][..]),
        (0, &["--expiring-within", "1h"]),
        (0, &["--office", "nowhere"]),
        (3, &["--cause", "registrar_inactive", "--expiring-within", "8d"]),
        (2, &["--limit", "2"]),
    ] {
        let (_, list) = json_of(&world, &[&["attempts", "list", "--json"], filter].concat()).await;
        assert_eq!(attempts(&list).len(), none, "{filter:?}");
    }
    let (_, groups) = json_of(&world, &["attempts", "list", "--group", "--json"]).await;
    assert_eq!((&groups[0]["cause"], groups[0]["count"].as_u64()), (&"registrar_inactive".into(), Some(3)));
    let (code, story) = world.run(&["attempts", "show", &all[0].tracking_id], &[]).await;
    assert_eq!(code, Some(0));
    assert!(story.contains("registrar_inactive") && story.contains("have the account activated"), "{story}");
    let one = attempts(&list).remove(0);
    let (code, rehearsal) = world.run(&["attempts", "resume", &one, "--dry-run"], &[]).await;
    assert_eq!((code, rehearsal.as_str()), (Some(0), "would be resumed: 1\n"));
    assert_eq!(world.run(&["attempts", "resume", &one], &[]).await.0, Some(2), "a reason is asked for");
    reactivate(&world, &all);
    let why = ["--reason", "is back", "--by", "ada"];
    let (code, done) = world.run(&[&["attempts", "resume", &one][..], &why].concat(), &[]).await;
    assert_eq!((code, done.as_str()), (Some(0), "resumed: 1; already under way: 0\n"));
    let by_cause = [&["attempts", "resume", "--cause", "registrar_inactive"][..], &why].concat();
    let (code, done) = world.run(&by_cause, &[]).await;
    assert_eq!((code, done.as_str()), (Some(0), "resumed: 2; already under way: 0\n"));
    for declaration in &all {
        confirmed_once(&world, &declaration.record, "resumed").await;
        let told = resumed(&world, &declaration.record).await;
        assert_eq!((told.len(), told[0].why.as_deref()), (1, Some("is back")));
        assert!(told[0].who.starts_with("operator ada "), "{}", told[0].who);
        assert_eq!(told[0].cause, Some(Cause::RegistrarInactive.into()));
    }
    let (code, _) = world.run(&[&["attempts", "resume", &one][..], &why].concat(), &[]).await;
    assert_eq!(code, Some(1), "what has ended does not go on");
}

async fn a_resumed_attempt_goes_on_from_every_stage(engine: Engine) {
    let mut world = World::empty(engine, &[]).await;
    world.set_for("front", "SEAL_KEYS", OTHER_KEY);
    for role in ["worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    // Otherwise the front would be refused.
    world.purge(names::DEPLOYMENT).await;
    world.start("front");
    world.ready("front").await;
    // Parked before the decision whether to ask: only the front has the key of these.
    let mut sealed = people(Kind::Marriage, 1, 72);
    sealed.extend(people(Kind::Birth, 1, 73));
    for declaration in &sealed {
        submitted(&world, declaration).await;
        let standing = standing(&world, &declaration.record, "parked", "another key").await;
        assert_eq!(standing.cause, Some(Cause::Unsealable.into()));
    }
    let both = format!("{SEAL_KEYS},{OTHER_KEY}");
    world.set("SEAL_KEYS", &both);
    world.set_for("front", "SEAL_KEYS", &both);
    for role in ["front", "worker", "confirmer"] {
        world.kill9(role);
        world.start(role);
        world.ready(role).await;
    }
    let resume = ["attempts", "resume", "--reason", "mended", "--cause"];
    let (code, _) = world.run(&[&resume[..], &["unsealable"]].concat(), &[]).await;
    assert_eq!(code, Some(0));
    for declaration in &sealed {
        confirmed_once(&world, &declaration.record, "sealed with another key").await;
    }
    // Parked after asking: the ID belongs to another record.
    let twins = people(Kind::Birth, 2, 74);
    for declaration in &twins {
        let request = request_of(&declaration.record, "birth");
        world.nid.will_answer(&request, Final::Issued("1234567890".to_owned()));
        submitted(&world, declaration).await;
        let end = if declaration.record == twins[0].record { "confirmed" } else { "parked" };
        stands_as(&world, &declaration.record, end).await;
    }
    let repeats = world.nid.state().repeats;
    let (code, _) = world.run(&[&resume[..], &["id_of_another_record"]].concat(), &[]).await;
    assert_eq!(code, Some(0));
    eventually(SOON, "it is asked again", async || (world.nid.state().repeats > repeats).then_some(())).await;
    stands_as(&world, &twins[1].record, "parked").await;
    assert_eq!(confirms(&world, &twins[1].record), 0, "the ID system repeats its answer, as it must");
    // Parked without a number: another record has the same tracking id.
    let mut clash = people(Kind::Marriage, 1, 75).remove(0);
    clash.tracking_id.clone_from(&sealed[0].tracking_id);
    submitted(&world, &clash).await;
    let standing = standing(&world, &clash.record, "parked", "no number").await;
    assert_eq!(standing.cause, Some(Cause::NumberTaken.into()));
    let numbered = [&resume[..], &["number_taken"]].concat();
    assert_eq!(world.run(&numbered, &[]).await.0, Some(1), "the template makes the same number again");
    let (code, _) = world.run(&numbered, &[("NUMBER_TEMPLATE", "{year}-2-{tracking_id}")]).await;
    assert_eq!(code, Some(0));
    ends_as(&world, &clash.record, Status::Registered).await;
    assert!(world.opencrvs.record(&clash.record).unwrap().numbers[0].contains("-2-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_reason_of_a_rejection() {
    let world = World::new(Engine::Sqlite).await;
    let family = people(Kind::Birth, 1, 73).remove(0);
    world.nid.will_answer(&request_of(&family.record, "birth"), Final::Rejected("invalid_data"));
    submitted(&world, &family).await;
    stands_as(&world, &family.record, "held").await;
    let (code, story) = json_of(&world, &["attempts", "show", &family.tracking_id, "--json"]).await;
    assert_eq!(
        (code, &story[0]["attempts"][0]["reason"]["code"]),
        (Some(0), &"invalid_data".into()),
        "{story}"
    );
    let (_, table) = world.run(&["attempts", "show", &family.tracking_id], &[]).await;
    assert!(table.contains("rejected: invalid_data"), "{table}");
}
