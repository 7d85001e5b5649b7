//! The front's answers to triggers of the events generation: 202 if the registration is stored, 400
//! if it certainly is not, and no other status.

use std::time::Duration;

use nidbridge::sandbox::opencrvs::{Claims, OpencrvsSettings, OpencrvsSim};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use super::wire::{Answer, connect, send};
use super::{births, stored, token, view};
use crate::harness::ledgers::Engine;
use crate::harness::world::World;

pub(super) const REGISTER: &str = "/trigger/events/birth/actions/REGISTER";

pub(super) async fn post(front: &Url, path: &str, token: &str, body: &[u8]) -> Answer {
    send(front, &request(path, token, body)).await
}

fn request(path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: front\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(super) fn event(id: &str, action: &str) -> Value {
    json!({ "id": id, "type": "birth", "trackingId": "PRZIB7", "actions": [
        { "id": "a", "type": "DECLARE", "status": "Accepted", "createdAt": "2026-01-01T00:00:00.000Z",
          "declaration": { "child.name": { "firstname": "Before", "surname": "Same" },
              "child.dob": "2025-12-24", "child.gender": "female" } },
        { "id": action, "type": "REGISTER", "status": "Requested", "createdAt": "2026-01-02T00:00:00.000Z",
          "createdAtLocation": "office-1", "declaration": { "child.name": { "firstname": super::NAME } } },
    ]})
}

pub(super) fn action_token(world: &World, event: &str, action: &str) -> String {
    world.opencrvs.mint(&world.opencrvs.action_claims(event, action)).unwrap()
}

/// A service token as auth of OpenCRVS 2.1 signs it, after this change.
fn service_token(opencrvs: &OpencrvsSim, change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = Claims {
        sub: "__SERVICE_USER__".to_owned(),
        aud: vec!["opencrvs:countryconfig-user".to_owned()],
        scope: vec![],
        record_id: None,
        ..opencrvs.record_claims("")
    };
    change(&mut claims);
    opencrvs.mint(&claims).unwrap()
}

/// An event without a REGISTER that waits for an answer, and why.
fn without_a_pending_registration() -> [(&'static str, Value); 3] {
    let mut other = event("event-1", "action-1");
    other["actions"][1]["type"] = "DECLARE".into();
    let mut accepted = event("event-1", "action-1");
    let answer =
        json!({ "id": "x", "type": "REGISTER", "status": "Accepted", "originalActionId": "action-1" });
    accepted["actions"].as_array_mut().unwrap().push(answer);
    let mut none = event("event-1", "action-1");
    none["actions"].as_array_mut().unwrap().pop();
    [("no registration", none), ("of another type", other), ("not pending any more", accepted)]
}

pub(super) fn set_up(world: &mut World) {
    let spool = world.dir.join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    world.set("FRONT_EVENTS", "true");
    world.set("FRONT_SPOOL", &spool.display().to_string());
}

pub(super) async fn front(settings: &[(&str, &str)]) -> World {
    let mut world = World::empty(Engine::Sqlite, settings).await;
    set_up(&mut world);
    world.start("front");
    world.ready("front").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_stored_as_the_registrar_left_it() {
    let world = front(&[]).await;
    let body = event("event-1", "action-1").to_string();
    let answer =
        post(&world.front, REGISTER, &action_token(&world, "event-1", "action-1"), body.as_bytes()).await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    let (message, view) = view(&stored(&world).await[0]);
    let registration = message.registration;
    assert_eq!((registration.key.record.as_str(), registration.key.mark.as_str()), ("event-1", "action-1"));
    assert_eq!(registration.key.dialect.as_str(), "events");
    assert_eq!(registration.key.stamp.to_string(), "2026-01-02T00:00:00Z");
    let child = view.person(nidbridge::domain::Role::Child).unwrap().name.clone().unwrap();
    assert_eq!((child.firstname.as_deref(), child.surname.as_deref()), (Some(super::NAME), Some("Same")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_certainly_not_stored_is_answered_400_and_never_anything_else() {
    let world = front(&[("FRONT_MAX_BODY", "64KiB"), ("FRONT_BODY_TIMEOUT", "300ms")]).await;
    let good = event("event-1", "action-1").to_string();
    let token_1 = action_token(&world, "event-1", "action-1");
    let stranger = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
    let forged = stranger.mint(&stranger.action_claims("event-1", "action-1")).unwrap();
    let other = action_token(&world, "event-2", "action-1");
    let fhir = token(&world, &births(1, 5)[0]);
    let huge = vec![b' '; 100 * 1024];
    for (what, token, body) in [
        ("no token", "", good.as_bytes()),
        ("garbage", "x.y.z", good.as_bytes()),
        ("forged", forged.as_str(), good.as_bytes()),
        ("of another event", other.as_str(), good.as_bytes()),
        ("of the other generation", fhir.as_str(), good.as_bytes()),
        ("no body", token_1.as_str(), b"".as_slice()),
        ("no JSON", token_1.as_str(), b"{".as_slice()),
        ("too long", token_1.as_str(), huge.as_slice()),
    ] {
        let answer = post(&world.front, REGISTER, token, body).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert!(!answer.body.contains(super::NAME), "{what}: {answer:?}");
    }
    let stalled = format!(
        "POST {REGISTER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token_1}\r\nContent-Length: 9\r\n\r\n{{"
    );
    assert_eq!(send(&world.front, stalled.as_bytes()).await.status, 400);
    assert!(stored(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_with_a_service_token_is_stored_without_the_token_and_for_its_last_pending_action() {
    let world = front(&[("OPENCRVS_SERVICE_USER", "__SERVICE_USER__, another-name")]).await;
    let mut two = event("event-2", "action-2");
    let mut later = two["actions"][1].clone();
    later["id"] = "action-3".into();
    later["createdAt"] = "2026-01-03T00:00:00.000Z".into();
    two["actions"].as_array_mut().unwrap().insert(0, later);
    let plain = service_token(&world.opencrvs, |_| {});
    let named = service_token(&world.opencrvs, |claims| claims.sub = "another-name".to_owned());
    let bound = service_token(&world.opencrvs, |claims| {
        claims.sub = "a registrar".to_owned();
        (claims.event_id, claims.action_id) = (Some("event-2".to_owned()), Some("action-2".to_owned()));
    });
    for (token, body, action) in [
        (&plain, event("event-1", "action-1"), "action-1"),
        (&named, event("event-1", "action-1"), "action-1"),
        (&plain, two.clone(), "action-3"),
        (&bound, two, "action-2"),
    ] {
        let answer = post(&world.front, REGISTER, token, body.to_string().as_bytes()).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, ""), "{action}");
        let (message, view) = view(&stored(&world).await[0]);
        assert_eq!((message.v, message.sealed_token), (2, None), "an older worker must not read it");
        let registration = message.registration;
        assert_eq!((registration.key.mark.as_str(), registration.token_expires_at), (action, None));
        assert_eq!(registration.key.dialect.as_str(), "events");
        assert!(view.person(nidbridge::domain::Role::Child).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_token_does_not_prove_or_the_body_does_not_hold_is_answered_400_with_the_fix() {
    let world = front(&[]).await;
    let good = event("event-1", "action-1");
    let stranger = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
    let of_us = |change: fn(&mut Claims)| service_token(&world.opencrvs, change);
    let plain = of_us(|_| {});
    let tokens = [
        ("another subject", of_us(|claims| claims.sub = "someone".to_owned()), "check OPENCRVS_SERVICE_USER"),
        ("forged", service_token(&stranger, |_| {}), "check AUTH_URL"),
        ("expired", of_us(|claims| claims.exp = claims.iat - 1), "submit the record again"),
        ("of a user", world.opencrvs.user_token("user-1", &["record.register"]).unwrap(), "not a user's"),
        (
            "of another event",
            of_us(|claims| {
                (claims.event_id, claims.action_id) =
                    (Some("event-2".to_owned()), Some("action-1".to_owned()));
            }),
            "send the token of this record",
        ),
        (
            "of another action",
            of_us(|claims| {
                (claims.event_id, claims.action_id) =
                    (Some("event-1".to_owned()), Some("action-2".to_owned()));
            }),
            "send the document with all its actions",
        ),
    ];
    let bodies = without_a_pending_registration();
    let cases = tokens.iter().map(|(what, token, fix)| (*what, token, &good, *fix));
    let cases = cases.chain(
        bodies.iter().map(|(what, body)| (*what, &plain, body, "send the document with all its actions")),
    );
    for (what, token, body, fix) in cases {
        let answer = post(&world.front, REGISTER, token, body.to_string().as_bytes()).await;
        let message = super::boom(&answer, what, 400, "Bad Request");
        assert!(message.contains(": ") && message.contains(fix), "{what}: {message}");
    }
    assert!(stored(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_token_opens_no_route_of_the_fhir_generation() {
    let world = World::with_front(&[]).await;
    let body = super::bundle(&births(1, 5)[0]).to_string();
    let token = service_token(&world.opencrvs, |_| {});
    let answer = post(&world.front, "/event-registration", &token, body.as_bytes()).await;
    assert!(super::boom(&answer, "a service token", 401, "Unauthorized").contains("other generation"));
    assert!(stored(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_other_actions_are_answered_200_without_a_body() {
    let world = front(&[]).await;
    for action in ["DECLARE", "NOTIFY", "CUSTOM", "APPROVE_CORRECTION"] {
        let path = format!("/trigger/events/birth/actions/{action}");
        let answer = post(&world.front, &path, "x", b"{}").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_without_events_rejects_a_trigger_and_strands_no_record() {
    let world = World::with_front(&[]).await;
    let body = event("event-1", "action-1").to_string();
    let answer =
        post(&world.front, REGISTER, &action_token(&world, "event-1", "action-1"), body.as_bytes()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("FRONT_EVENTS"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_accepted_although_its_caller_disconnects() {
    let mut world = World::empty(Engine::Sqlite, &[("FRONT_HOLD", "20s")]).await;
    let proxy = world.proxy_to_broker().await;
    set_up(&mut world);
    world.start("front");
    world.ready("front").await;
    proxy.cut();
    let (body, token) =
        (event("event-1", "action-1").to_string(), action_token(&world, "event-1", "action-1"));
    let mut caller = connect(&world.front).await;
    caller.write_all(&request(REGISTER, &token, body.as_bytes())).await.unwrap();
    let at_it = async || world.log_text("front").contains("publishing the registration failed").then_some(());
    crate::harness::eventually(Duration::from_secs(30), "the front has read the registration", at_it).await;
    caller.shutdown().await.unwrap();
    // The front noticed that the caller had gone before it could store anything.
    assert_eq!(caller.read(&mut [0; 16]).await.unwrap_or_default(), 0);
    proxy.restore();
    let look = world.look().await;
    let there = async || (look.depth("registrations.work").await.ok()?.ready == 1).then_some(());
    crate::harness::eventually(Duration::from_secs(30), "it is stored", there).await;
    look.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_broker_a_registration_is_spooled_and_without_the_spool_it_is_rejected() {
    let mut world =
        World::empty(Engine::Sqlite, &[("FRONT_HOLD", "200ms"), ("PUBLISH_TIMEOUT", "300ms")]).await;
    let proxy = world.proxy_to_broker().await;
    set_up(&mut world);
    world.set("FRONT_SPOOL_MAX", "12KiB");
    world.start("front");
    world.ready("front").await;
    world.front_is_connected().await;
    proxy.cut();
    let mut statuses = Vec::new();
    for n in 0..20 {
        let (id, action) = (format!("event-{n}"), format!("action-{n}"));
        let body = event(&id, &action).to_string();
        let token = action_token(&world, &id, &action);
        statuses.push(post(&world.front, REGISTER, &token, body.as_bytes()).await.status);
    }
    let taken = statuses.iter().filter(|status| **status == 202).count();
    assert!(taken > 0 && taken < 20, "{statuses:?}");
    assert!(statuses.iter().all(|status| [202, 400].contains(status)), "{statuses:?}");
    proxy.restore();
    let all = crate::harness::eventually(Duration::from_secs(30), "the spool is empty", async || {
        let look = world.look().await;
        let depth = look.depth("registrations.work").await.ok()?.ready;
        look.close().await;
        (depth == u32::try_from(taken).ok()?).then_some(())
    });
    all.await;
}
