//! Alerts about what a vendor does against the contract: it rejects a request, contradicts itself,
//! or names a submission that there was not.

use nidbridge::pipeline::names::{nid_requests, parking_queue};
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;
use serde_json::Value;

use super::hook::{Call, Hook, Manner};
use super::{alerts, submit, told, world_before};
use crate::gateway::confirmed_once;
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World, request_of};
use crate::operator::json_of;
use crate::pipeline::{ends_as, people, stands_as};
use crate::replies::{Vendor, issued, refused, rejected};

/// Takes the first request of a queue and rejects it without requeueing, as a vendor's framework
/// does after an exception.
fn reject(world: &World, queue: &str) {
    let body = r#"{"count":1,"ackmode":"reject_requeue_false","encoding":"auto"}"#;
    let path = format!("/queues/{}/{queue}/get", world.vhosts().vendor);
    let taken: Value = serde_json::from_str(&world.vhosts().api().must("POST", &path, body)).unwrap();
    assert_eq!(taken.as_array().unwrap().len(), 1, "{taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_vendor_rejects_is_told_as_that_and_replayed_without_the_operators_words() {
    let port = free_port();
    let hook = Hook::listening(port, Manner::Takes).await;
    let mut world = world_before(Engine::Sqlite, port, &[("ALERT_INTERVAL", "100ms")]).await;
    let birth = people(Kind::Birth, 1, 54).remove(0);
    world.vendor_leaves().await;
    submit(&world, &birth).await;
    stands_as(&world, &birth.record, "requested").await;
    let (requests, link) = (nid_requests("birth"), world.look_nid().await);
    let parked = parking_queue(&requests);
    let waits = async |queue: &str| {
        eventually(SOON, queue, async || (link.depth(queue).await.ok()?.ready == 1).then_some(())).await;
    };
    waits(&requests).await;
    reject(&world, &requests);
    let told = alerts(&hook, 1).await.values().map(Call::json).next().unwrap();
    let id = format!("{}:1", request_of(&birth.record, "birth"));
    for (member, expected) in
        [("queue", parked.as_str()), ("cause", "rejected_by_consumer"), ("message_id", &id)]
    {
        assert_eq!(told[member], expected, "{told}");
    }
    let means = told["means"].as_str().unwrap();
    assert!(means.contains("rejected the message") && !means.contains("too often"), "{told}");
    let (_, listed) = json_of(&world, &["queue", "list", &parked, "--json"]).await;
    assert_eq!(listed[0]["cause"], "rejected_by_consumer", "{listed}");

    let replay =
        ["queue", "replay", &parked, "--cause", "rejected_by_consumer", "--reason", "Sesame", "--by", "ada"];
    assert_eq!(world.run(&replay, &[]).await, (Some(0), "went back to work: 1\n".to_owned()));
    waits(&requests).await;
    let headers = format!("{:?}", link.peek(&requests, 1).await.unwrap()[0].headers);
    assert!(!headers.contains("Sesame") && !headers.contains("ada"), "{headers}");
    link.close().await;
    // The vendor does not see who sent it back and why; the record's history says it.
    let history = world.history(&birth.record).await;
    let entry = history.iter().find(|entry| entry.what == "replayed").expect("an entry");
    assert_eq!(entry.why, Some(format!("{parked}: Sesame")));
    assert!(entry.who.starts_with("operator ada "), "{}", entry.who);
    world.vendor_returns();
    confirmed_once(&world, &birth.record, "the vendor takes it now").await;
}

/// A registration was corrected, and the ID of its first submission passed to the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_after_the_id_was_passed_on_and_a_wrong_submission_reach_the_webhook_once() {
    let port = free_port();
    let hook = Hook::listening(port, Manner::Takes).await;
    let world = world_before(Engine::Sqlite, port, &[("ALERT_INTERVAL", "100ms")]).await;
    let birth = people(Kind::Birth, 1, 55).remove(0);
    let request = request_of(&birth.record, "birth");
    world.nid.pause_replies();
    let lost = SubmitOptions { lose_answer: true, ..SubmitOptions::default() };
    let corrected = SubmitOptions { corrected: Some("Corrected".into()), ..SubmitOptions::default() };
    for (count, options) in [(1, lost), (2, corrected)] {
        world.opencrvs.submit(&birth, &world.front, options).await.unwrap();
        let asked = async || (world.nid.state().requests == count).then_some(());
        eventually(SOON, "the ID system is asked", asked).await;
    }
    let vendor = Vendor::of(&world).await;
    vendor.replies(&issued(&request, 1, "5550001111")).await;
    ends_as(&world, &birth.record, Status::Registered).await;
    stands_as(&world, &birth.record, "confirmed").await;
    assert_eq!(world.opencrvs.record(&birth.record).unwrap().identifiers["NATIONAL_ID"], "5550001111");
    assert!(told(&hook).is_empty(), "an ID that passes to the corrected submission is no trouble");
    for (submission, cause, count) in [(2, "contradictory_answer", 1), (9, "wrong_submission", 2)] {
        for _ in 0..2 {
            vendor.replies(&rejected(&request, submission)).await;
        }
        refused(&world, &birth.record, cause).await;
        let calls = alerts(&hook, count).await;
        let of_this = calls.values().map(Call::json).filter(|call| call["cause"] == cause);
        let of_this: Vec<Value> = of_this.collect();
        assert_eq!(of_this.len(), 1, "{of_this:?}");
        assert_eq!(of_this[0]["record_id"], birth.record.as_str());
    }
    let taken = || world.metric("worker", "nidbridge_replies_total", "rejected");
    eventually(SOON, "all replies are taken in", async || (taken() >= 4.0).then_some(())).await;
    assert_eq!(told(&hook).len(), 2, "each once");
    let record = world.opencrvs.record(&birth.record).unwrap();
    assert_eq!((record.status(), record.confirms.len()), (Status::Registered, 1));
}
