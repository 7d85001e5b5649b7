//! The reverse proxy: all other requests reach the country config unchanged, and its answers reach
//! the caller unchanged.

mod broken;
mod callers;
mod country;
mod exact;
mod ready;
mod smuggling;
mod strangers;

use std::fs;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::{Method, StatusCode, redirect};
use serde_json::{Value, json};

use crate::harness::ledgers::Engine;
use crate::harness::world::World;
use country::Country;

const PIECE: usize = 64 * 1024;
const LARGE: usize = 50 * 1024 * 1024;

/// A world whose roles cannot reach a broker, because these tests need none.
async fn without_a_broker(settings: &[(&str, &str)]) -> World {
    let mut world = World::empty(Engine::Sqlite, settings).await;
    world.set("AMQP_URL", "amqp://127.0.0.1:1/nowhere");
    world
}

/// Starts a front that proxies to this service.
async fn front(upstream: &str, settings: &[(&str, &str)]) -> World {
    let mut world = without_a_broker(settings).await;
    world.set("COUNTRY_CONFIG_URL", upstream);
    world.start("front");
    world.ready("front").await;
    world
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(redirect::Policy::none()).build().unwrap()
}

fn at(world: &World, path: &str) -> String {
    format!("{}{}", world.front.as_str().trim_end_matches('/'), path)
}

/// The expected byte at a position. The period of the pattern is no multiple of the chunk size.
fn byte(place: usize) -> u8 {
    u8::try_from((place * 31 + place / 251 * 7 + place / 65_521) % 256).unwrap()
}

fn pieces() -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::iter((0..LARGE / PIECE).map(|n| Ok((n * PIECE..(n + 1) * PIECE).map(byte).collect::<Bytes>())))
}

async fn assert_whole(answer: reqwest::Response) {
    let mut seen = 0;
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        for one in piece.unwrap() {
            assert_eq!(one, byte(seen), "at {seen}");
            seen += 1;
        }
    }
    assert_eq!(seen, LARGE);
}

/// The peak memory of the front, in KiB.
fn most_memory(world: &World) -> u64 {
    let pid = world.pid("front").as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_pass_both_ways_unchanged_and_are_never_buffered() {
    let country = Country::start().await;
    let world = front(&country.url(), &[]).await;
    let http = client();
    assert_eq!(http.get(at(&world, "/echo")).send().await.unwrap().status(), StatusCode::OK);
    let before = most_memory(&world);
    // Both directions at the same time, with and without a known length.
    let unknown = http.post(at(&world, "/echo")).body(reqwest::Body::wrap_stream(pieces()));
    assert_whole(unknown.send().await.unwrap()).await;
    let known = http.put(at(&world, "/echo")).header("content-length", LARGE);
    let answer = known.body(reqwest::Body::wrap_stream(pieces())).send().await.unwrap();
    assert_whole(answer).await;
    let (first, second) = tokio::join!(
        http.get(at(&world, "/large?known=true")).send(),
        http.get(at(&world, "/large")).send(),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.content_length(), second.content_length()), (Some(LARGE as u64), None));
    tokio::join!(assert_whole(first), assert_whole(second));
    let grown = most_memory(&world) - before;
    assert!(grown < 12 * 1024, "the front grew by {grown} KiB");
    assert_eq!(world.metric("front", "nidbridge_passed_total", "answered"), 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_arrives_as_it_was_sent_but_for_what_belongs_to_its_connection() {
    let country = Country::start().await;
    let world = front(&country.url(), &[]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (method, path) in [
        (Method::GET, "/forms?locale=fr&x=%2F%20a+b&x=2"),
        (Method::DELETE, "/tracking-id/caf%C3%A9"),
        (Method::PATCH, "//double/;semi,comma"),
        (Method::OPTIONS, "/event-registration"),
        (Method::GET, "/trigger/events/birth/actions/REGISTER"),
    ] {
        let request = client()
            .request(method.clone(), at(&world, path))
            .header("traceparent", trace)
            .header("authorization", "Bearer theirs")
            .header("connection", "x-mine")
            .header("x-mine", "1")
            .header("x-theirs", "2");
        let seen: Value = request.body("a body").send().await.unwrap().json().await.unwrap();
        assert_eq!(seen["method"], method.as_str());
        assert_eq!(seen["target"], path);
        assert_eq!(seen["body"], "a body");
        let headers = &seen["headers"];
        assert_eq!(headers["host"], country.host(), "its own name: {headers}");
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-host"], world.front.authority());
        assert_eq!((&headers["traceparent"], &headers["x-theirs"]), (&json!(trace), &json!("2")));
        assert_eq!(
            (&headers["authorization"], &headers["content-length"]),
            (&json!("Bearer theirs"), &json!("6"))
        );
        assert_eq!((&headers["x-mine"], &headers["connection"]), (&Value::Null, &Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_back_as_it_was_given() {
    let country = Country::start().await;
    let world = front(&country.url(), &[]).await;
    for status in [201, 204, 302, 304, 404, 418, 500, 503] {
        let (direct, through) = tokio::join!(
            client().get(format!("{}/status/{status}", country.url())).send(),
            client().get(at(&world, &format!("/status/{status}"))).send(),
        );
        let (direct, through) = (direct.unwrap(), through.unwrap());
        assert_eq!(
            (direct.status(), through.status()),
            (through.status(), StatusCode::from_u16(status).unwrap())
        );
        let headers = |answer: &reqwest::Response| {
            let mut headers = answer.headers().clone();
            headers.remove("date");
            headers
        };
        assert_eq!(headers(&direct), headers(&through));
        assert_eq!(through.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(direct.bytes().await.unwrap(), through.bytes().await.unwrap());
    }
    let head = client().head(at(&world, "/large?known=true")).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], LARGE.to_string().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_are_proxied_except_for_registrations_that_are_ours() {
    let country = Country::start().await;
    let mut world = without_a_broker(&[]).await;
    let spool = world.dir.join("spool");
    fs::create_dir_all(&spool).unwrap();
    world.set("COUNTRY_CONFIG_URL", &country.url());
    for (events, register) in [("false", StatusCode::OK), ("true", StatusCode::BAD_REQUEST)] {
        world.set("FRONT_EVENTS", events);
        world.set("FRONT_SPOOL", &spool.display().to_string());
        world.start("front");
        world.ready("front").await;
        let post = async |action: &str| {
            let path = format!("/trigger/events/birth/actions/{action}");
            client().post(at(&world, &path)).json(&json!({})).send().await.unwrap()
        };
        let declared = post("DECLARE").await;
        assert_eq!(declared.json::<Value>().await.unwrap()["method"], "POST", "the country's answer");
        // Only the front refuses a request without a token.
        assert_eq!(post("REGISTER").await.status(), register, "FRONT_EVENTS={events}");
        let ours = client().post(at(&world, "/event-registration")).json(&json!({})).send().await.unwrap();
        assert_eq!(ours.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(world.terminate("front").await, Some(0));
    }
}
