//! Rejections that OpenCRVS answers with HTTP 500: the ledger says `rejected` only if OpenCRVS
//! does.

use nidbridge::domain::Cause;
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, Fault, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};
use serde_json::json;

use super::{checked, submit, whole};
use crate::gateway::standing;
use crate::harness::ledgers::Engine;
use crate::harness::world::{World, request_of};
use crate::pipeline::{ends_as, people, stands_as};

/// Submits a birth that the ID system will reject, and returns it when the ID system is asked.
async fn to_be_rejected(world: &World, seed: u64) -> Declaration {
    let birth = people(Kind::Birth, 1, seed).remove(0);
    world.nid.will_answer(&request_of(&birth.record, "birth"), Final::Rejected("not_eligible"));
    world.nid.pause_replies();
    submit(world, &birth, SubmitOptions::default()).await;
    stands_as(world, &birth.record, "requested").await;
    birth
}

/// Accepts the pending action of a record as another program of the country would, with the token
/// of the trigger.
async fn accept_by_hand(world: &World, record: &str) {
    let opencrvs = &world.opencrvs;
    let action = opencrvs.pending_actions().into_iter().find(|one| one.event == record).unwrap().action;
    let token = opencrvs.mint(&opencrvs.action_claims(record, &action)).unwrap();
    let input = json!({
        "transactionId": format!("by-hand-{record}"), "eventId": record, "actionId": action,
        "registrationNumber": "2020OTHER",
    });
    let url = format!("{}/events/event.actions.register.accept", opencrvs.gateway_url());
    let call = reqwest::Client::new().post(url).bearer_auth(token).json(&json!({ "json": input }));
    assert!(call.send().await.unwrap().status().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_500_at_the_rejection_of_an_accepted_action_is_no_rejection() {
    let world = checked(Engine::Sqlite, &[]).await;
    let birth = to_be_rejected(&world, 89).await;
    accept_by_hand(&world, &birth.record).await;
    world.nid.resume_replies();
    let ended = standing(&world, &birth.record, "withdrawn", "accepted by somebody else").await;
    assert_eq!(ended.cause, Some(Cause::MovedOn.into()));
    assert_eq!(world.opencrvs.record(&birth.record).unwrap().status(), Status::Registered);
    assert_eq!(world.metric("confirmer", "nidbridge_confirmed_total", "rejected"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_500_of_an_outage_is_no_rejection_and_the_action_is_rejected_again() {
    let world = checked(Engine::Sqlite, &[]).await;
    let birth = to_be_rejected(&world, 91).await;
    world.opencrvs.faults().next(Calls::Action, 2, Fault::http(500));
    world.nid.resume_replies();
    stands_as(&world, &birth.record, "rejected").await;
    ends_as(&world, &birth.record, Status::Rejected).await;
    assert_eq!(world.opencrvs.faults().times_met(Calls::Action, Fault::http(500)), 2);
    whole(&world);
}
