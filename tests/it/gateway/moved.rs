//! Records that OpenCRVS changed in the meantime, registrars who left, and negative answers.

use nidbridge::domain::Cause;
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::Kind;
use serde_json::json;

use super::{confirmed_once, confirms, standing, submitted, writes_begun};
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World, request_of};
use crate::harness::{ChaosProxy, eventually};
use crate::pipeline::people;
use crate::replies::{alarmed, asked};

#[tokio::test(flavor = "multi_thread")]
async fn a_registrar_who_left_meanwhile_stops_the_registration_with_its_cause() {
    let mut world = World::checked(Engine::Sqlite, &[]).await;
    let birth = asked(&world, Kind::Birth, 1, 61).await.remove(0);
    let registrar = world.opencrvs.record(&birth.record).unwrap().registrar;
    world.opencrvs.faults().deactivate(&registrar, true);
    world.nid.resume_replies();
    let standing = standing(&world, &birth.record, "parked", "a registrar who left").await;
    assert_eq!(standing.cause, Some(Cause::RegistrarInactive.into()));
    assert_eq!((confirms(&world, &birth.record), writes_begun(&world, &birth.record).await), (0, 0));
    alarmed(&world, "confirmer", "registrar_inactive", 1.0).await;
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_auth_changed_meanwhile_makes_the_token_worthless() {
    let mut world = World::checked(Engine::Sqlite, &[]).await;
    let birth = asked(&world, Kind::Birth, 1, 62).await.remove(0);
    world.opencrvs.rotate_key().unwrap();
    world.nid.resume_replies();
    let standing = standing(&world, &birth.record, "parked", "a changed key").await;
    assert_eq!(standing.cause, Some(Cause::TokenRefused.into()));
    assert_eq!(confirms(&world, &birth.record), 0);
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_opencrvs_moved_on_is_withdrawn_and_not_written() {
    let mut world = World::checked(Engine::Sqlite, &[]).await;
    let moved = [Status::Archived, Status::Rejected, Status::Declared];
    let mut births = asked(&world, Kind::Birth, moved.len(), 63).await;
    // Without an issued ID there is no orphan.
    let rejected = people(Kind::Birth, 1, 64).remove(0);
    world.nid.will_answer(&request_of(&rejected.record, "birth"), Final::Rejected("policy"));
    submitted(&world, &rejected).await;
    let all = async || (world.nid.state().persons == 4).then_some(());
    eventually(SOON, "the ID system was asked", all).await;
    assert!(world.opencrvs.set_status(&rejected.record, Status::Archived));
    for (birth, status) in births.iter().zip(moved) {
        assert!(world.opencrvs.set_status(&birth.record, status));
    }
    world.nid.resume_replies();
    for (birth, status) in births.iter().zip(moved) {
        let what = format!("{status:?}");
        let standing = standing(&world, &birth.record, "withdrawn", &what).await;
        assert_eq!(standing.cause, Some(Cause::OrphanId.into()), "{what}");
    }
    let standing = standing(&world, &rejected.record, "withdrawn", "rejected and archived").await;
    assert_eq!(standing.cause, Some(Cause::MovedOn.into()));
    births.push(rejected);
    for birth in &births {
        assert_eq!((confirms(&world, &birth.record), writes_begun(&world, &birth.record).await), (0, 0));
    }
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_registered_under_another_number_is_left_to_an_operator() {
    let mut world = World::checked(Engine::Sqlite, &[]).await;
    let births = asked(&world, Kind::Birth, 2, 65).await;
    let ours = world.number_of(&births[1]).await;
    for (birth, number) in births.iter().zip(["2020OTHER", &ours]) {
        confirm_by_hand(&world, &birth.record, number).await;
    }
    world.nid.resume_replies();
    let other = standing(&world, &births[0].record, "parked", "another number").await;
    assert_eq!(other.cause, Some(Cause::OtherNumber.into()));
    standing(&world, &births[1].record, "confirmed", "our number").await;
    for birth in &births {
        assert_eq!((confirms(&world, &birth.record), writes_begun(&world, &birth.record).await), (1, 0));
    }
    alarmed(&world, "confirmer", "other_number", 1.0).await;
    world.assert_all_run();
}

/// Confirms without the bridge, as a script of the country would.
async fn confirm_by_hand(world: &World, record: &str, number: &str) {
    let token = world.opencrvs.mint(&world.opencrvs.record_claims(record)).unwrap();
    let body = json!({
        "query": "mutation ($id: ID!, $details: ConfirmRegistrationInput!) \
                  { confirmRegistration(id: $id, details: $details) }",
        "variables": { "id": record, "details": { "registrationNumber": number } },
    });
    let url = format!("{}/graphql", world.opencrvs.gateway_url());
    let answer = reqwest::Client::new().post(url).bearer_auth(token).json(&body).send().await.unwrap();
    assert!(answer.status().is_success());
    assert_eq!(confirms(world, record), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_country_may_have_a_rejected_birth_confirmed_with_a_comment() {
    let mut world = World::checked(Engine::Sqlite, &[("CONFIRM_NEGATIVE", "confirm_with_comment")]).await;
    let birth = people(Kind::Birth, 1, 66).remove(0);
    world.nid.will_answer(&request_of(&birth.record, "birth"), Final::Rejected("not_eligible"));
    submitted(&world, &birth).await;
    confirmed_once(&world, &birth.record, "confirm_with_comment").await;
    let confirm = world.opencrvs.record(&birth.record).unwrap().confirms.remove(0);
    assert!(confirm.identifiers.is_empty(), "{:?}", confirm.identifiers);
    let comment = confirm.comment.unwrap();
    assert!(comment.contains("not_eligible"), "{comment}");
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_down_is_waited_for() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let port = world.opencrvs.gateway_url().rsplit(':').next().unwrap().parse().unwrap();
    let proxy = ChaosProxy::before(port).await;
    world.set("GATEWAY_URL", &format!("http://127.0.0.1:{}", proxy.port()));
    for role in ["front", "worker", "confirmer"] {
        world.start(role);
        world.ready(role).await;
    }
    for (mode, cut) in [("cut", true), ("blackhole", false)] {
        if cut {
            proxy.cut();
        } else {
            proxy.blackhole();
        }
        let birth = people(Kind::Birth, 1, 67 + u64::from(cut)).remove(0);
        let before = delays(&world);
        submitted(&world, &birth).await;
        let tried = async || (delays(&world) >= before + 2.0).then_some(());
        eventually(SOON, mode, tried).await;
        assert_eq!(confirms(&world, &birth.record), 0);
        proxy.restore();
        confirmed_once(&world, &birth.record, mode).await;
    }
    world.assert_all_run();
}

fn delays(world: &World) -> f64 {
    world.metric("confirmer", "nidbridge_retries_total", "cause=\"gateway_unavailable\"")
}
