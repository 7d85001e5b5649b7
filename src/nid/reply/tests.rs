//! Replies at the edge of the schema, and which parts of a reply are kept.

use serde_json::json;

use super::*;
use crate::nid::REPLY_SCHEMA;

fn reply(data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": "r-1", "source": "/nid", "type": "crvs.nid.reply.v1",
        "time": "2026-10-23T10:00:00Z", "datacontenttype": "application/json", "data": data,
    })
}

fn data(status: &str) -> Value {
    json!({ "request_id": "b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e", "submission": 1, "status": status })
}

fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = member;
    value
}

/// Valid replies, and replies that have one fault.
fn instances() -> Vec<Value> {
    let issued = with(reply(&data("issued")), "/data/national_id", json!("1234567890"));
    let rejected = with(reply(&data("rejected")), "/data/reason", json!({ "code": "not_eligible" }));
    let mut all = vec![
        issued.clone(),
        rejected.clone(),
        reply(&data("recorded")),
        reply(&data("pending")),
        with(reply(&data("retry")), "/data/retry_after_s", json!(30)),
        with(reply(&data("retry")), "/data/retry_after_s", json!(0)),
        with(reply(&data("retry")), "/data/retry_after_s", json!("30")),
        with(reply(&data("pending")), "/data/nid_reference", json!("x".repeat(129))),
        with(issued.clone(), "/data/submission", json!(1.0)),
        with(issued.clone(), "/data/unheard_of", json!({ "a": 1 })),
        reply(&data("issued")),
        reply(&data("rejected")),
        reply(&data("done")),
        json!([]),
        json!("issued"),
    ];
    for (pointer, values) in [
        ("/specversion", vec![json!("0.3"), json!(1)]),
        ("/id", vec![json!(""), json!("x".repeat(100)), json!(7)]),
        ("/type", vec![json!("crvs.nid.reply.v2")]),
        ("/time", vec![json!("yesterday"), json!(0)]),
        ("/data", vec![json!(null), json!([])]),
        ("/data/submission", vec![json!(0), json!(-1), json!("1"), json!(1.5), json!(null)]),
        ("/data/request_id", vec![json!("x".repeat(37)), json!(1)]),
        ("/data/national_id", vec![json!(""), json!("9".repeat(65)), json!(1)]),
        ("/data/national_id_kind", vec![json!("uin"), json!("UIN")]),
    ] {
        all.extend(values.into_iter().map(|value| with(issued.clone(), pointer, value)));
    }
    for reason in [json!({}), json!({ "code": "no" }), json!({ "code": "other", "message": "m".repeat(501) })]
    {
        all.push(with(rejected.clone(), "/data/reason", reason));
    }
    all.push(with(rejected, "/data/reason", json!({ "code": "other", "fields": ["a", 1] })));
    all
}

#[test]
fn what_is_read_is_exactly_what_the_published_schema_allows() {
    let schema: Value = serde_json::from_str(REPLY_SCHEMA).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let mut read = 0;
    for instance in instances() {
        let ours = Reply::read(instance.to_string().as_bytes(), 65_536);
        assert_eq!(ours.is_ok(), validator.is_valid(&instance), "{instance}: {ours:?}");
        read += usize::from(ours.is_ok());
    }
    assert!(read >= 7, "only {read} replies were read");
}

#[test]
fn a_vendors_free_text_is_not_kept() {
    let reason = json!({ "code": "other", "message": "Ada Doe", "fields": ["subject.name", "Ada Doe"] });
    let text = with(reply(&data("rejected")), "/data/reason", reason).to_string();
    let kept = Reply::read(text.as_bytes(), 65_536).unwrap();
    let reason = Reason { fields: vec!["subject.name".into()], ..Reason::of(ReasonCode::Other) };
    assert_eq!(kept.status, Status::Rejected(reason));
}

#[test]
fn what_is_not_json_or_too_long_says_so() {
    assert_eq!(Reply::read(b"\xff", 10), Err(Malformed::NotJson));
    assert_eq!(Reply::read(&[b' '; 11], 10), Err(Malformed::TooLong { max: 10 }));
}
