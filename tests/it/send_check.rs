//! Before the ID system is asked, the worker reads the registration in OpenCRVS. Nobody
//! gets an ID for an invented person with a token alone.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nidbridge::domain::{AttemptId, Cause, RecordId, State};
use nidbridge::ledger::{About, Alert, Case, Recorded};
use nidbridge::sandbox::opencrvs::{Service, Status, SubmitOptions};
use nidbridge::sandbox::population::{AttemptFacts, Declaration, Kind, correct_name};
use serde_json::{Value, json};

use crate::events;
use crate::events::fields::Country;
use crate::front::wire::{event_taken_down, send, taken_down};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, people, stands_as};
use crate::tokens::user_token;

/// Switches the check on, with a short time for OpenCRVS to show a registration.
const CHECKED: [(&str, &str); 2] = [("SEND_CHECK", "true"), ("SEND_VISIBLE_WITHIN", "300ms")];

/// A request with another body.
fn with_body(request: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let text = std::str::from_utf8(request).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut document: Value = serde_json::from_str(body).unwrap();
    change(&mut document);
    let body = document.to_string();
    let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
    let head: Vec<&str> = head.lines().filter(|line| !is_length(line)).collect();
    format!("{}\r\nContent-Length: {}\r\n\r\n{body}", head.join("\r\n"), body.len()).into_bytes()
}

/// Sets a member of the Patient that is the child.
fn set_birth_date(bundle: &mut Value, date: &str) {
    let born = |entry: &Value| {
        let date = entry.pointer("/resource/birthDate").and_then(Value::as_str).unwrap_or_default();
        date.starts_with("2025-")
    };
    let entries = bundle["entry"].as_array_mut().unwrap();
    let child = entries.iter_mut().find(|entry| born(entry)).expect("a child");
    child["resource"]["birthDate"] = json!(date);
}

/// Sets a field wherever the event's declarations have it.
fn set_field(event: &mut Value, field: &str, value: &Value) {
    for action in event["actions"].as_array_mut().unwrap() {
        if let Some(there) = action.get_mut("declaration").and_then(|fields| fields.get_mut(field)) {
            *there = value.clone();
        }
    }
}

async fn parked(world: &World, record: &str) {
    stands_as(world, record, "parked").await;
    let history = world.history(record).await;
    let parked = history.iter().rfind(|entry| entry.what == "parked").unwrap();
    assert_eq!(parked.cause.as_ref().map(Recorded::<Cause>::as_str), Some("not_in_opencrvs"), "{record}");
}

async fn registered(world: &World, family: &Declaration) {
    let submitted = world.opencrvs.submit(family, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
    ends_as(world, &family.record, Status::Registered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_registration_is_parked_and_the_vendor_sees_nothing_of_it() {
    let world = World::with(Engine::Sqlite, &CHECKED).await;
    let families = people(Kind::Birth, 7, 211);
    registered(&world, &families[0]).await;
    // A record that OpenCRVS does not have.
    let facts = AttemptFacts { last_modified: "2026-11-30T10:00:00.000Z".into(), earlier: Vec::new() };
    let token = world.opencrvs.mint(&world.opencrvs.record_claims(&families[1].record)).unwrap();
    let invented = families[1].bundle(&facts);
    assert!(world.opencrvs.post_invented(&world.front, &token, &invented).await.is_success());
    // A record that waits, with another submission, name or date of birth.
    let genuine = taken_down(&world, &families[2]).await;
    let other_stamp = with_body(&genuine, |bundle| {
        let entries = bundle["entry"].as_array_mut().unwrap();
        let task = entries.iter_mut().find(|entry| entry["resource"]["resourceType"] == "Task").unwrap();
        task["resource"]["lastModified"] = json!("2026-11-29T10:00:00.000Z");
    });
    let genuine = taken_down(&world, &families[3]).await;
    let other_name = with_body(&genuine, |bundle| assert!(correct_name(bundle, "Invented")));
    let genuine = taken_down(&world, &families[4]).await;
    let other_date = with_body(&genuine, |bundle| set_birth_date(bundle, "2025-01-31"));
    // The number is made from the tracking id, so this one would take another record's number.
    let genuine = taken_down(&world, &families[5]).await;
    let stolen = |bundle: &mut Value| bundle.to_string().replace(&families[5].tracking_id, "BSTOLEN");
    let other_tracking_id =
        with_body(&genuine, |bundle| *bundle = serde_json::from_str(&stolen(bundle)).unwrap());
    for request in [other_stamp, other_name, other_date, other_tracking_id] {
        assert_eq!(send(&world.front, &request).await.status, 202);
    }
    for family in &families[1..6] {
        parked(&world, &family.record).await;
    }
    // What OpenCRVS has is sent to the ID system, whoever posts it.
    let genuine = taken_down(&world, &families[6]).await;
    assert_eq!(send(&world.front, &genuine).await.status, 202);
    ends_as(&world, &families[6].record, Status::Registered).await;
    let seen = world.nid.state();
    assert_eq!((seen.persons, seen.requests), (2, 2));
    assert_eq!(world.metric("worker", "nidbridge_send_checks_total", "not_in_opencrvs"), 5.0);
    assert_eq!(world.metric("worker", "nidbridge_alarms_total", "not_in_opencrvs"), 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_event_is_parked_and_the_vendor_sees_nothing_of_it() {
    let world = events::world(Engine::Sqlite, &CHECKED).await;
    let families = people(Kind::Birth, 6, 223);
    let submitted = world.opencrvs.submit_event(&families[0], &world.front, SubmitOptions::default()).await;
    assert!(submitted.unwrap().result.is_success());
    ends_as(&world, &families[0].record, Status::Registered).await;
    let genuine = event_taken_down(&world, &families[1]).await;
    let name = json!({ "firstname": "Invented", "middlename": "", "surname": "Person" });
    let other_name = with_body(&genuine, |event| set_field(event, "child.name", &name));
    let genuine = event_taken_down(&world, &families[2]).await;
    let other_date = with_body(&genuine, |event| set_field(event, "child.dob", &json!("2025-01-31")));
    let genuine = event_taken_down(&world, &families[5]).await;
    let other_tracking_id = with_body(&genuine, |event| event["trackingId"] = json!("BSTOLEN"));
    for request in [other_name, other_date, other_tracking_id] {
        assert_eq!(send(&world.front, &request).await.status, 202);
    }
    // An event that OpenCRVS does not have.
    let invented = families[3].record.clone();
    let mut document = world.opencrvs.event_document(&families[2].record).unwrap();
    document["id"] = json!(invented);
    document["trackingId"] = json!(families[3].tracking_id);
    let action = "0a1b2c3d-0000-4000-8000-000000000001";
    let pending = document["actions"].as_array_mut().unwrap();
    let pending = pending.iter_mut().find(|row| row["type"] == "REGISTER" && row["status"] == "Requested");
    pending.unwrap()["id"] = json!(action);
    let token = world.opencrvs.mint(&world.opencrvs.action_claims(&invented, action)).unwrap();
    let (result, _) = world.opencrvs.post_trigger(&world.front, Kind::Birth, &token, &document).await;
    assert!(result.is_success(), "{result:?}");
    for record in [&families[1].record, &families[2].record, &families[5].record, &invented] {
        parked(&world, record).await;
    }
    let genuine = event_taken_down(&world, &families[4]).await;
    assert_eq!(send(&world.front, &genuine).await.status, 202);
    ends_as(&world, &families[4].record, Status::Registered).await;
    let seen = world.nid.state();
    assert_eq!((seen.persons, seen.requests), (2, 2));
}

/// The attempts about which an operator was alerted because OpenCRVS does not have them.
async fn alerted(world: &World) -> Vec<AttemptId> {
    let (ttl, most_old) = (Duration::from_secs(60), Duration::from_secs(3600));
    let alerts = world.ledger.claim_alerts(100, ttl, most_old).await.unwrap();
    let of = |alert: Alert| match alert.about {
        About::Record { attempt, .. } if alert.cause == Cause::NotInOpencrvs => attempt,
        About::Record { .. } | About::Parking { .. } | About::Many { .. } | About::Client { .. } => None,
    };
    alerts.into_iter().filter_map(of).collect()
}

async fn attempts(world: &World, family: &Declaration) -> Vec<Case> {
    world.ledger.attempts_of(&RecordId::parse(&family.record).unwrap()).await.unwrap()
}

/// Waits until the genuine attempt is back in the state that it had before the invented one came,
/// has the ID system answer, and checks that nothing but the genuine data was seen.
async fn the_genuine_one_is_answered(world: &World, family: &Declaration, genuine: AttemptId) {
    let record = RecordId::parse(&family.record).unwrap();
    eventually(SOON, "the genuine attempt goes on", async || {
        let history = world.ledger.history(&record).await.ok()?;
        history.iter().any(|one| one.what == "revived" && one.attempt == Some(genuine)).then_some(())
    })
    .await;
    world.nid.resume_replies();
    ends_as(world, &family.record, Status::Registered).await;
    stands_as(world, &family.record, "confirmed").await;
    let opencrvs = world.opencrvs.record(&family.record).unwrap();
    assert_eq!((opencrvs.confirms.len(), opencrvs.numbers.len()), (1, 1));
    assert!(opencrvs.identifiers.contains_key("NATIONAL_ID"));
    let seen = world.nid.state();
    assert_eq!((seen.persons, seen.changed_repeats), (1, 0));
    assert!(!format!("{:?}", seen.contents).contains("Invented"));
    let attempts = attempts(world, family).await;
    let invented = attempts.iter().find(|case| case.attempt.id != genuine).unwrap();
    assert_eq!(invented.attempt.state, State::Parked);
    assert_eq!(alerted(world).await, [invented.attempt.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_registration_with_a_later_stamp_does_not_silence_the_genuine_one() {
    let world = World::with(Engine::Sqlite, &CHECKED).await;
    let family = people(Kind::Birth, 1, 233).remove(0);
    world.nid.pause_replies();
    let submitted = world.opencrvs.submit(&family, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
    stands_as(&world, &family.record, "requested").await;
    let genuine = attempts(&world, &family).await.remove(0).attempt.id;
    let later = Timestamp::now() + SignedDuration::from_mins(1);
    let facts = AttemptFacts { last_modified: format!("{later:.3}"), earlier: Vec::new() };
    let mut invented = family.bundle(&facts);
    assert!(correct_name(&mut invented, "Invented"));
    let token = world.opencrvs.mint(&world.opencrvs.record_claims(&family.record)).unwrap();
    assert!(world.opencrvs.post_invented(&world.front, &token, &invented).await.is_success());
    the_genuine_one_is_answered(&world, &family, genuine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_action_with_a_later_time_does_not_silence_the_genuine_one() {
    let world = events::world(Engine::Sqlite, &CHECKED).await;
    let family = people(Kind::Birth, 1, 239).remove(0);
    world.nid.pause_replies();
    let submitted = world.opencrvs.submit_event(&family, &world.front, SubmitOptions::default()).await;
    assert!(submitted.unwrap().result.is_success());
    stands_as(&world, &family.record, "requested").await;
    let genuine = attempts(&world, &family).await.remove(0).attempt.id;
    let mut document = world.opencrvs.event_document(&family.record).unwrap();
    let name = json!({ "firstname": "Invented", "middlename": "", "surname": "Person" });
    set_field(&mut document, "child.name", &name);
    let action = "0a1b2c3d-0000-4000-8000-000000000001";
    let later = Timestamp::now() + SignedDuration::from_mins(1);
    let pending = document["actions"].as_array_mut().unwrap();
    let pending = pending.iter_mut().find(|row| row["type"] == "REGISTER" && row["status"] == "Requested");
    let pending = pending.unwrap();
    pending["id"] = json!(action);
    pending["createdAt"] = json!(format!("{later:.3}"));
    let token = world.opencrvs.mint(&world.opencrvs.action_claims(&family.record, action)).unwrap();
    let (result, _) = world.opencrvs.post_trigger(&world.front, Kind::Birth, &token, &document).await;
    assert!(result.is_success(), "{result:?}");
    the_genuine_one_is_answered(&world, &family, genuine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_death_that_comes_first_leaves_nothing_to_the_genuine_birth() {
    let mut world = World::with(Engine::Sqlite, &CHECKED).await;
    let family = people(Kind::Birth, 1, 241).remove(0);
    let genuine = taken_down(&world, &family).await;
    let record = family.record.clone();
    let mut invented = people(Kind::Death, 1, 251).remove(0);
    invented.record.clone_from(&record);
    assert_ne!(invented.tracking_id, family.tracking_id);
    // Both wait for the worker, so that it records them before it reads OpenCRVS.
    assert_eq!(world.terminate("worker").await, Some(0));
    let later = Timestamp::now() + SignedDuration::from_mins(1);
    let facts = AttemptFacts { last_modified: format!("{later:.3}"), earlier: Vec::new() };
    let token = world.opencrvs.mint(&world.opencrvs.record_claims(&record)).unwrap();
    let invented = invented.bundle(&facts);
    assert!(world.opencrvs.post_invented(&world.front, &token, &invented).await.is_success());
    assert_eq!(send(&world.front, &genuine).await.status, 202);
    world.start("worker");
    ends_as(&world, &record, Status::Registered).await;
    stands_as(&world, &record, "confirmed").await;
    let opencrvs = world.opencrvs.record(&record).unwrap();
    assert!(opencrvs.identifiers.contains_key("NATIONAL_ID"));
    assert!(opencrvs.numbers[0].ends_with(&family.tracking_id), "{:?}", opencrvs.numbers);
    let seen = world.nid.state();
    assert_eq!((seen.persons, seen.requests), (1, 1));
    let history = world.history(&record).await;
    assert!(history.iter().any(|one| one.what == "revived"));
}

/// Waits until the genuine one of two attempts is confirmed although the ID system is asked about
/// neither of them, and the other one is parked.
async fn the_genuine_one_is_confirmed(world: &World, family: &Declaration, cause: &str) {
    ends_as(world, &family.record, Status::Registered).await;
    stands_as(world, &family.record, "confirmed").await;
    assert_eq!(world.opencrvs.record(&family.record).unwrap().confirms.len(), 1);
    assert_eq!(world.nid.state().requests, 0);
    let attempts = attempts(world, family).await;
    let parked = attempts.iter().filter(|case| case.attempt.state == State::Parked);
    let causes: Vec<_> = parked.filter_map(|case| case.attempt.cause.as_ref()).collect();
    assert_eq!(causes.iter().map(|cause| cause.as_str()).collect::<Vec<_>>(), [cause]);
    let history = world.history(&family.record).await;
    assert!(history.iter().any(|one| one.what == "revived"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_registration_that_needs_no_id_does_not_silence_the_genuine_one() {
    let world = World::with(Engine::Sqlite, &CHECKED).await;
    let family = people(Kind::Marriage, 1, 257).remove(0);
    let genuine = taken_down(&world, &family).await;
    let later = Timestamp::now() + SignedDuration::from_mins(1);
    let facts = AttemptFacts { last_modified: format!("{later:.3}"), earlier: Vec::new() };
    let token = world.opencrvs.mint(&world.opencrvs.record_claims(&family.record)).unwrap();
    let invented = family.bundle(&facts);
    assert!(world.opencrvs.post_invented(&world.front, &token, &invented).await.is_success());
    stands_as(&world, &family.record, "answered").await;
    assert_eq!(send(&world.front, &genuine).await.status, 202);
    the_genuine_one_is_confirmed(&world, &family, "not_in_opencrvs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_action_that_needs_no_id_does_not_silence_the_genuine_one() {
    let world = events::world(Engine::Sqlite, &CHECKED).await;
    let family = people(Kind::Marriage, 1, 263).remove(0);
    let genuine = event_taken_down(&world, &family).await;
    let mut document = world.opencrvs.event_document(&family.record).unwrap();
    let action = "0a1b2c3d-0000-4000-8000-000000000001";
    let later = Timestamp::now() + SignedDuration::from_mins(1);
    let pending = document["actions"].as_array_mut().unwrap();
    let pending = pending.iter_mut().find(|row| row["type"] == "REGISTER" && row["status"] == "Requested");
    let pending = pending.unwrap();
    pending["id"] = json!(action);
    pending["createdAt"] = json!(format!("{later:.3}"));
    let token = world.opencrvs.mint(&world.opencrvs.action_claims(&family.record, action)).unwrap();
    let (result, _) = world.opencrvs.post_trigger(&world.front, Kind::Marriage, &token, &document).await;
    assert!(result.is_success(), "{result:?}");
    stands_as(&world, &family.record, "answered").await;
    assert_eq!(send(&world.front, &genuine).await.status, 202);
    the_genuine_one_is_confirmed(&world, &family, "record_refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deceased_person_with_another_national_id_is_not_in_opencrvs() {
    let world = World::with(Engine::Sqlite, &CHECKED).await;
    let family = people(Kind::Death, 1, 269).remove(0);
    let genuine = taken_down(&world, &family).await;
    let mut changed = 0;
    let other_id = with_body(&genuine, |bundle| {
        for entry in bundle["entry"].as_array_mut().unwrap() {
            for one in entry["resource"]["identifier"].as_array_mut().into_iter().flatten() {
                if one.pointer("/type/coding/0/code") == Some(&json!("NATIONAL_ID")) {
                    one["value"] = json!("9999999999");
                    changed += 1;
                }
            }
        }
    });
    assert!(changed > 0);
    assert_eq!(send(&world.front, &other_id).await.status, 202);
    parked(&world, &family.record).await;
    assert_eq!(world.nid.state().requests, 0);
}

/// Posts a registration of the FHIR generation of which OpenCRVS has nothing.
async fn invent(world: &World, family: &Declaration) {
    let result = world.opencrvs.invent(family, &world.front, None).await.unwrap();
    assert!(result.is_success(), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_other_record_is_known_an_unknown_one_waits_longer_and_not_for_ever() {
    let world =
        World::with(Engine::Sqlite, &[("SEND_CHECK", "true"), ("SEND_VISIBLE_WITHIN", "150ms")]).await;
    let family = people(Kind::Birth, 1, 241).remove(0);
    invent(&world, &family).await;
    parked(&world, &family.record).await;
    let history = world.history(&family.record).await;
    let waited = history.last().unwrap().at.duration_since(history.first().unwrap().at);
    assert!(waited >= SignedDuration::from_secs(8), "{waited}");
    assert_eq!(world.nid.state().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_just_started_knows_from_the_ledger_that_opencrvs_finds_records() {
    let mut world =
        World::with(Engine::Sqlite, &[("SEND_CHECK", "true"), ("SEND_VISIBLE_WITHIN", "3s")]).await;
    let families = people(Kind::Birth, 2, 251);
    registered(&world, &families[0]).await;
    stands_as(&world, &families[0].record, "confirmed").await;
    world.terminate("worker").await;
    world.start("worker");
    world.ready("worker").await;
    invent(&world, &families[1]).await;
    // Without that knowledge it would wait for three minutes.
    parked(&world, &families[1].record).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_date_is_compared_in_the_field_that_the_countrys_forms_name() {
    let settings = [CHECKED[0], CHECKED[1], ("FIELDS_EVENTS", "child.dob = dateOfEvent")];
    let world = events::world(Engine::Sqlite, &settings).await;
    let learned = async || world.log_text("worker").contains("the fields of the dates").then_some(());
    eventually(SOON, "the worker has read the forms", learned).await;
    let [genuine, altered] = people(Kind::Birth, 2, 231).try_into().unwrap();
    let submitted = world.opencrvs.submit_event(&genuine, &world.front, SubmitOptions::default()).await;
    assert!(submitted.unwrap().result.is_success());
    ends_as(&world, &genuine.record, Status::Registered).await;
    let request = event_taken_down(&world, &altered).await;
    let request = with_body(&request, |event| set_field(event, "child.dob", &json!("2025-01-31")));
    assert_eq!(send(&world.front, &request).await.status, 202);
    parked(&world, &altered.record).await;
    assert_eq!(world.nid.state().requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_opencrvs_is_away_nothing_is_parked_and_nothing_is_lost() {
    let world = World::with(Engine::Sqlite, &CHECKED).await;
    let family = people(Kind::Birth, 1, 227).remove(0);
    world.opencrvs.kill(Service::Gateway).await;
    let submitted = world.opencrvs.submit(&family, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
    eventually(SOON, "the worker could not read the record", async || {
        (world.metric("worker", "nidbridge_send_checks_total", "failed") >= 2.0).then_some(())
    })
    .await;
    stands_as(&world, &family.record, "received").await;
    assert_eq!(world.nid.state().requests, 0);
    world.opencrvs.restart(Service::Gateway).await.unwrap();
    ends_as(&world, &family.record, Status::Registered).await;
}

/// The second try is ten minutes away.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_waits_with_a_dead_token_is_sent_as_soon_as_its_token_is_replaced() {
    let mut world = World::with_front(&[("SEND_CHECK", "true"), ("RETRY_STEPS", "200ms,10m")]).await;
    let birth = people(Kind::Birth, 1, 488).remove(0);
    let sent = world.opencrvs.submit(&birth, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(sent.result.is_success(), "{:?}", sent.result);
    world.opencrvs.rotate_key().unwrap();
    for role in ["worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    let look = world.look().await;
    let waits = async || (look.depth("requests.amqp.work.wait.10m").await.ok()?.ready == 1).then_some(());
    eventually(SOON, "the request waits for ten minutes", waits).await;
    let user = user_token(&world, 600);
    let args = ["tokens", "replace", "--subject-token-file", &user, "--record", &birth.record];
    let (code, said) = world.run(&args, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    ends_as(&world, &birth.record, Status::Registered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_check_the_id_system_is_asked_about_whatever_a_token_came_with() {
    let world = World::with(Engine::Sqlite, &[("SEND_CHECK", "false")]).await;
    let family = people(Kind::Birth, 1, 229).remove(0);
    let facts = AttemptFacts { last_modified: "2026-11-30T10:00:00.000Z".into(), earlier: Vec::new() };
    let token = world.opencrvs.mint(&world.opencrvs.record_claims(&family.record)).unwrap();
    assert!(world.opencrvs.post_invented(&world.front, &token, &family.bundle(&facts)).await.is_success());
    let asked = async || (world.nid.state().requests == 1).then_some(());
    eventually(Duration::from_secs(30), "the ID system was asked", asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_the_gateway_says_that_it_does_not_check() {
    let mut world = World::empty(Engine::Sqlite, &[("SEND_CHECK", "true")]).await;
    world.unset("GATEWAY_URL");
    world.start("worker");
    world.ready("worker").await;
    assert!(world.log_text("worker").contains("GATEWAY_URL is not set for this worker"));
}

/// The front reads the date from the field that the event's configuration names, and so does the
/// worker, which must not take the registration for an invented one.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_looked_up_with_the_date_that_its_configuration_names() {
    let mut world = events::prepared(Engine::Sqlite, &CHECKED).await;
    let country = Country::telling_forms_at("/config/events").await;
    let birth = ["child.name", "child.dob", "child.gender", "child.nid", "mother.dob"];
    country.has_forms(&birth, &["deceased.nid", "eventDetails.date"], "eventDetails.date");
    country.dates_births_by("mother.dob");
    world.set("COUNTRY_CONFIG_URL", &country.url);
    for role in ["worker", "front", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    let family = people(Kind::Birth, 1, 233).remove(0);
    let submitted = world.opencrvs.submit_event(&family, &world.front, SubmitOptions::default()).await;
    assert!(submitted.unwrap().result.is_success());
    ends_as(&world, &family.record, Status::Registered).await;
    let document = world.opencrvs.event_document(&family.record).unwrap().to_string();
    assert!(document.contains("\"mother.dob\""), "the date is another one than the child's");
    assert_eq!(world.metric("worker", "nidbridge_send_checks_total", "genuine"), 1.0);
}
