//! OpenCRVS has started: the front registers the bridge's client and passes the call on.
//!
//! The events service here follows `packages/events/src/router/integrations` of opencrvs-core and
//! the page *Create a client* of its documentation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use nidbridge::sandbox::opencrvs::Claims;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::country::Country;
use super::{at, client, without_a_broker};
use crate::harness::ports::free_port;
use crate::harness::world::World;

const READY: [&str; 2] = ["/trigger/system/ready", "/triggers/system/ready"];
const ID: &str = "7d1c0a52-3f0e-4a55-9b1e-5a0a6c0c9b11";
const SECRET: &str = "a-secret-that-no-log-shows";

/// An events service that knows clients.
#[derive(Default)]
struct Events {
    clients: Mutex<Vec<Value>>,
    /// The bearer tokens that came.
    tokens: Mutex<Vec<String>>,
    /// The bodies of the creations.
    created: Mutex<Vec<Value>>,
    delay: Mutex<Duration>,
    /// Whether another front creates the same client between our list and our creation.
    race: Mutex<bool>,
}

impl Events {
    async fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let events = Arc::new(Self::default());
        let router =
            Router::new().route("/integrations", get(list).post(create)).with_state(Arc::clone(&events));
        drop(tokio::spawn(async move { axum::serve(listener, router).await }));
        (events, url)
    }

    async fn called(&self, headers: &HeaderMap) {
        let token = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ");
        self.tokens.lock().unwrap().push(token.to_owned());
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
    }

    fn names(&self) -> Vec<String> {
        let clients = self.clients.lock().unwrap();
        clients.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }
}

async fn list(State(events): State<Arc<Events>>, headers: HeaderMap) -> Json<Value> {
    events.called(&headers).await;
    let listed = Json(json!(*events.clients.lock().unwrap()));
    if std::mem::take(&mut *events.race.lock().unwrap()) {
        events.clients.lock().unwrap().push(json!({ "id": ID, "name": "NID Bridge" }));
    }
    listed
}

async fn create(State(events): State<Arc<Events>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    events.called(&headers).await;
    events.created.lock().unwrap().push(body.clone());
    let id = body["credentials"]["clientId"].as_str().unwrap();
    let mut clients = events.clients.lock().unwrap();
    if clients.iter().any(|one| one["id"] == id) {
        let conflict = json!({ "message": "Client id is taken", "code": "CONFLICT" });
        return (StatusCode::CONFLICT, Json(conflict)).into_response();
    }
    clients.push(json!({ "id": id, "name": body["name"], "scopes": body["scopes"], "status": "active" }));
    let secret = &body["credentials"]["clientSecret"];
    Json(json!({ "clientId": id, "clientSecret": secret, "shaSecret": "x" })).into_response()
}

/// A front that registers the client, before the country config if there is one.
async fn front(events: &str, country: Option<&str>) -> World {
    let mut world = without_a_broker(&[
        ("OPENCRVS_REGISTER_CLIENT", "true"),
        ("OPENCRVS_CLIENT_ID", ID),
        ("OPENCRVS_CLIENT_SECRET", SECRET),
        ("OPENCRVS_EVENTS_URL", events),
    ])
    .await;
    if let Some(country) = country {
        world.set("COUNTRY_CONFIG_URL", country);
    }
    world.start("front");
    world.ready("front").await;
    world
}

fn bootstrap_claims() -> Claims {
    let now = jiff::Timestamp::now();
    Claims {
        sub: "dc7b8b8f-0f2a-4f8c-9c1f-0c4e1f8d4f11".to_owned(),
        aud: ["countryconfig-user", "events-user"].map(|name| format!("opencrvs:{name}")).into(),
        exp: now.as_second() + 60,
        ..Claims::user("x", &["type=integration.create"], now)
    }
}

fn bootstrap(world: &World) -> String {
    world.opencrvs.mint(&bootstrap_claims()).unwrap()
}

async fn ready(world: &World, path: &str, token: &str) -> reqwest::Response {
    client().get(at(world, path)).bearer_auth(token).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_created_once_and_the_country_config_gets_every_call_unchanged() {
    let (events, url) = Events::start().await;
    events.clients.lock().unwrap().push(json!({ "id": "1", "name": "MOSIP" }));
    let country = Country::start().await;
    let world = front(&url, Some(&country.url())).await;
    let mut tokens = Vec::new();
    for path in READY.into_iter().chain(READY) {
        let token = bootstrap(&world);
        let seen: Value = ready(&world, path, &token).await.json().await.unwrap();
        assert_eq!(
            (&seen["method"], &seen["target"], &seen["body"]),
            (&json!("GET"), &json!(path), &json!(""))
        );
        assert_eq!(seen["headers"]["authorization"], format!("Bearer {token}"));
        tokens.push(token);
    }
    assert_eq!(events.names(), ["MOSIP", "NID Bridge"]);
    let created = std::mem::take(&mut *events.created.lock().unwrap());
    let scope = |right: &str| format!("type=record.{right}&event=birth,death,marriage");
    let scopes = ["action.accept", "action.reject", "read", "search"].map(scope);
    let body = json!({ "name": "NID Bridge", "scopes": scopes, "credentials": { "clientId": ID, "clientSecret": SECRET } });
    assert_eq!(created, [body]);
    assert!(events.tokens.lock().unwrap().iter().all(|token| tokens.contains(token)));
    assert_eq!(world.metric("front", "nidbridge_received_total", "outcome=\"registered\""), 4.0);
    let log = world.log_text("front");
    assert!(!log.contains(SECRET) && !tokens.iter().any(|token| log.contains(token)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_country_config_the_front_answers_by_itself() {
    let (events, url) = Events::start().await;
    let world = front(&url, None).await;
    *events.race.lock().unwrap() = true;
    for path in READY {
        let answer = ready(&world, path, &bootstrap(&world)).await;
        assert_eq!((answer.status(), answer.text().await.unwrap().as_str()), (StatusCode::OK, ""));
    }
    // Another front was faster, and core does not see that.
    assert_eq!((events.names(), events.created.lock().unwrap().len()), (vec!["NID Bridge".to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_token_of_core_registers_a_client() {
    let (events, url) = Events::start().await;
    let world = front(&url, None).await;
    let claims = bootstrap_claims();
    let mint = |claims: Claims| world.opencrvs.mint(&claims).unwrap();
    let aud = claims.aud.iter().skip(1).cloned().collect();
    for (what, token) in [
        ("garbage", "x.y.z".to_owned()),
        ("expired", mint(Claims { exp: claims.iat - 1, ..claims.clone() })),
        ("another issuer", mint(Claims { iss: "x".to_owned(), ..claims.clone() })),
        ("another audience", mint(Claims { aud, ..claims.clone() })),
        ("another scope", mint(Claims { scope: vec!["type=record.read".to_owned()], ..claims.clone() })),
        ("anonymous", mint(Claims::anonymous(jiff::Timestamp::now()))),
        ("a record's", mint(world.opencrvs.record_claims("r"))),
    ] {
        assert_eq!(ready(&world, READY[0], &token).await.status(), StatusCode::UNAUTHORIZED, "{what}");
    }
    let none = client().get(at(&world, READY[0])).send().await.unwrap();
    assert_eq!(none.status(), StatusCode::UNAUTHORIZED);
    let post = client().post(at(&world, READY[0])).bearer_auth(bootstrap(&world)).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::NOT_FOUND);
    assert!(events.tokens.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn core_calls_again_while_the_events_service_is_slow_or_away_and_the_country_gets_each_call() {
    let (events, url) = Events::start().await;
    let country = Country::start().await;
    let world = front(&url, Some(&country.url())).await;
    *events.delay.lock().unwrap() = Duration::from_secs(30);
    let begun = Instant::now();
    assert_eq!(ready(&world, READY[0], &bootstrap(&world)).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(begun.elapsed() < Duration::from_secs(4), "core gives up after 5 s: {:?}", begun.elapsed());
    assert_eq!(world.metric("front", "nidbridge_passed_total", ""), 1.0);
    *events.delay.lock().unwrap() = Duration::ZERO;
    assert_eq!(ready(&world, READY[0], &bootstrap(&world)).await.status(), StatusCode::OK);
    assert_eq!(events.names(), ["NID Bridge"]);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let world = front(&nobody, None).await;
    let answer = ready(&world, READY[0], &bootstrap(&world)).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: BTreeMap<String, Value> = answer.json().await.unwrap();
    assert!(body["message"].as_str().unwrap().contains("OPENCRVS_EVENTS_URL"), "{body:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_an_id_of_somebody_else_is_reported_and_does_not_make_core_loop() {
    for (taken, fix) in [
        (json!({ "id": "1", "name": "NID Bridge" }), "choose another OPENCRVS_CLIENT_NAME"),
        (json!({ "id": ID, "name": "MOSIP" }), "to a new UUID"),
        (json!({ "id": ID, "name": "NID Bridge", "status": "disabled" }), "activate it there"),
        (
            json!({ "id": ID, "name": "NID Bridge", "scopes": ["type=record.read&event=birth"] }),
            "lacks scopes",
        ),
    ] {
        let (events, url) = Events::start().await;
        events.clients.lock().unwrap().push(taken.clone());
        let world = front(&url, None).await;
        assert_eq!(ready(&world, READY[0], &bootstrap(&world)).await.status(), StatusCode::OK, "{taken}");
        assert_eq!(*events.clients.lock().unwrap(), std::slice::from_ref(&taken));
        let log = world.log_text("front");
        assert!(log.lines().any(|line| line.contains("\"ERROR\"") && line.contains(fix)), "{taken}: {log}");
    }
}
