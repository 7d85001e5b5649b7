//! Ready means able: a role that cannot do its work says so in `/readyz`, in its log and by one
//! alert, and goes on by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use nidbridge::sandbox::opencrvs::{CallResult, OpencrvsSettings, OpencrvsSim, SubmitOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::alerts::hook::{Hook, Manner};
use crate::front::wire::Post;
use crate::front::{births, bundle, token};
use crate::harness::ledgers::Engine;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};
use crate::harness::{ChaosProxy, eventually};
use crate::operator::ended;

/// Waits until `/readyz` of the front answers with this status, and a body that `test` accepts.
async fn front_says(world: &World, what: &str, status: u16, test: impl Fn(&Value) -> bool) -> Value {
    eventually(SOON, what, async || {
        let (found, body) = world.admin("front", "/readyz")?;
        let body: Value = serde_json::from_str(&body).ok()?;
        (found == status && test(&body)).then_some(body)
    })
    .await
}

fn text<'b>(body: &'b Value, of: &str, name: &str) -> &'b str {
    body[of][name].as_str().unwrap_or_default()
}

/// The causes of the alerts so far, without repetitions.
async fn alerted(hook: &Hook, cause: &str) -> Value {
    eventually(SOON, "the alert", async || {
        hook.calls().into_iter().map(|call| call.json()).find(|alert| alert["cause"] == cause)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_without_the_key_of_auth_is_not_ready_until_it_has_one() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let auth = SocketAddr::from(([127, 0, 0, 1], free_port()));
    world.set("AUTH_URL", &format!("http://{auth}"));
    world.start("front");
    let body =
        front_says(&world, "no key", 503, |body| text(body, "why", "front_auth_key").contains("did not"))
            .await;
    assert_eq!(body["missing"], serde_json::json!(["front_auth_key"]));
    assert!(
        text(&body, "why", "front_auth_key").starts_with("AUTH_URL (opencrvs.auth_url): auth did not answer")
    );
    // Nobody has to send a registration for that.
    let _late = OpencrvsSim::start(OpencrvsSettings { auth, ..OpencrvsSettings::default() }).await.unwrap();
    world.ready("front").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_with_tls_before_a_port_without_is_named() {
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let secure = world.opencrvs.auth_url().replacen("http:", "https:", 1);
    world.set("AUTH_URL", &secure);
    world.start("front");
    front_says(&world, "no TLS at auth", 503, |body| {
        text(body, "why", "front_auth_key").contains("auth speaks no TLS on this port")
    })
    .await;
    let broker = format!("amqps://u:p@127.0.0.1:{}/{}", world.vhosts().amqp_port(), world.vhosts().bridge);
    let told = ended(&world, &["worker"], &[("AMQP_URL", &broker), ("ADMIN_LISTEN", "127.0.0.1:0")]).await;
    assert_eq!(told.code, Some(78), "{}", told.stderr);
    let names = ["AMQP_URL (broker.url)", "the broker speaks no TLS on this port"];
    assert!(names.iter().all(|name| told.stderr.contains(name)), "{}", told.stderr);
}

/// An auth service whose clock is this many seconds ahead. It has the key of `opencrvs`.
async fn auth_with_a_clock(opencrvs: &OpencrvsSim, ahead: Arc<AtomicI64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, key) = (listener.local_addr().unwrap(), opencrvs.public_key());
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let now = Timestamp::now() + SignedDuration::from_secs(ahead.load(Ordering::Relaxed));
            let answer = format!(
                "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{key}",
                now.strftime("%a, %d %b %Y %H:%M:%S GMT"),
                key.len()
            );
            drop(caller.read(&mut [0; 4096]).await);
            drop(caller.write_all(answer.as_bytes()).await);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_differs_is_a_warning_and_one_alert_and_stops_nothing() {
    let port = free_port();
    let hook = Hook::listening(port, Manner::Takes).await;
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    let ahead = Arc::new(AtomicI64::new(7_300));
    let auth = auth_with_a_clock(&world.opencrvs, Arc::clone(&ahead)).await;
    world.set("AUTH_URL", &format!("http://{auth}"));
    world.set("ALERT_WEBHOOK", &format!("http://127.0.0.1:{port}/"));
    world.start("front");
    let warned =
        front_says(&world, "the clock", 200, |body| !text(body, "warnings", "front_clock").is_empty());
    let expected = "this machine's clock is 2 h behind the service of AUTH_URL (opencrvs.auth_url)";
    assert_eq!(text(&warned.await, "warnings", "front_clock"), expected);
    let alert = alerted(&hook, "clock_differs").await;
    assert_eq!((&alert["role"], &alert["detail"]), (&"front".into(), &expected.into()));
    assert_eq!(alert.get("state"), None);
    let birth = births(1, 131).remove(0);
    let sent = world.opencrvs.submit(&birth, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(sent.result.is_success(), "{:?}", sent.result);
    ahead.store(0, Ordering::Relaxed);
    front_says(&world, "no warning", 200, |body| body["warnings"] == serde_json::json!({})).await;
    assert_eq!(hook.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_refuses_one_registration_after_the_other_says_so_and_alerts_once() {
    let port = free_port();
    let hook = Hook::listening(port, Manner::Takes).await;
    let webhook = format!("http://127.0.0.1:{port}/");
    let world = World::with_front(&[("ALERT_WEBHOOK", &webhook)]).await;
    let other = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
    let births = births(3, 132);
    let foreign = other.mint(&other.record_claims(&births[0].record)).unwrap();
    let foreign = Post::new(&foreign, bundle(&births[0]).to_string());
    for _ in 0..25 {
        assert_eq!(foreign.to(&world.front).await.status, 401);
    }
    let warned =
        front_says(&world, "the warning", 200, |body| !text(body, "warnings", "front_refusals").is_empty())
            .await;
    assert!(text(&warned, "warnings", "front_refusals").contains("check AUTH_URL"), "{warned}");
    let alert = alerted(&hook, "all_refused").await;
    assert!(alert["detail"].as_str().unwrap().contains("check AUTH_URL"), "{alert}");
    let genuine = Post::new(&token(&world, &births[1]), bundle(&births[1]).to_string());
    assert_eq!(genuine.to(&world.front).await.status, 202);
    front_says(&world, "no warning", 200, |body| body["warnings"] == serde_json::json!({})).await;
    assert_eq!(hook.calls().len(), 1);
}

/// The permission is taken away while the connection is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_the_broker_refuses_while_it_runs_is_not_ready_and_goes_on_by_itself() {
    let port = free_port();
    let hook = Hook::listening(port, Manner::Takes).await;
    let mut world = World::empty(Engine::Sqlite, &[]).await;
    world.set("ALERT_WEBHOOK", &format!("http://127.0.0.1:{port}/"));
    let broker: ChaosProxy = world.proxy_before_broker("front").await;
    world.start("front");
    world.ready("front").await;
    world.front_is_connected().await;
    world.vhosts().forbid().await;
    broker.cut();
    let lost = async || world.log_text("front").contains("no connection to the broker").then_some(());
    eventually(SOON, "the front has lost its broker", lost).await;
    broker.restore();
    let body =
        front_says(&world, "the refusal", 503, |body| !text(body, "why", "front_broker").is_empty()).await;
    let why = text(&body, "why", "front_broker");
    assert!(why.starts_with("AMQP_URL (broker.url): RabbitMQ has no vhost"), "{why}");
    assert_eq!(alerted(&hook, "broker_refused").await["detail"], why);
    let birth = births(1, 133).remove(0);
    let refused = world.opencrvs.submit(&birth, &world.front, SubmitOptions::default()).await.unwrap();
    assert_eq!(refused.result, CallResult::Status(503));
    world.vhosts().permit().await;
    world.ready("front").await;
    world.front_is_connected().await;
    let sent = world.opencrvs.submit(&birth, &world.front, SubmitOptions::default()).await.unwrap();
    assert!(sent.result.is_success(), "{:?}", sent.result);
    assert_eq!(world.metric("front", "nidbridge_alarms_total", "broker_refused"), 1.0);
}
