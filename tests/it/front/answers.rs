//! Paths and methods of the front other than registrations.

use serde_json::{Value, json};

use super::wire::{Post, ask};
use super::{births, boom, bundle, token};
use crate::harness::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_answered_and_counted() {
    let world = World::with_front(&[]).await;
    for (method, path) in [("GET", "/"), ("POST", "/"), ("POST", "/x"), ("GET", "/metrics")] {
        let message = boom(&ask(&world.front, method, path).await, path, 404, "Not Found");
        assert!(message.contains("POST /event-registration"), "{message}");
    }
    for (method, path, allowed) in [
        ("GET", "/event-registration", "POST"),
        ("DELETE", "/event-registration", "POST"),
        ("POST", "/ping", "GET"),
    ] {
        let answer = ask(&world.front, method, path).await;
        let message = boom(&answer, path, 405, "Method Not Allowed");
        assert!(message.contains("POST /event-registration"), "{message}");
        assert!(answer.header("allow").is_some_and(|methods| methods.contains(allowed)), "{answer:?}");
    }
    let ping = ask(&world.front, "GET", "/ping").await;
    assert_eq!((ping.status, ping.body.as_str()), (200, r#"{"success":true}"#));

    let declaration = births(1, 151).remove(0);
    let (good, token) = (bundle(&declaration).to_string(), token(&world, &declaration));
    for (token, body, status) in
        [("x", good.as_str(), 401), (&token, "{", 400), (&token, "", 400), (&token, &good, 202)]
    {
        assert_eq!(Post::new(token, body).to(&world.front).await.status, status);
    }
    let counted =
        |outcome: &str| world.metric("front", "nidbridge_received_total", &format!("outcome=\"{outcome}\""));
    let counts = ["unauthorized", "bad_request", "accepted", "unknown"].map(counted);
    assert_eq!(counts, [1.0, 2.0, 1.0, 7.0]);
    let accepted = world.metric("front", "nidbridge_received_total", "event=\"birth\"");
    assert_eq!(accepted, 1.0);
    for (path, expected) in [
        ("/livez", json!({"alive": true})),
        ("/readyz", json!({"ready": true, "missing": [], "why": {}, "left_alone": [], "warnings": {}})),
    ] {
        let (status, body) = world.admin("front", path).unwrap();
        assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected));
    }
    let (status, metrics) = world.admin("front", "/metrics").unwrap();
    assert!(status == 200 && metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(!metrics.contains(&declaration.record) && !metrics.contains(super::NAME));
}
