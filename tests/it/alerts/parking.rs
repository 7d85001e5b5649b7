//! Alerts about parking queues: an operator is also called for parked messages that could not be
//! recorded in the ledger, whether a stage or the broker parked them.

use nidbridge::pipeline::targets;
use std::collections::BTreeMap;
use std::time::Duration;

use nidbridge::broker::{Link, Outgoing, Target};
use nidbridge::domain::Cause;
use nidbridge::pipeline::names::{NID_REFUSED, REGISTRATIONS, REGISTRATIONS_WORK, UNROUTED, parking_queue};
use serde_json::Value;
use uuid::Uuid;

use super::hook::{Hook, Manner};
use super::{alerts, nothing_secret_is_logged, told, world_before};
use crate::harness::eventually;
use crate::harness::ledgers::Engine;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};
use crate::pipeline::on_both_ledgers;
use crate::replies::Vendor;

on_both_ledgers![
    a_message_that_could_not_be_recorded_alerts_once_whoever_parked_it,
    a_webhook_that_was_away_is_called_later_although_the_worker_was_killed,
];

/// The interval at which the processes look into the parking queues.
const QUICK: &str = "100ms";

fn garbage(id: &str) -> Outgoing {
    Outgoing {
        id: id.to_owned(),
        kind: "registration.v1",
        content_type: "application/json",
        correlation_id: None,
        headers: BTreeMap::new(),
        body: b"Sesame of the body".to_vec(),
    }
}

async fn publish(link: &Link, to: &Target, id: &str) {
    let sent = async || link.publisher().publish(to, garbage(id)).await.ok();
    eventually(SOON, "published", sent).await;
}

/// Alerts about a parking queue, oldest first: cause, message and depth.
fn about(hook: &Hook, queue: &str) -> Vec<(String, Option<String>, u64)> {
    let mut told: Vec<Value> = told(hook).values().map(super::hook::Call::json).collect();
    told.retain(|alert| alert["queue"] == queue);
    told.sort_by_key(|alert| alert["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let row = |alert: &Value| {
        (text(&alert["cause"]).unwrap(), text(&alert["message_id"]), alert["messages"].as_u64().unwrap())
    };
    told.iter().map(row).collect()
}

/// Waits until a parking queue has caused this many alerts.
async fn calls(hook: &Hook, queue: &str, count: usize) -> Vec<(String, Option<String>, u64)> {
    let what = format!("{count} alerts about {queue}");
    eventually(SOON, &what, async || Some(about(hook, queue)).filter(|told| told.len() >= count)).await
}

/// Takes a message and returns it, like a process that crashes on it each time.
async fn dies_of_it(link: &Link, queue: &str, times: usize) {
    for _ in 0..times {
        eventually(SOON, "the message is there", async || {
            let gone = link.depth(&parking_queue(queue)).await.unwrap().ready > 0;
            (gone || link.peek(queue, 1).await.unwrap().len() == 1).then_some(())
        })
        .await;
    }
}

async fn one_of_each(world: &mut World) -> (String, String) {
    let ours = world.look().await;
    let lost = Uuid::new_v4().to_string();
    publish(&ours, &Target::new(REGISTRATIONS, "nobody"), &lost).await;
    world.kill9("worker");
    publish(&ours, &targets::registrations(), "Sesame of the id").await;
    dies_of_it(&ours, REGISTRATIONS_WORK, 4).await;
    let place = parking_queue(REGISTRATIONS_WORK);
    eventually(SOON, "the broker parks it", async || {
        (ours.depth(&place).await.unwrap().ready == 1).then_some(())
    })
    .await;
    ours.close().await;
    world.start("worker");
    (Vendor::of(world).await.says(b"Sesame of the reply".to_vec()).await, lost)
}

async fn a_message_that_could_not_be_recorded_alerts_once_whoever_parked_it(engine: Engine) {
    let port = free_port();
    let hook = Hook::listening(port, Manner::Takes).await;
    let settings = [("ALERT_INTERVAL", QUICK), ("BROKER_DELIVERY_LIMIT", "3"), ("TOKEN_INTERVAL", "1h")];
    let mut world = world_before(engine, port, &settings).await;
    let (reply, lost) = one_of_each(&mut world).await;
    let (replies, registrations) = (NID_REFUSED.to_owned(), parking_queue(REGISTRATIONS_WORK));
    for (queue, cause, message) in [
        (replies.as_str(), Cause::Malformed, Some(reply)),
        (&registrations, Cause::DeliveryLimit, None),
        (UNROUTED, Cause::Unrouted, Some(lost)),
    ] {
        assert_eq!(calls(&hook, queue, 1).await, [(cause.as_str().to_owned(), message, 1)]);
        let calls = told(&hook);
        let alert =
            calls.values().map(super::hook::Call::json).find(|alert| alert["queue"] == queue).unwrap();
        let mut members: Vec<&str> = alert.as_object().unwrap().keys().map(String::as_str).collect();
        // Only an alert about a reply has a detail: the member at fault, and the request.
        let has_detail = members.contains(&"detail");
        assert_eq!(has_detail, cause == Cause::Malformed, "{alert}");
        members.retain(|member| *member != "detail");
        let known =
            ["at", "cause", "id", "means", "message_id", "messages", "queue", "state", "v", "what_to_do"];
        assert_eq!(members, known);
        assert_eq!(
            (&alert["state"], &alert["what_to_do"]),
            (&"parked".into(), &cause.advice().action.into())
        );
    }
    // Neither an operator who looks into the queue nor another worker causes a second alert.
    for _ in 0..5 {
        world.run(&["queue", "list", &replies], &[]).await;
    }
    world.kill9("worker");
    world.start("worker");
    let vendor = Vendor::of(&world).await;
    let next = vendor.says(b"Sesame again".to_vec()).await;
    assert_eq!(calls(&hook, &replies, 2).await[1], ("malformed".to_owned(), Some(next), 2));
    assert_eq!(alerts(&hook, 4).await.len(), 4, "each of them once");
    // A message that comes again after the queue was emptied causes an alert.
    let look = world.look_nid().await;
    eventually(SOON, "nothing is known of it", async || {
        // The worker may be reading the queue, which hides its messages for a moment.
        while look.take(&replies).await.unwrap().is_some() {}
        (world.ledger.parked_reported(&replies).await.unwrap().messages == 0).then_some(())
    })
    .await;
    vendor.says(b"Sesame once more".to_vec()).await;
    assert_eq!(calls(&hook, &replies, 3).await[2].2, 1);
    as_many_come_as_were_taken_away(&mut world, &hook, &look).await;
    let bodies: Vec<u8> = hook.calls().into_iter().flat_map(|call| call.body).collect();
    assert!(!String::from_utf8_lossy(&bodies).contains("Sesame"));
    nothing_secret_is_logged(&world);
    look.close().await;
}

/// Between two polls one message is taken and another is parked: the count alone would not show it.
async fn as_many_come_as_were_taken_away(world: &mut World, hook: &Hook, look: &Link) {
    let replies = NID_REFUSED.to_owned();
    world.kill9("worker");
    let known = world.ledger.parked_reported(&replies).await.unwrap();
    let taken = look.take(&replies).await.unwrap().expect("the parked reply");
    let mut headers = taken.headers;
    headers.insert("x-parked-at".to_owned(), jiff::Timestamp::now().to_string());
    let outgoing = Outgoing { headers, ..garbage("3f6f1c2e-53a5-4bbf-9a43-0a7d4bb6c1de") };
    let sent = async || look.publisher().publish(&Target::queue(&replies), outgoing.clone()).await.ok();
    eventually(SOON, "published", sent).await;
    world.start("worker");
    let again = calls(hook, &replies, 4).await;
    assert_eq!((again[3].2, known.messages), (1, 1), "{again:?}");
    a_replayed_reply_is_parked_again(world, hook).await;
}

/// `queue replay` takes what it moves off the report, so a reply that is parked again is growth.
async fn a_replayed_reply_is_parked_again(world: &mut World, hook: &Hook) {
    let replies = NID_REFUSED.to_owned();
    world.kill9("worker");
    let replay = ["queue", "replay", &replies, "--reason", "mended, it was said", "--by", "ada"];
    let (code, said) = world.run(&replay, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 name no record of the ledger"), "{said}");
    assert_eq!(world.ledger.parked_reported(&replies).await.unwrap().messages, 0);
    world.start("worker");
    assert_eq!(calls(hook, &replies, 5).await[4].2, 1);
}

async fn a_webhook_that_was_away_is_called_later_although_the_worker_was_killed(engine: Engine) {
    let port = free_port();
    let mut world = world_before(engine, port, &[("ALERT_INTERVAL", QUICK)]).await;
    let vendor = Vendor::of(&world).await;
    vendor.says(b"Sesame of the reply".to_vec()).await;
    let place = NID_REFUSED.to_owned();
    eventually(SOON, "the alert is in the ledger", async || {
        (world.ledger.parked_reported(&place).await.unwrap().messages == 1).then_some(())
    })
    .await;
    world.kill9("worker");
    let hook = Hook::listening(port, Manner::Takes).await;
    // A confirmer sends the alert that a worker wrote.
    assert_eq!(calls(&hook, &place, 1).await.len(), 1);
    eventually(Duration::from_secs(10), "the ledger knows that it was taken", async || {
        let (hour, any) = (Duration::from_secs(3_600), Duration::ZERO);
        world.ledger.claim_alerts(10, any, hour).await.unwrap().is_empty().then_some(())
    })
    .await;
}
