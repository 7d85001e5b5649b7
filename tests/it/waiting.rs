//! `FRONT_WAIT`: OpenCRVS waits for the answer, and gets it inside its own request if the answer
//! comes in time.
//!
//! Whatever the HTTP answer was, and whether or not it arrived, the record ends as the ID system
//! said, with one confirmation.

mod bounds;
mod load;

use std::time::Duration;

use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{CallResult, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};
use serde_json::Value;

use crate::front::wire::{event_taken_down, send, taken_down};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![
    an_answer_in_time_is_the_answer_to_the_request,
    a_rejection_in_time_rejects_the_record_in_both_generations,
];

/// Starts all roles with this `FRONT_WAIT`.
pub(super) async fn world(engine: Engine, wait: &str, settings: &[(&str, &str)]) -> World {
    let mut all = vec![("FRONT_WAIT", wait)];
    all.extend(settings);
    let world = crate::events::world(engine, &all).await;
    listens(&world).await;
    world
}

/// Waits until the front is subscribed to answers. It is ready before that, but lets no caller
/// wait.
pub async fn listens(world: &World) {
    eventually(SOON, "the front listens for answers", async || {
        world.log_text("front").contains("\"message\":\"subscribed\"").then_some(())
    })
    .await;
}

async fn an_answer_in_time_is_the_answer_to_the_request(engine: Engine) {
    let world = world(engine, "birth=8s,death=8s", &[]).await;
    for kind in [Kind::Birth, Kind::Death] {
        let [fhir, event] = <[_; 2]>::try_from(people(kind, 2, kind as u64 + 211)).unwrap();
        let (in_fhir, in_events) = tokio::join!(taken_down(&world, &fhir), event_taken_down(&world, &event));
        let (in_fhir, in_events) = tokio::join!(send(&world.front, &in_fhir), send(&world.front, &in_events));

        assert_eq!(in_fhir.status, 200, "{}", in_fhir.body);
        assert_eq!(world.opencrvs.record(&fhir.record).unwrap().confirms.len(), 0, "inside its request");
        let number = world.number_of(&fhir).await;
        amended(&serde_json::from_str(&in_fhir.body).unwrap(), kind, &number);

        let body: Value = serde_json::from_str(&in_events.body).unwrap();
        let mut expected = serde_json::json!({ "registrationNumber": world.number_of(&event).await });
        if kind == Kind::Birth {
            expected["declaration"] = serde_json::json!({ "child.nid": issued_to(&world, &event.record) });
        }
        assert_eq!((in_events.status, body), (200, expected), "nothing else may be in it");

        ends_as(&world, &fhir.record, Status::Registered).await;
        let record = world.opencrvs.record(&fhir.record).unwrap();
        assert_eq!((record.confirms.len(), &record.numbers[0]), (1, &number));
        for family in [fhir, event] {
            stands_as(&world, &family.record, "confirmed").await;
        }
    }
    assert_eq!(world.metric("front", "nidbridge_waited_total", "answered"), 4.0);
    assert_eq!(world.metric("front", "nidbridge_waiting", ""), 0.0);
}

async fn a_rejection_in_time_rejects_the_record_in_both_generations(engine: Engine) {
    let world = world(engine, "8s", &[]).await;
    let [fhir, event] = <[_; 2]>::try_from(people(Kind::Birth, 2, 223)).unwrap();
    let submit = async |family: &Declaration, options| {
        if family.record == fhir.record {
            world.opencrvs.submit(family, &world.front, options).await.unwrap()
        } else {
            world.opencrvs.submit_event(family, &world.front, options).await.unwrap()
        }
    };
    let story = async |family: &Declaration, refusal| {
        let request = request_of(&family.record, "birth");
        world.nid.will_answer(&request, Final::Rejected("invalid_data"));
        let refused = submit(family, SubmitOptions::default()).await;
        assert_eq!((refused.result, refused.status), (CallResult::Status(refusal), Status::Rejected));
        stands_as(&world, &family.record, "rejected").await;
        assert_eq!(world.metric("confirmer", "nidbridge_alarms_total", ""), 0.0, "nobody has to look at it");
        world.nid.will_answer(&request, Final::Issued(format!("98765432{refusal}")));
        let corrected = Some("Corrected".to_owned());
        let accepted = submit(family, SubmitOptions { corrected, ..SubmitOptions::default() }).await;
        assert_eq!(accepted.result, CallResult::Status(200));
        ends_as(&world, &family.record, Status::Registered).await;
        stands_as(&world, &family.record, "confirmed").await;
        assert_eq!(world.opencrvs.record(&family.record).unwrap().confirms.len(), 1);
    };
    tokio::join!(story(&fhir, 422), story(&event, 400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarding_country_config_gets_the_reason_of_a_rejection() {
    let world = world(Engine::Sqlite, "8s", &[]).await;
    let family = people(Kind::Birth, 1, 227).remove(0);
    world.nid.will_answer(&request_of(&family.record, "birth"), Final::Rejected("missing_data"));
    let answer = send(&world.front, &taken_down(&world, &family).await).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &body["statusCode"]), (422, &Value::from(422)));
    assert!(body["msg"].as_str().unwrap().contains("missing_data"), "{body}");
    assert_eq!(body["msg"], body["message"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_may_not_be_given_at_once_is_left_to_the_confirmer() {
    let policy = [("CONFIRM_NEGATIVE", "confirm_with_comment")];
    let world = world(Engine::Sqlite, "3s", &policy).await;
    let [registered, event] = <[_; 2]>::try_from(people(Kind::Birth, 2, 229)).unwrap();
    // The country wants rejected records registered all the same, so the front must not reject this
    // one.
    world.nid.will_answer(&request_of(&registered.record, "birth"), Final::Rejected("policy"));
    let accepted = world.opencrvs.submit(&registered, &world.front, SubmitOptions::default()).await.unwrap();
    assert_eq!(accepted.result, CallResult::Status(202));
    ends_as(&world, &registered.record, Status::Registered).await;
    // An ID must not go into a field that the forms do not define.
    world.opencrvs.define_fields(&["child.other"]);
    let accepted = world.opencrvs.submit_event(&event, &world.front, SubmitOptions::default()).await.unwrap();
    assert_eq!(accepted.result, CallResult::Status(202));
    stands_as(&world, &event.record, "parked").await;
    assert_eq!(world.opencrvs.events_tally().poisoned, 0);
}

/// Checks that the Task has the number once, and the person of the event has the number and, for a
/// birth, an ID.
fn amended(bundle: &Value, kind: Kind, number: &str) {
    let resources: Vec<&Value> =
        bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]).collect();
    let of = |resource: &&&Value, name: &str| resource["resourceType"] == name;
    let task = resources.iter().find(|resource| of(resource, "Task")).unwrap();
    let system = format!("http://opencrvs.org/specs/id/{}-registration-number", kind.name());
    let numbers: Vec<&Value> = task["identifier"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|identifier| identifier["system"] == system)
        .collect();
    assert_eq!(numbers, [&serde_json::json!({ "system": system, "value": number })]);
    let typed = |code: &str| -> Vec<Value> {
        let patients = resources.iter().filter(|resource| of(resource, "Patient"));
        let identifiers = patients.filter_map(|patient| patient["identifier"].as_array()).flatten();
        let typed = identifiers.filter(|identifier| identifier["type"]["coding"][0]["code"] == code);
        typed.map(|identifier| identifier["value"].clone()).collect()
    };
    let registered = format!("{}_REGISTRATION_NUMBER", kind.name().to_uppercase());
    assert_eq!(typed(&registered), [Value::from(number)]);
    if kind == Kind::Birth {
        assert!(typed("NATIONAL_ID").iter().any(|id| id.as_str().is_some_and(|id| !id.is_empty())));
    }
}

fn issued_to(world: &World, record: &str) -> String {
    match world.nid.state().finals.get(&request_of(record, "birth")) {
        Some(Final::Issued(id)) => id.clone(),
        other => panic!("{other:?}"),
    }
}

/// The longest that the answer to a caller that does not wait may take.
pub(super) const AT_ONCE: Duration = Duration::from_secs(10);
