//! Alerts by webhook: an operator is alerted at once, or as soon as the webhook or the process
//! works again.
//!
//! Each test runs on SQLite and on PostgreSQL.

pub mod hook;
mod parking;
mod vendor;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use nidbridge::domain::{Cause, RecordId};
use nidbridge::ledger::{About, Stage};
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Calls, Fault, Status, SubmitOptions};
use nidbridge::sandbox::population::{Declaration, Kind};

use self::hook::{Call, Hook, Manner};
use crate::harness::eventually;
use crate::harness::ledgers::{Engine, OpenLedger, both};
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World, request_of};
use crate::ledger::{TTL, receive, requested};
use crate::pipeline::{ends_as, on_both_ledgers, people, stands_as};

on_both_ledgers![
    alerts_reach_a_webhook_that_was_away_although_every_role_was_killed,
    a_webhook_that_hangs_holds_up_nothing_and_gets_the_same_alert_again,
    the_process_that_writes_an_alert_sends_it_at_once,
];

const ALERTS: &str = "nidbridge_alerts_total";
const SECRET: &str = "Sesame-of-the-signature";

async fn submit(world: &World, declaration: &Declaration) {
    let sent = world.opencrvs.submit(declaration, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(sent.result.is_success(), "{:?}", sent.result);
}

/// The last call of each alert, by the alert's id.
fn told(hook: &Hook) -> BTreeMap<String, Call> {
    hook.calls().into_iter().map(|call| (call.id(), call)).collect()
}

async fn alerts(hook: &Hook, count: usize) -> BTreeMap<String, Call> {
    eventually(SOON, &format!("{count} alerts"), async || (told(hook).len() >= count).then(|| told(hook)))
        .await
}

async fn is_about(world: &World, call: &Call, declaration: &Declaration, state: &str, cause: &str) {
    let told = call.json();
    let record = RecordId::parse(&declaration.record).unwrap();
    let attempt = world.ledger.newest_attempt(&record).await.unwrap().unwrap().attempt;
    for (member, expected) in [
        ("record_id", declaration.record.as_str()),
        ("tracking_id", &declaration.tracking_id),
        ("attempt_id", &attempt.id.to_string()),
        ("state", state),
        ("cause", cause),
    ] {
        assert_eq!(told[member], expected, "{told}");
    }
    let members: Vec<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    let known = [
        "at",
        "attempt_id",
        "cause",
        "id",
        "means",
        "record_id",
        "state",
        "token_expires_at",
        "token_hours_left",
        "tracking_id",
        "v",
        "what_to_do",
    ];
    assert_eq!(members, known);
    let left = told["token_hours_left"].as_f64().unwrap();
    assert!((166.0..168.0).contains(&left), "{told}");
    assert_eq!(told["what_to_do"], Cause::parse(cause).unwrap().advice().action);
    assert_eq!(call.header("x-nidbridge-alert"), told["id"].as_str());
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), &call.body);
    let hex: String = signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(call.header("x-nidbridge-signature"), Some(format!("sha256={hex}").as_str()));
}

async fn world_before(engine: Engine, port: u16, settings: &[(&str, &str)]) -> World {
    let url = format!("http://127.0.0.1:{port}/hooks/Sesame-of-the-path");
    let ours = [("ALERT_WEBHOOK", url.as_str()), ("ALERT_SECRET", SECRET), ("ALERT_TIMEOUT", "1s")];
    World::with(engine, &[&ours, settings].concat()).await
}

fn nothing_secret_is_logged(world: &World) {
    for role in ["front", "worker", "confirmer"] {
        let log = world.log_text(role);
        assert!(!log.contains("Sesame"), "{role}");
    }
}

async fn alerts_reach_a_webhook_that_was_away_although_every_role_was_killed(engine: Engine) {
    let port = free_port();
    let mut world = world_before(engine, port, &[]).await;
    let births = people(Kind::Birth, 3, 51);
    let [held, parked, well] = &births[..] else { panic!("births") };
    world.nid.will_answer(&request_of(&held.record, "birth"), Final::Rejected("not_eligible"));
    submit(&world, held).await;
    stands_as(&world, &held.record, "held").await;
    world.opencrvs.faults().next(Calls::Fetch, 1, Fault::AUTHENTICATION_FAILED);
    submit(&world, parked).await;
    stands_as(&world, &parked.record, "parked").await;
    submit(&world, well).await;
    ends_as(&world, &well.record, Status::Registered).await;
    eventually(SOON, "the webhook was tried", async || {
        let tried = |role| world.metric(role, ALERTS, "refused");
        (tried("worker") + tried("confirmer") >= 2.0).then_some(())
    })
    .await;
    for role in ["worker", "confirmer"] {
        world.kill9(role);
    }
    let hook = Hook::listening(port, Manner::Refuses).await;
    world.start("worker");
    eventually(SOON, "a call that is refused", async || (!hook.calls().is_empty()).then_some(())).await;
    hook.behave(Manner::Takes);
    world.start("confirmer");
    alerts(&hook, 2).await;
    eventually(SOON, "both are taken", async || {
        let taken = |role| world.metric(role, ALERTS, "taken");
        (taken("worker") + taken("confirmer") >= 2.0).then_some(())
    })
    .await;
    let told = told(&hook);
    assert_eq!(told.len(), 2, "{told:?}");
    for call in told.values() {
        if call.json()["record_id"] == held.record.as_str() {
            is_about(&world, call, held, "held", "rejected_by_id_system").await;
        } else {
            is_about(&world, call, parked, "parked", "registrar_inactive").await;
        }
    }
    nothing_secret_is_logged(&world);
}

async fn a_webhook_that_hangs_holds_up_nothing_and_gets_the_same_alert_again(engine: Engine) {
    let port = free_port();
    let hook = Hook::listening(port, Manner::Hangs).await;
    let mut world = world_before(engine, port, &[("ALERT_TIMEOUT", "20s")]).await;
    let births = people(Kind::Birth, 3, 52);
    world.nid.will_answer(&request_of(&births[0].record, "birth"), Final::Rejected("not_eligible"));
    submit(&world, &births[0]).await;
    alerts(&hook, 1).await;
    for birth in &births[1..] {
        submit(&world, birth).await;
        ends_as(&world, &birth.record, Status::Registered).await;
    }
    assert_eq!(hook.calls().len(), 1, "another process waits until the claim on the alert has ended");
    for role in ["worker", "confirmer"] {
        world.kill9(role);
    }
    hook.behave(Manner::Takes);
    for role in ["worker", "confirmer"] {
        world.start(role);
    }
    eventually(SOON, "it comes again", async || (hook.calls().len() == 2).then_some(())).await;
    let [first, second] = &hook.calls()[..] else { panic!("{:?}", hook.calls()) };
    assert_eq!(first.id(), second.id());
    is_about(&world, second, &births[0], "held", "rejected_by_id_system").await;
}

async fn the_process_that_writes_an_alert_sends_it_at_once(engine: Engine) {
    let port = free_port();
    let hook = Hook::listening(port, Manner::Takes).await;
    // No other process looks for unsent alerts within this test.
    let settings = [("ALERT_INTERVAL", "1h"), ("TOKEN_INTERVAL", "200ms")];
    let world = world_before(engine, port, &settings).await;
    let births = people(Kind::Birth, 2, 53);
    world.nid.will_answer(&request_of(&births[0].record, "birth"), Final::Rejected("not_eligible"));
    submit(&world, &births[0]).await;
    let first = alerts(&hook, 1).await;
    is_about(&world, first.values().next().unwrap(), &births[0], "held", "rejected_by_id_system").await;
    world.nid.pause_replies();
    submit(&world, &births[1]).await;
    stands_as(&world, &births[1].record, "requested").await;
    world.opencrvs.rotate_key().unwrap();
    let second = alerts(&hook, 2).await;
    let orphaned = second.values().find(|call| call.json()["record_id"] == births[1].record.as_str());
    is_about(&world, orphaned.unwrap(), &births[1], "requested", "token_orphaned").await;
}

/// A core whose clock runs ahead, or a wrong template, concerns thousands of records.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_alerts_of_one_cause_some_are_sent_and_the_others_counted_and_each_record_has_its_entry() {
    for open in &both().await {
        let ledger = &open.ledger;
        for n in 0..13 {
            let case = receive(ledger, &format!("many{n}"), n).await;
            ledger.park(&case, Stage::Send, Cause::NotInOpencrvs).await.unwrap();
            let history = ledger.history(&case.record.id).await.unwrap();
            assert_eq!(history.last().unwrap().cause, Some(Cause::NotInOpencrvs.into()), "{n}");
        }
        let other = receive(ledger, "other", 0).await;
        ledger.park(&other, Stage::Send, Cause::Unfit).await.unwrap();
        let now = ledger.claim_alerts(100, TTL, TTL).await.unwrap();
        let of = |cause| now.iter().filter(|alert| alert.cause == cause).count();
        assert_eq!((of(Cause::NotInOpencrvs), of(Cause::Unfit)), (10, 1));
        assert!(now.iter().all(|alert| matches!(alert.about, About::Record { .. })), "{now:?}");
        // The hour ends.
        open.execute("UPDATE alert SET next_at = 0 WHERE messages IS NOT NULL").await.unwrap();
        let later = ledger.claim_alerts(100, TTL, TTL).await.unwrap();
        let [counted] = later.as_slice() else { panic!("{later:?}") };
        assert_eq!((counted.cause, &counted.about), (Cause::NotInOpencrvs, &About::Many { records: 3 }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_with_one_process_at_a_time_and_is_given_up_when_it_is_old() {
    for open in &both().await {
        let OpenLedger { ledger, .. } = open;
        let other = open.reopen_as("other").await;
        let case = requested(ledger, "r", 0).await;
        ledger.park(&case, Stage::Confirm, Cause::TokenRefused).await.unwrap();
        let most_old = Duration::from_secs(3_600);
        let taken = ledger.claim_alerts(10, TTL, most_old).await.unwrap();
        let id = taken[0].id.clone();
        assert!(other.claim_alerts(10, TTL, most_old).await.unwrap().is_empty());
        other.alert_failed(&id, Duration::ZERO).await.unwrap();
        assert!(
            other.claim_alerts(10, TTL, most_old).await.unwrap().is_empty(),
            "it is not theirs to give back"
        );
        ledger.alert_failed(&id, TTL).await.unwrap();
        assert!(other.claim_alerts(10, TTL, most_old).await.unwrap().is_empty(), "not due yet");
        ledger.alert_failed(&id, Duration::ZERO).await.unwrap();
        let again = other.claim_alerts(10, TTL, most_old).await.unwrap();
        assert_eq!((again[0].id.as_str(), again[0].tries), (id.as_str(), 1));
        other.alert_failed(&id, Duration::ZERO).await.unwrap();
        assert_eq!(other.abandon_alerts(most_old).await.unwrap(), 0);
        eventually(TTL, "time passes", async || {
            (other.abandon_alerts(Duration::ZERO).await.unwrap() == 1).then_some(())
        })
        .await;
        assert!(other.claim_alerts(10, TTL, most_old).await.unwrap().is_empty());
    }
}
