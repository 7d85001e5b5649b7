//! Unusable replies: they are sealed and parked, with their cause.

use nidbridge::broker::headers;
use nidbridge::pipeline::names;
use nidbridge::sandbox::opencrvs::Status;
use nidbridge::sandbox::population::Kind;
use nidbridge::seal::{Field, Sealer};
use secrecy::SecretString;
use serde_json::json;

use super::{Vendor, answer, asked, event, issued};
use crate::harness::eventually;
use crate::harness::ledgers::{Engine, SEAL_KEYS};
use crate::harness::world::{SOON, World, request_of};
use crate::pipeline::{ends_as, stands_as};

/// In bytes. More than any reply, and less than the broker's limit for a message.
const HUGE: usize = 10 * 1024 * 1024;
/// In bytes. The part that is kept of a reply that is too long to be read.
const KEPT: usize = 64 * 1024;

type Make = fn(&str) -> Vec<u8>;

fn text(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Every body contains the request id, so that unencrypted text would be found.
fn table() -> Vec<(&'static str, Make, &'static str)> {
    vec![
        (
            "not JSON",
            |id| format!("{{\"request_id\": \"{id}\", \"status\": issued").into_bytes(),
            "malformed",
        ),
        ("not UTF-8", |id| [id.as_bytes(), b"\xff\xfe"].concat(), "malformed"),
        ("an array", |id| text(&json!([issued(id, 1, "5550001111")])), "malformed"),
        ("nested without end", |id| format!("{}{id}", "[".repeat(60_000)).into_bytes(), "malformed"),
        ("an unknown status", |id| text(&event(&answer(id, 1, "maybe"))), "malformed"),
        ("issued without an ID", |id| text(&event(&answer(id, 1, "issued"))), "malformed"),
        ("an empty ID", |id| text(&event(&issued(id, 1, ""))), "malformed"),
        ("submission 0", |id| text(&event(&issued(id, 0, "5550001111"))), "malformed"),
        ("rejected without a reason", |id| text(&event(&answer(id, 1, "rejected"))), "malformed"),
        ("of another type", |id| other(id, "type", "crvs.nid.reply.v2"), "malformed"),
        ("of another version", |id| other(id, "specversion", "0.3"), "malformed"),
        ("10 MB", huge, "malformed"),
        (
            "a request that nobody made",
            |_| text(&event(&issued("b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e", 1, "5550001111"))),
            "unknown_request",
        ),
        (
            "a request id that is none of ours",
            |_| text(&event(&issued("request 17", 1, "5550001111"))),
            "unknown_request",
        ),
    ]
}

fn other(id: &str, member: &str, value: &str) -> Vec<u8> {
    let mut event = event(&issued(id, 1, "5550001111"));
    event[member] = json!(value);
    text(&event)
}

fn huge(id: &str) -> Vec<u8> {
    let mut data = issued(id, 1, "5550001111");
    data["remark"] = json!("x".repeat(HUGE));
    text(&event(&data))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_reply_is_parked_sealed_and_its_registration_goes_on() {
    let mut world = World::new(Engine::Sqlite).await;
    let table = table();
    let declarations = asked(&world, Kind::Birth, table.len(), 21).await;
    let vendor = Vendor::of(&world).await;
    let mut sent = Vec::new();
    for ((what, make, cause), declaration) in table.iter().zip(&declarations) {
        let request = request_of(&declaration.record, "birth");
        let body = make(&request);
        sent.push((*what, vendor.says(body.clone()).await, body, *cause, request));
    }
    let look = world.look_nid().await;
    let parked = names::NID_REFUSED;
    let all = u32::try_from(sent.len()).unwrap();
    eventually(SOON, "all of them are parked", async || {
        look.depth(parked).await.ok().filter(|depth| depth.ready >= all)
    })
    .await;
    let seen = look.peek(parked, 100).await.unwrap();
    assert_eq!(seen.len(), sent.len(), "each of them once");
    let sealer = Sealer::parse(&SecretString::from(SEAL_KEYS)).unwrap();
    for (what, id, body, cause, request) in &sent {
        let one = seen.iter().find(|one| one.id.as_ref() == Some(id)).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(one.headers[headers::CAUSE], *cause, "{what}");
        assert_eq!(one.headers[headers::ORIGINAL_QUEUE], names::NID_REPLIES, "{what}");
        if *what == "an unknown status" {
            assert_eq!(one.headers[headers::DETAIL], format!("status, request {request}"));
        }
        let sealed = std::str::from_utf8(&one.body).unwrap();
        assert!(sealed.starts_with("v1.test.") && !sealed.contains(request.as_str()), "{what}: not sealed");
        let opened = sealer.open_as(id, Field::ParkedBody, sealed).unwrap();
        assert!(body.starts_with(&opened) && opened.len() >= body.len().min(KEPT), "{what}");
    }
    for (cause, times) in [("malformed", 12.0), ("unknown_request", 2.0)] {
        let parked = world.metric("worker", "nidbridge_dead_lettered_total", &format!("cause=\"{cause}\""));
        assert!((parked - times).abs() < 0.5, "{cause}: {parked}");
    }
    let blank = table.iter().position(|(what, ..)| *what == "an empty ID").unwrap();
    let history = world.history(&declarations[blank].record).await;
    let refused = history.iter().find(|entry| entry.what == "reply_refused").expect("the timeline says so");
    assert_eq!(refused.why.as_deref(), Some("national_id"));
    world.nid.resume_replies();
    for declaration in &declarations {
        ends_as(&world, &declaration.record, Status::Registered).await;
        stands_as(&world, &declaration.record, "confirmed").await;
        assert_eq!(world.opencrvs.record(&declaration.record).unwrap().confirms.len(), 1);
    }
    world.assert_all_run();
}
