//! The recipes of deploy/attach, run with the files that are shipped. Registrations of both
//! generations are confirmed, and every other request reaches the country config.

mod files;
mod program;

use std::collections::BTreeMap;

use nidbridge::sandbox::opencrvs::{CallResult, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};
use serde_json::{Value, json};
use url::Url;

use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};
use crate::pipeline::{ends_as, people};
use program::Program;

const ROLES: [&str; 3] = ["front", "worker", "confirmer"];

/// A world with the settings of a recipe. No role runs yet.
async fn prepared(recipe: &BTreeMap<String, String>) -> World {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    for (name, value) in recipe {
        // Addresses and secrets are the test's own.
        let is_place = value.contains("://") || value.starts_with("${") || value.starts_with('/');
        if !is_place {
            world.set(name, value);
        }
    }
    world.set("FRONT_HOLD", "1s");
    spool(&mut world, "front");
    world
}

/// Each front has its own spool.
fn spool(world: &mut World, front: &'static str) {
    let spool = world.dir.join(format!("{front}-spool"));
    std::fs::create_dir_all(&spool).unwrap();
    world.set_for(front, "FRONT_SPOOL", &spool.display().to_string());
}

async fn start(world: &mut World, roles: &[(&'static str, &'static str)]) {
    for (name, role) in roles {
        world.start_as(name, role);
    }
    for (name, _) in roles {
        world.ready(name).await;
    }
}

/// Registers one record of each generation through the URL that OpenCRVS takes for the country
/// config. Returns their registration numbers.
async fn registered(world: &World, core_calls: &str, seed: u64) -> Vec<(Declaration, String)> {
    let core_calls = Url::parse(core_calls).unwrap();
    let mut numbers = Vec::new();
    for (n, family) in people(Kind::Birth, 2, seed).into_iter().enumerate() {
        let submitted = if n == 0 {
            world.opencrvs.submit(&family, &core_calls, SubmitOptions::default()).await
        } else {
            world.opencrvs.submit_event(&family, &core_calls, SubmitOptions::default()).await
        };
        assert_eq!(submitted.unwrap().result, CallResult::Status(202));
        ends_as(world, &family.record, Status::Registered).await;
        let record = world.opencrvs.record(&family.record).unwrap();
        assert_eq!((record.confirms.len(), record.numbers.len()), (1, 1));
        assert!(record.identifiers.contains_key("NATIONAL_ID"), "{record:?}");
        numbers.push((family, record.numbers[0].clone()));
    }
    let tally = world.opencrvs.events_tally();
    assert!(tally.is_undamaged(), "{tally:?}");
    numbers
}

async fn get(url: String) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// Requests that are no registration are answered by the country config.
async fn assert_the_rest_is_the_countrys(core_calls: &str) {
    assert_eq!(get(format!("{core_calls}/forms/birth?x=1")).await, json!({ "country": "get /forms/birth" }));
    assert_eq!(get(format!("{core_calls}/events")).await[0]["id"], "birth");
    for path in
        ["/tracking-id", "/trigger/events/birth/actions/DECLARE", "/events/BIRTH/actions/sent-for-approval"]
    {
        let answer = reqwest::Client::new().post(format!("{core_calls}{path}")).json(&json!({})).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({ "country": format!("post {path}") }));
    }
}

/// What OpenCRVS is answered when a registration cannot be forwarded: for a FHIR record and for an
/// event.
async fn refused(world: &World, core_calls: &str, seed: u64) -> (CallResult, CallResult) {
    let core_calls = Url::parse(core_calls).unwrap();
    let [fhir, event] = <[Declaration; 2]>::try_from(people(Kind::Birth, 2, seed)).unwrap();
    let fhir = world.opencrvs.submit(&fhir, &core_calls, SubmitOptions::default());
    let event = world.opencrvs.submit_event(&event, &core_calls, SubmitOptions::default());
    let (fhir, event) = tokio::join!(fhir, event);
    (fhir.unwrap().result, event.unwrap().result)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_one_changed_url() {
    let mut world = prepared(&files::swarm("nidbridge-front-1")).await;
    let country = Program::country(&world, None).await;
    world.set("COUNTRY_CONFIG_URL", &country.url());
    start(&mut world, &ROLES.map(|role| (role, role))).await;
    let front = world.front.as_str().trim_end_matches('/').to_owned();
    registered(&world, &front, 401).await;
    assert_the_rest_is_the_countrys(&front).await;
    assert_eq!(
        get(format!("{}/handled", country.url())).await,
        json!([]),
        "no registration reached the country"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn by_an_nginx_before_the_country_config() {
    let mut world = prepared(&files::kubernetes()).await;
    let country = Program::country(&world, None).await;
    world.set_for("confirmer", "COUNTRY_CONFIG_URL", &country.url());
    let fronts = [world.front.port().unwrap(), free_port()];
    world.set_for("front2", "FRONT_LISTEN", &format!("127.0.0.1:{}", fronts[1]));
    spool(&mut world, "front2");
    let nginx = Program::nginx(&world, fronts, country.port).await;
    let both = ROLES.map(|role| (role, role)).into_iter().chain([("front2", "front")]).collect::<Vec<_>>();
    start(&mut world, &both).await;
    registered(&world, &nginx.url(), 411).await;
    assert_the_rest_is_the_countrys(&nginx.url()).await;
    // Whichever front nginx tries first, the other one answers.
    world.kill9("front");
    for seed in [412, 413] {
        registered(&world, &nginx.url(), seed).await;
    }
    world.kill9("front2");
    let told = refused(&world, &nginx.url(), 414).await;
    assert_eq!(
        told,
        (CallResult::Status(502), CallResult::Status(400)),
        "a rejection, which both understand"
    );
    assert_eq!(world.opencrvs.events_tally().stranded, 0);
    assert_the_rest_is_the_countrys(&nginx.url()).await;
    assert_eq!(
        get(format!("{}/handled", country.url())).await,
        json!([]),
        "no registration reached the country"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_country_config_that_forwards() {
    let mut world = prepared(&files::swarm("nidbridge-front-1")).await;
    world.set_for("front", "NUMBER_HEADER", "on");
    let country = Program::country(&world, Some(world.front.as_str())).await;
    world.set_for("confirmer", "COUNTRY_CONFIG_URL", &country.url());
    start(&mut world, &ROLES.map(|role| (role, role))).await;
    for (family, number) in registered(&world, &country.url(), 421).await {
        assert_eq!(number, format!("OWN{}", family.tracking_id), "the country's own");
    }
    let own = json!(["/event-registration", "/trigger/events/birth/actions/REGISTER"]);
    assert_eq!(get(format!("{}/handled", country.url())).await, own, "its own handlers have run");
    assert_the_rest_is_the_countrys(&country.url()).await;
    // For a bad token the front's answer is returned unchanged.
    let answer = reqwest::Client::new().post(format!("{}/event-registration", country.url()));
    let answer = answer.bearer_auth("no.good").body(r#"{"trackingId":"X"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"], "Unauthorized");
    // The bridge is away for a moment, and nobody notices.
    world.kill9("front");
    let family = people(Kind::Birth, 1, 422).remove(0);
    let submitting = tokio::spawn({
        let (opencrvs, family, url) = (world.opencrvs.clone(), family.clone(), country.url());
        async move { opencrvs.submit_event(&family, &Url::parse(&url).unwrap(), SubmitOptions::default()).await }
    });
    eventually(SOON, "a request was refused", async || country.has_said("ECONNREFUSED").then_some(())).await;
    start(&mut world, &[("front", "front")]).await;
    assert_eq!(submitting.await.unwrap().unwrap().result, CallResult::Status(202));
    ends_as(&world, &family.record, Status::Registered).await;
    // The bridge is away for longer than `forward` retries: it answers with a rejection that both
    // generations understand.
    world.kill9("front");
    let told = refused(&world, &country.url(), 423).await;
    assert_eq!(told, (CallResult::Status(503), CallResult::Status(400)));
    assert_eq!(world.opencrvs.events_tally().stranded, 0);
}
