//! Personal data and tokens are in plain text only in OpenCRVS, at the ID system and in memory.
//!
//! People with unique names go through the bridge, with everything that can go wrong. Then the test
//! searches everything that the bridge wrote for their data.

mod canaries;
mod foreign;
mod places;

use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, Fault, Status, SubmitOptions};
use nidbridge::sandbox::population::{AttemptFacts, Declaration, Kind};
use secrecy::ExposeSecret as _;
use serde_json::json;

use self::canaries::Canaries;
use self::places::Spies;
use crate::harness::ledgers::{Engine, SEAL_KEYS};
use crate::harness::world::{World, request_of};
use crate::pipeline::{ends_as, people, stands_as};
use crate::replies::{Vendor, alarmed, event, issued, refused, rejected};
use crate::traces::collector::Collector;

/// A filter that opens every library, one by one too.
const EVERYTHING: &str = "trace,nidbridge=trace,lapin=trace,sqlx=trace,sqlx::query=trace,hyper=trace,\
                          hyper_util=trace,rustls=trace,reqwest=trace,log=trace,opentelemetry=trace";

/// Submits a person whose data is recorded as canaries.
async fn submit(world: &World, canaries: &mut Canaries, declaration: &Declaration) {
    let facts = AttemptFacts { last_modified: String::new(), earlier: Vec::new() };
    let bundle = canaries.mark(declaration.bundle(&facts));
    let token = world.opencrvs.mint(&world.opencrvs.record_claims(&declaration.record)).unwrap();
    canaries.token(&token);
    let options = SubmitOptions { token: Some(token), ..SubmitOptions::default() };
    let submitted = world.opencrvs.submit_bundle(&bundle, &world.front, options).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_id_or_token_is_anywhere_in_clear() {
    let collector = Collector::start();
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()), ("LOG_FILTER", EVERYTHING)];
    let mut world = World::with(Engine::Sqlite, &settings).await;
    let spies = Spies::at(&world);
    let mut canaries = Canaries::default();
    for settings in [world.vhosts().link_settings("x"), world.vhosts().nid_link_settings("x")] {
        let url: url::Url = settings.url.expose_secret().parse().unwrap();
        canaries.secret(url.password().unwrap(), "a password of the broker");
    }
    canaries.secret(SEAL_KEYS.split_once(':').unwrap().1, "the key for sealing");
    refusals(&world, &mut canaries).await;
    everything_that_happens(&world, &mut canaries).await;
    an_answer_inside_its_request(&mut world, &mut canaries).await;
    canaries.issued(&world);
    let mut places = places::of_the_roles(&world);
    places.extend(spies.messages(&world).await);
    let asked = spies.requests(&world).await;
    for role in ["front", "worker", "confirmer"] {
        assert_eq!(world.terminate(role).await, Some(0), "{role}");
    }
    places.extend(places::of_the_files(&world));
    places.push(("the collector of traces".to_owned(), collector.bytes()));
    for part in [
        "front.log",
        "worker.log",
        "confirmer.log",
        "/metrics",
        "ledger.db",
        "registrations",
        "answers",
        "collector",
    ] {
        let found = places.iter().any(|(place, bytes)| place.contains(part) && !bytes.is_empty());
        assert!(
            found,
            "there is nothing of {part}: {:?}",
            places.iter().map(|one| &one.0).collect::<Vec<_>>()
        );
    }
    let leaks: Vec<String> =
        places.iter().flat_map(|(place, bytes)| canaries.found_in(place, bytes)).collect();
    assert!(leaks.is_empty(), "{} canaries, found:\n{}", canaries.len(), leaks.join("\n"));
    places::only_mapped_fields(&asked, &canaries);
}

/// A refused registration leaves nothing behind either.
async fn refusals(world: &World, canaries: &mut Canaries) {
    let declaration = people(Kind::Birth, 1, 91).remove(0);
    let facts = AttemptFacts { last_modified: "2026-01-05T10:00:00.000Z".to_owned(), earlier: Vec::new() };
    let bundle = canaries.mark(declaration.bundle(&facts));
    let mut of_another = world.opencrvs.record_claims("another-record");
    let right = world.opencrvs.mint(&world.opencrvs.record_claims(&declaration.record)).unwrap();
    let wrong = world.opencrvs.mint(&of_another).unwrap();
    of_another.exp = of_another.iat - 1;
    let expired = world.opencrvs.mint(&of_another).unwrap();
    let garbled = format!("{right}Zq");
    let cut = bundle.to_string();
    let cut = cut.get(..cut.len() - 10).unwrap().to_owned();
    let client = reqwest::Client::new();
    let url = world.front.join("event-registration").unwrap();
    let mut no_task = bundle.clone();
    no_task["entry"].as_array_mut().unwrap().retain(|one| one["resource"]["resourceType"] != "Task");
    for (token, body) in [
        (&wrong, bundle.to_string()),
        (&expired, bundle.to_string()),
        (&garbled, bundle.to_string()),
        (&right, cut),
        (&right, no_task.to_string()),
        (&right, json!([bundle]).to_string()),
    ] {
        canaries.token(token);
        let answer = client.post(url.clone()).bearer_auth(token).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let said = answer.text().await.unwrap();
        assert!((400..500).contains(&status), "{status} {said}");
        assert_eq!(canaries.found_in("a refusal", said.as_bytes()), Vec::<String>::new());
    }
}

/// A registration without trouble, a rejection, a marriage, faults of the gateway, and a vendor
/// that puts names where they do not belong.
async fn everything_that_happens(world: &World, canaries: &mut Canaries) {
    let births = people(Kind::Birth, 6, 92);
    let deaths = people(Kind::Death, 2, 93);
    let marriage = people(Kind::Marriage, 1, 94).remove(0);
    let [parked, unsure, no, ..] = &births[..] else { panic!("births") };
    world.nid.will_answer(&request_of(&no.record, "birth"), Final::Rejected("policy"));
    world.opencrvs.faults().next(Calls::Confirm, 1, Fault::OTHER_RECORD);
    submit(world, canaries, parked).await;
    stands_as(world, &parked.record, "parked").await;
    world.opencrvs.faults().next(Calls::Confirm, 1, Fault::CUT_AFTER);
    submit(world, canaries, unsure).await;
    for declaration in births.iter().skip(2).chain(&deaths).chain([&marriage]) {
        submit(world, canaries, declaration).await;
    }
    stands_as(world, &no.record, "held").await;
    for declaration in births.iter().skip(3).chain(&deaths).chain([&marriage, unsure]) {
        ends_as(world, &declaration.record, Status::Registered).await;
        stands_as(world, &declaration.record, "confirmed").await;
    }
    let vendor = Vendor::of(world).await;
    let request = request_of(&births[4].record, "birth");
    let (name, id) = (canaries.name(), canaries.fresh_id());
    vendor.replies(&issued(&request, 1, &id)).await;
    refused(world, &births[4].record, "contradictory_answer").await;
    let mut said = rejected(&request, 1);
    said["reason"] = json!({ "code": "other", "message": name, "fields": [name, "subject.name"] });
    said["nid_reference"] = json!("SIM-1");
    vendor.replies(&said).await;
    alarmed(world, "worker", "contradictory_answer", 2.0).await;
    let mut unknown = event(&issued(&request, 1, &id));
    unknown["data"]["status"] = json!(name);
    vendor.says(unknown.to_string().into_bytes()).await;
    vendor.says(format!("{name}, {id}: not JSON").into_bytes()).await;
    let nobody = "b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e";
    vendor.says(event(&issued(nobody, 1, &id)).to_string().into_bytes()).await;
    let dead = || world.metric("worker", "nidbridge_dead_lettered_total", "stage=\"resolve\"");
    let three = async || (dead() >= 3.0).then_some(());
    crate::harness::eventually(crate::harness::world::SOON, "three replies are parked", three).await;
}

/// The answer for a waiting caller holds an ID, and passes through the broker and the front.
async fn an_answer_inside_its_request(world: &mut World, canaries: &mut Canaries) {
    assert_eq!(world.terminate("front").await, Some(0));
    world.set_for("front", "FRONT_WAIT", "10s");
    world.start("front");
    crate::waiting::listens(world).await;
    let declaration = people(Kind::Birth, 1, 95).remove(0);
    submit(world, canaries, &declaration).await;
    assert_eq!(world.metric("front", "nidbridge_waited_total", "answered"), 1.0);
    ends_as(world, &declaration.record, Status::Registered).await;
    stands_as(world, &declaration.record, "confirmed").await;
}
