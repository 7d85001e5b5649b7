//! Registrations that wait in OpenCRVS and that no front has are found and confirmed, each once.
//!
//! OpenCRVS is 2.1, so the bridge's own client searches, reads and confirms.

use std::time::Duration;

use nidbridge::config::SecretSource;
use nidbridge::confirmer::{Finding, UnheardSearch};
use nidbridge::domain::{Cause, RecordId};
use nidbridge::opencrvs::events::EventSearch;
use nidbridge::opencrvs::{AccessToken, ClientCredentials, ClientSettings, Reading, SystemClient};
use nidbridge::sandbox::opencrvs::{OpencrvsSettings, Release, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind, Mix, Population};
use serde_json::Value;
use url::Url;

use crate::gateway::standing;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

const ID: &str = "7d1c0a52-3f0e-4a55-9b1e-5a0a6c0c9b11";
const SECRET: &str = "a-secret-that-no-log-shows";
const RIGHTS: [&str; 4] = ["action.accept", "action.reject", "read", "search"];

on_both_ledgers![
    a_registration_whose_trigger_reached_no_front_is_found_and_confirmed,
    a_registration_that_a_front_has_spooled_is_confirmed_once,
    a_confirmer_that_dies_in_the_middle_of_a_search_confirms_nothing_twice,
];

fn scopes(rights: &[&str], kinds: &str) -> Vec<String> {
    rights.iter().map(|right| format!("type=record.{right}&event={kinds}")).collect()
}

fn add_client(world: &World, scopes: &[String]) {
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    world.opencrvs.add_client_with((ID, SECRET), "NID Bridge", &scopes).expect("an id that is free");
}

/// An OpenCRVS 2.1 with the bridge's client, and no role.
async fn world(engine: Engine) -> World {
    let opencrvs = OpencrvsSettings { release: Release::V2_1, ..OpencrvsSettings::default() };
    let mut world = World::of(
        opencrvs,
        engine,
        &[
            ("FRONT_EVENTS", "true"),
            ("FRONT_HOLD", "200ms"),
            ("OPENCRVS_CLIENT_ID", ID),
            ("OPENCRVS_CLIENT_SECRET", SECRET),
            ("OPENCRVS_UNHEARD_INTERVAL", "200ms"),
            ("OPENCRVS_UNHEARD_AFTER", "500ms"),
        ],
    )
    .await;
    let spool = world.dir.join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    world.set("FRONT_SPOOL", &spool.display().to_string());
    world.set("OPENCRVS_SERVICE_USER", &world.opencrvs.service_subject());
    // Nobody may confirm while the registrar is assigned.
    world.opencrvs.behave(|core| core.registrar_leaves_after = Some(Duration::from_secs(1)));
    world
}

async fn start(world: &mut World, roles: &[&'static str]) {
    for role in roles {
        world.start(role);
    }
    for role in roles {
        world.ready(role).await;
    }
}

async fn unheard(world: &World, count: usize, seed: u64) -> Vec<Declaration> {
    let births = people(Kind::Birth, count, seed);
    sent_to_nobody(world, &births).await;
    births
}

/// OpenCRVS sends these triggers to nobody.
async fn sent_to_nobody(world: &World, births: &[Declaration]) {
    let nobody: Url = format!("http://127.0.0.1:{}/", free_port()).parse().unwrap();
    for birth in births {
        let submitted = world.opencrvs.submit_event(birth, &nobody, SubmitOptions::default()).await.unwrap();
        assert!(!submitted.result.is_success(), "{:?}", submitted.result);
    }
}

/// Each is registered once, by one attempt, without damage.
async fn registered_once(world: &World, births: &[Declaration]) {
    for birth in births {
        ends_as(world, &birth.record, Status::Registered).await;
        stands_as(world, &birth.record, "confirmed").await;
        let record = world.opencrvs.record(&birth.record).unwrap();
        assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1), "{record:?}");
        let attempts = world.ledger.attempts_of(&RecordId::parse(&birth.record).unwrap()).await.unwrap();
        assert_eq!(attempts.len(), 1, "{attempts:?}");
    }
    let tally = world.opencrvs.events_tally();
    assert!(tally.is_undamaged(), "{tally:?}");
}

async fn is_found(world: &World, record: &str) -> bool {
    world.history(record).await.iter().any(|entry| entry.what == "unheard")
}

fn found(world: &World) -> f64 {
    world.metric("confirmer", "nidbridge_unheard_total", "found")
}

async fn a_registration_whose_trigger_reached_no_front_is_found_and_confirmed(engine: Engine) {
    let mut world = world(engine).await;
    add_client(&world, &scopes(&RIGHTS, "birth,death,marriage"));
    let births = unheard(&world, 3, 501).await;
    start(&mut world, &["worker", "confirmer"]).await;
    registered_once(&world, &births).await;
    assert_eq!(found(&world), 3.0);
    for birth in &births {
        assert!(is_found(&world, &birth.record).await);
    }
}

async fn a_registration_that_a_front_has_spooled_is_confirmed_once(engine: Engine) {
    let mut world = world(engine).await;
    add_client(&world, &scopes(&RIGHTS, "birth,death,marriage"));
    let broker = world.proxy_before_broker("front").await;
    start(&mut world, &["front", "worker", "confirmer"]).await;
    world.front_is_connected().await;
    broker.cut();
    let births = people(Kind::Birth, 2, 502);
    for birth in &births {
        let submitted =
            world.opencrvs.submit_event(birth, &world.front, SubmitOptions::default()).await.unwrap();
        assert!(submitted.result.is_success(), "{:?}", submitted.result);
    }
    assert_eq!(world.metric("front", "nidbridge_spooled_total", ""), 2.0);
    registered_once(&world, &births).await;
    assert_eq!(found(&world), 2.0);
    broker.restore();
    let empty = async || (world.metric("front", "nidbridge_spool_files", "") == 0.0).then_some(());
    eventually(SOON, "the spool is empty", empty).await;
    let recorded = async || {
        (world.metric("worker", "nidbridge_stage_processed_total", "stage=\"record\"") >= 4.0).then_some(())
    };
    eventually(SOON, "the spooled ones are recorded, too", recorded).await;
    registered_once(&world, &births).await;
}

async fn a_confirmer_that_dies_in_the_middle_of_a_search_confirms_nothing_twice(engine: Engine) {
    let mut world = world(engine).await;
    add_client(&world, &scopes(&RIGHTS, "birth,death,marriage"));
    let births = unheard(&world, 12, 503).await;
    start(&mut world, &["worker", "confirmer"]).await;
    let some = async || (found(&world) >= 2.0).then_some(());
    eventually(SOON, "some are found", some).await;
    world.kill9("confirmer");
    start(&mut world, &["confirmer"]).await;
    registered_once(&world, &births).await;
    assert_eq!(world.nid.state().ended("issued"), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unheard_registration_that_is_unfit_is_rejected_as_such_with_its_fields() {
    let mut world = world(Engine::Sqlite).await;
    world.set("CONFIRM_REASONS", "true");
    world.opencrvs.behave(|core| core.client_rejects_with_reason = true);
    let mut scopes = scopes(&RIGHTS, "birth,death,marriage");
    scopes.push("type=record.reject&event=birth".to_owned());
    add_client(&world, &scopes);
    let mix = Mix { deaths: 0.0, marriages: 0.0, unfit: 1.0, ..Mix::default() };
    let births: Vec<Declaration> = Population::new(507, mix).take(2).collect();
    sent_to_nobody(&world, &births).await;
    start(&mut world, &["worker", "confirmer"]).await;
    for birth in &births {
        ends_as(&world, &birth.record, Status::Rejected).await;
        let rejected = standing(&world, &birth.record, "rejected", "unfit").await;
        assert_eq!(rejected.cause, Some(Cause::Unfit.into()));
        let reason = world.opencrvs.record(&birth.record).unwrap().event.unwrap().reason.expect("a reason");
        assert!(reason.contains("subject.date_of_birth") && !reason.contains("ID system"), "{reason}");
    }
    assert_eq!(world.nid.state().requests, 0);
    assert_eq!(world.metric("confirmer", "nidbridge_alarms_total", "rejected_by_id_system"), 0.0);
}

/// The search for registrations that have waited longer than `after`, and an access token for it.
async fn search(world: &World, after: Duration) -> (UnheardSearch, AccessToken) {
    let url = world.opencrvs.gateway_url().parse().unwrap();
    let gateway = ClientSettings { url, timeout: SOON, connect_timeout: SOON, proxy: None };
    let credentials = ClientCredentials {
        id: ID.to_owned(),
        secret: SecretSource::Value(SECRET.into()),
        next_secret: None,
    };
    let token = SystemClient::new(&gateway, credentials).unwrap().access_token().await.unwrap();
    let search = EventSearch::new(&gateway).unwrap();
    (UnheardSearch { ledger: world.ledger.clone(), search, reading: Reading::default(), after }, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_opencrvs_does_not_show_does_not_stop_the_search() {
    let world = world(Engine::Sqlite).await;
    add_client(&world, &scopes(&RIGHTS, "birth,death"));
    let (search, access) = search(&world, Duration::ZERO).await;
    // The index may still show an event that OpenCRVS has deleted.
    let deleted = RecordId::parse("6a1b2c3d-0000-4000-8000-000000000001").unwrap();
    let finding = search.read(access.secret(), &deleted).await;
    assert!(matches!(finding, Ok(Finding::NotWaiting)), "{finding:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_a_registration_is_that_of_its_pending_action() {
    let world = world(Engine::Sqlite).await;
    add_client(&world, &scopes(&RIGHTS, "birth,death"));
    let record = RecordId::parse(&unheard(&world, 1, 506).await[0].record).unwrap();
    let (search, access) = search(&world, Duration::from_secs(3_600)).await;
    let finding = search.read(access.secret(), &record).await;
    assert!(matches!(finding, Ok(Finding::Young)), "{finding:?}");
    let impatient = UnheardSearch { after: Duration::ZERO, ..search };
    let finding = impatient.read(access.secret(), &record).await;
    assert!(matches!(finding, Ok(Finding::Unheard(_))), "{finding:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_shows_the_unheard_and_takes_them_in_when_told() {
    let mut world = world(Engine::Sqlite).await;
    // No search by itself.
    world.set("OPENCRVS_UNHEARD_AFTER", "1h");
    add_client(&world, &scopes(&RIGHTS, "birth,death,marriage"));
    let births = unheard(&world, 2, 504).await;
    start(&mut world, &["worker", "confirmer"]).await;
    let reconcile = async |more: &[&str]| {
        let (code, text) = world.run(&[&["reconcile", "--json", "--grace", "1ms"], more].concat(), &[]).await;
        (code, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (code, report) = reconcile(&[]).await;
    assert_eq!((code, &report["taken_in"]), (Some(3), &Value::from(0)), "{report}");
    let told: Vec<_> = report["differences"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(told, ["not_open", "not_open"]);
    let (code, report) = reconcile(&["--take-in"]).await;
    assert_eq!((code, &report["taken_in"]), (Some(0), &Value::from(2)), "{report}");
    registered_once(&world, &births).await;
    let (code, report) = reconcile(&["--take-in"]).await;
    assert_eq!((code, &report["taken_in"]), (Some(0), &Value::from(0)), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_rights_are_shown_and_tell_by_the_exit_code_what_is_wrong() {
    let mut world = world(Engine::Sqlite).await;
    let client = async |world: &World| {
        let (code, text) = world.run(&["opencrvs", "client", "--json"], &[]).await;
        assert!(!text.contains(SECRET), "{text}");
        (code, serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    // Unknown: the report has the request that registers the client.
    let (code, report) = client(&world).await;
    assert_eq!((code, &report["token"]), (Some(1), &Value::from(false)), "{report}");
    let request = report["request"].as_str().unwrap();
    for part in [
        ID,
        "NID Bridge",
        "$OPENCRVS_CLIENT_SECRET",
        "/integrations",
        "type=record.search&event=birth,death,marriage",
    ] {
        assert!(request.contains(part), "{part}: {request}");
    }
    // Births only, and no search.
    add_client(&world, &scopes(&RIGHTS[..3], "birth"));
    let (code, report) = client(&world).await;
    assert_eq!(code, Some(3), "{report}");
    assert_eq!(
        (&report["rights"][0]["accept"], &report["rights"][0]["search"]),
        (&true.into(), &false.into())
    );
    let lacking: Vec<_> =
        report["lacking"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(
        lacking,
        [
            "type=record.action.accept&event=death,marriage",
            "type=record.action.reject&event=death,marriage",
            "type=record.read&event=death,marriage",
            "type=record.search&event=birth,death,marriage",
        ]
    );
    let all = scopes(&RIGHTS, "birth,death,marriage");
    world.opencrvs.set_client_scopes(ID, &all.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, report) = client(&world).await;
    assert_eq!((code, &report["request"]), (Some(0), &Value::Null), "{report}");
    world.set("GATEWAY_URL", &format!("http://127.0.0.1:{}", free_port()));
    assert_eq!(client(&world).await.0, Some(69));
    let (code, _) = world.run(&["opencrvs", "client"], &[("OPENCRVS_CLIENT_ID", "")]).await;
    assert_eq!(code, Some(78));
}
