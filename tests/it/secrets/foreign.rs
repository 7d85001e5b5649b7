//! Texts of strangers that mislead their reader: line breaks, terminal controls, characters that
//! turn the direction of writing or have no width. They stand wherever a stranger can write
//! something, and a name stands beside each.

use std::collections::BTreeMap;

use nidbridge::broker::{Outgoing, Target};
use nidbridge::domain::is_invisible;
use nidbridge::pipeline::names;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::EVERYTHING;
use crate::alerts::hook::{Hook, Manner};
use crate::harness::eventually;
use crate::harness::http::get;
use crate::harness::ledgers::Engine;
use crate::harness::ports::free_port;
use crate::harness::world::{SOON, World};
use crate::operator::ended;
use crate::replies::{event, issued};
use crate::traces::collector::Collector;

const TRICKS: &str = "\u{202e}\u{2066}\u{200b}\u{feff}\u{1b}[2J\u{9b}\r\n{\"level\":\"INFO\"}\n";
const NAME: &str = "Kanari-of-a-stranger";

/// A reply with a name in each property that the vendor chooses.
fn reply(id: &str, body: &Value) -> Outgoing {
    let text = || format!("{TRICKS}{NAME}");
    Outgoing {
        id: format!("{id}{}", text()),
        kind: "crvs.nid.\u{202e}\n Kanari-of-a-stranger",
        content_type: "text/\u{202e}\n Kanari-of-a-stranger",
        correlation_id: Some(text()),
        headers: BTreeMap::from([
            ("traceparent".to_owned(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            ("tracestate".to_owned(), format!("name={NAME}")),
            (format!("x-{}", text()), text()),
            ("x-tries".to_owned(), text()),
        ]),
        body: body.to_string().into_bytes(),
    }
}

async fn replies(world: &World) {
    let vendor = world.vendor_link().await;
    let text = format!("{TRICKS}{NAME}");
    let nobody = Uuid::new_v4().to_string();
    let mut unknown = event(&issued(&nobody, 1, "4900000001"));
    unknown["data"]["status"] = json!(text);
    let mut strange = event(&issued(&text, 1, "4900000001"));
    strange["id"] = json!(text);
    strange["type"] = json!(text);
    let to = Target::new(names::NID_REPLIES, format!("reply.{text}"));
    for (id, body) in [
        (format!("{nobody}:"), &json!(text)),
        (String::new(), &unknown),
        (format!("{nobody} "), &strange),
        (nobody.clone(), &event(&issued(&nobody, 1, "4900000001"))),
    ] {
        // The worker may not have declared the queue yet.
        let sent = async || vendor.publisher().publish(&to, reply(&id, body)).await.ok();
        eventually(SOON, "a reply is sent", sent).await;
    }
}

async fn parked(world: &World, count: f64) {
    let all = async || {
        let parked = world.metric("worker", "nidbridge_dead_lettered_total", "stage=\"resolve\"");
        (parked >= count).then_some(())
    };
    eventually(SOON, &format!("{count} replies are parked"), all).await;
}

fn nothing_misleads(places: &[(String, Vec<u8>)]) {
    for (place, bytes) in places {
        assert!(!bytes.is_empty(), "there is nothing of {place}");
        let text = String::from_utf8_lossy(bytes).replace(&format!("{NAME}-path"), "");
        assert!(!text.contains(NAME), "{place} has the name of a stranger: {text}");
        // OTLP is not text.
        let misleads = |c: char| match &**place {
            "the traces" => TRICKS.contains(c) && !c.is_ascii() && c != '\u{9b}',
            "the front's answer" | "the webhook" => !"\r\n ".contains(c) && is_invisible(c),
            _ => !"\n ".contains(c) && is_invisible(c),
        };
        assert!(!text.contains(misleads), "{place}: {text:?}");
    }
}

/// What the front answers to a request whose path misleads.
async fn answer_of_the_front(world: &World) -> Vec<u8> {
    let path = format!("/\u{202e}{NAME}-path\u{200b}\u{9b}");
    let port = world.front.port().unwrap();
    let listens = async || TcpStream::connect(("127.0.0.1", port)).await.ok();
    let mut caller = eventually(SOON, "the front listens", listens).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    caller.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    caller.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_stranger_misleads_the_reader_of_any_output() {
    let (collector, port) = (Collector::start(), free_port());
    let hook = Hook::listening(port, Manner::Takes).await;
    let url = format!("http://127.0.0.1:{port}/");
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("LOG_FILTER", EVERYTHING),
        ("ALERT_WEBHOOK", &url),
        ("ALERT_INTERVAL", "100ms"),
    ];
    let mut world = World::with(Engine::Sqlite, &settings).await;
    // One role writes text, the others JSON.
    assert_eq!(world.terminate("worker").await, Some(0));
    world.set_for("worker", "LOG_FORMAT", "text");
    world.start("worker");
    world.ready("worker").await;
    let answer = answer_of_the_front(&world).await;
    replies(&world).await;
    parked(&world, 4.0).await;
    let called =
        async || hook.calls().iter().any(|call| call.json()["queue"] == names::NID_REFUSED).then_some(());
    eventually(SOON, "an alert about the parked replies", called).await;
    let mut places = vec![("the front's answer".to_owned(), answer)];
    for args in [
        &["queue", "list", names::NID_REFUSED][..],
        &["queue", "list", names::NID_REFUSED, "--json"],
        &["attempts", "list"],
        &["attempts", "show", "\u{202e}\u{200b}\u{1b}[2J\u{9b}\r"],
        &["queue", "list", "\u{202e}\u{200b}\u{1b}[2J\u{9b}\r"],
        &["queue", "replay", names::NID_REFUSED, "--reason", "tried again", "--by", "a test"],
    ] {
        let ended = ended(&world, args, &[("LOG_FILTER", "off")]).await;
        places.push((format!("{args:?}"), [ended.stdout, ended.stderr].concat().into_bytes()));
    }
    parked(&world, 8.0).await;
    for role in ["front", "worker", "confirmer"] {
        places.push((format!("/metrics of {role}"), world.metrics_text(role).into_bytes()));
        let (_, ready) = get(world.admin[role], "/readyz").unwrap();
        places.push((format!("/readyz of {role}"), ready.into_bytes()));
    }
    for call in hook.calls() {
        places.push(("the webhook".to_owned(), [call.head.into_bytes(), call.body].concat()));
    }
    for role in ["front", "worker", "confirmer"] {
        assert_eq!(world.terminate(role).await, Some(0), "{role}");
        let log = world.log_text(role);
        let is_event =
            |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|event| event["target"].is_string());
        let odd = log.lines().find(|line| role != "worker" && !is_event(line));
        assert_eq!(odd, None, "a line of {role} is not one of its own");
        places.push((format!("the log of {role}"), log.into_bytes()));
    }
    places.push(("the traces".to_owned(), collector.bytes()));
    nothing_misleads(&places);
    assert!(world.log_text("front").contains("\\u202e"), "the path was not logged");
}
