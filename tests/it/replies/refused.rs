//! Replies that conform to the schema but cannot be right: the history of the record says so, and
//! an operator is alerted.

use nidbridge::domain::Cause;
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use super::{Vendor, alarmed, answer, asked, issued, refused, rejected, submit};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, people, stands_as};

const OTHER_ID: &str = "5550002222";

fn id_in_opencrvs(world: &World, record: &str) -> Option<String> {
    world.opencrvs.record(record).unwrap().identifiers.get("NATIONAL_ID").cloned()
}

fn confirms(world: &World, record: &str) -> usize {
    world.opencrvs.record(record).unwrap().confirms.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_answers_something_else_is_refused_and_the_true_one_is_taken() {
    let mut world = World::new(Engine::Sqlite).await;
    let births = asked(&world, Kind::Birth, 3, 31).await;
    let deaths = people(Kind::Death, 5, 32);
    let death = deaths.iter().find(|one| one.deceased_has_national_id()).unwrap();
    world.opencrvs.submit(death, &world.front, SubmitOptions::default()).await.unwrap();
    eventually(SOON, "all are asked", async || (world.nid.state().persons == 4).then_some(())).await;
    let vendor = Vendor::of(&world).await;
    let request = |record: &str| request_of(record, "birth");
    let [one, two, three] = [0, 1, 2].map(|n: usize| births[n].record.as_str());
    for (record, data, cause) in [
        (one, rejected(&request(one), 9), Cause::WrongSubmission),
        (two, issued(&request(two), u64::from(u32::MAX) + 2, OTHER_ID), Cause::WrongSubmission),
        (three, answer(&request(three), 1, "recorded"), Cause::Malformed),
        (&death.record, issued(&request_of(&death.record, "death"), 1, OTHER_ID), Cause::Malformed),
    ] {
        vendor.replies(&data).await;
        refused(&world, record, cause.as_str()).await;
    }
    alarmed(&world, "worker", "wrong_submission", 2.0).await;
    alarmed(&world, "worker", "malformed", 2.0).await;
    let parked = world.look_nid().await.peek("nid.replies.refused", 9).await.unwrap();
    let details: Vec<&str> = parked.iter().map(|one| one.headers["x-detail"].as_str()).collect();
    let of_the_death = format!("status, request {}", request_of(&death.record, "death"));
    assert_eq!(details, [format!("status, request {}", request(three)), of_the_death]);
    world.nid.resume_replies();
    for record in [one, two, three, &death.record] {
        ends_as(&world, record, Status::Registered).await;
        assert_eq!(confirms(&world, record), 1);
        assert_ne!(id_in_opencrvs(&world, record).as_deref(), Some(OTHER_ID));
    }
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_final_answer_stands_whatever_is_said_after_it() {
    let mut world = World::new(Engine::Sqlite).await;
    let births = people(Kind::Birth, 3, 33);
    let [changed, denied, granted] = [0, 1, 2].map(|n: usize| births[n].record.as_str());
    let death = people(Kind::Death, 5, 34).into_iter().find(Declaration::deceased_has_national_id).unwrap();
    world.nid.will_answer(&request_of(granted, "birth"), Final::Rejected("not_eligible"));
    world.nid.will_answer(&request_of(&death.record, "death"), Final::Rejected("not_eligible"));
    for declaration in births.iter().chain([&death]) {
        world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
    }
    for record in [changed, denied] {
        stands_as(&world, record, "confirmed").await;
    }
    for record in [granted, &death.record] {
        stands_as(&world, record, "held").await;
    }
    let ids = [changed, denied].map(|record| id_in_opencrvs(&world, record));
    let vendor = Vendor::of(&world).await;
    for (record, data) in [
        (changed, issued(&request_of(changed, "birth"), 1, OTHER_ID)),
        (denied, rejected(&request_of(denied, "birth"), 1)),
        (granted, issued(&request_of(granted, "birth"), 1, OTHER_ID)),
        (&death.record, answer(&request_of(&death.record, "death"), 1, "recorded")),
    ] {
        vendor.replies(&data).await;
        refused(&world, record, "contradictory_answer").await;
    }
    alarmed(&world, "worker", "contradictory_answer", 4.0).await;
    assert_eq!(ids, [changed, denied].map(|record| id_in_opencrvs(&world, record)));
    for record in [granted, &death.record] {
        stands_as(&world, record, "held").await;
        assert_eq!(world.opencrvs.record(record).unwrap().status(), Status::WaitingValidation);
        assert_eq!(confirms(&world, record), 0);
    }
    assert_eq!((confirms(&world, changed), confirms(&world, denied)), (1, 1));
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_answer_that_overtakes_the_confirmer_changes_nothing() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    for role in ["front", "worker"] {
        world.start(role);
        world.ready(role).await;
    }
    let births = submit(&world, Kind::Birth, 2, 35).await;
    let vendor = Vendor::of(&world).await;
    for birth in &births {
        stands_as(&world, &birth.record, "answered").await;
    }
    let [one, two] = [0, 1].map(|n: usize| births[n].record.as_str());
    vendor.replies(&issued(&request_of(one, "birth"), 1, OTHER_ID)).await;
    vendor.replies(&rejected(&request_of(two, "birth"), 1)).await;
    for record in [one, two] {
        refused(&world, record, "contradictory_answer").await;
    }
    world.start("confirmer");
    for record in [one, two] {
        ends_as(&world, record, Status::Registered).await;
        let id = id_in_opencrvs(&world, record).unwrap();
        let Final::Issued(first) = &world.nid.state().finals[&request_of(record, "birth")] else {
            panic!("issued")
        };
        assert_eq!((&id, confirms(&world, record)), (first, 1));
    }
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_record_is_parked_for_an_operator() {
    let mut world = World::new(Engine::Sqlite).await;
    let owner = submit(&world, Kind::Birth, 1, 36).await.remove(0).record;
    stands_as(&world, &owner, "confirmed").await;
    let taken = id_in_opencrvs(&world, &owner).unwrap();
    let second = asked(&world, Kind::Birth, 1, 37).await.remove(0).record;
    let vendor = Vendor::of(&world).await;
    vendor.replies(&issued(&request_of(&second, "birth"), 1, &taken)).await;
    refused(&world, &second, "id_of_another_record").await;
    stands_as(&world, &second, "parked").await;
    alarmed(&world, "worker", "id_of_another_record", 1.0).await;
    // For a record that already has an ID this is a contradiction, and harms neither record.
    world.nid.resume_replies();
    let third = submit(&world, Kind::Birth, 1, 38).await.remove(0).record;
    stands_as(&world, &third, "confirmed").await;
    vendor.replies(&issued(&request_of(&third, "birth"), 1, &taken)).await;
    refused(&world, &third, "contradictory_answer").await;
    assert_eq!(confirms(&world, &second), 0);
    assert_eq!(world.opencrvs.record(&second).unwrap().status(), Status::WaitingValidation);
    for record in [&owner, &third] {
        assert_eq!(confirms(&world, record), 1);
    }
    assert_ne!(id_in_opencrvs(&world, &third), Some(taken));
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_for_a_record_that_opencrvs_took_back_is_an_orphan_that_is_told() {
    let mut world = World::new(Engine::Sqlite).await;
    let births = asked(&world, Kind::Birth, 2, 39).await;
    for (birth, status) in births.iter().zip([Status::Archived, Status::Rejected]) {
        assert!(world.opencrvs.set_status(&birth.record, status));
    }
    world.nid.resume_replies();
    let vendor = Vendor::of(&world).await;
    for birth in &births {
        stands_as(&world, &birth.record, "withdrawn").await;
        let cause = world.history(&birth.record).await.pop().unwrap().cause;
        assert_eq!(cause, Some(Cause::OrphanId.into()));
        let request = request_of(&birth.record, "birth");
        let Final::Issued(id) = world.nid.state().finals[&request].clone() else { panic!("issued") };
        vendor.replies(&issued(&request, 1, &id)).await;
        refused(&world, &birth.record, "orphan_id").await;
        assert_eq!(confirms(&world, &birth.record), 0);
    }
    alarmed(&world, "confirmer", "orphan_id", 2.0).await;
    alarmed(&world, "worker", "orphan_id", 2.0).await;
    world.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_of_a_superseded_submission_is_not_one_of_the_newest() {
    let mut world = World::new(Engine::Sqlite).await;
    world.nid.pause_replies();
    let birth = people(Kind::Birth, 1, 40).remove(0);
    let lost = SubmitOptions { lose_answer: true, ..SubmitOptions::default() };
    world.opencrvs.submit(&birth, &world.front, lost).await.unwrap();
    eventually(SOON, "the first is asked", async || (world.nid.state().requests == 1).then_some(())).await;
    let again = SubmitOptions { corrected: Some("Corrected".into()), ..SubmitOptions::default() };
    world.opencrvs.submit(&birth, &world.front, again).await.unwrap();
    eventually(SOON, "the second is asked", async || (world.nid.state().requests == 2).then_some(())).await;
    let vendor = Vendor::of(&world).await;
    vendor.replies(&rejected(&request_of(&birth.record, "birth"), 1)).await;
    let done = || world.metric("worker", "nidbridge_stage_processed_total", "stage=\"resolve\"");
    eventually(SOON, "the rejection is taken in", async || (done() >= 1.0).then_some(())).await;
    stands_as(&world, &birth.record, "requested").await;
    world.nid.resume_replies();
    ends_as(&world, &birth.record, Status::Registered).await;
    assert_eq!(confirms(&world, &birth.record), 1);
    assert!(id_in_opencrvs(&world, &birth.record).is_some());
    world.assert_all_run();
}
