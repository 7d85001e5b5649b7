//! Replies at the limits of the schema, and which parts of a reply are kept.

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
    for (pointer, values) in members() {
        all.extend(values.into_iter().map(|value| with(issued.clone(), pointer, value)));
    }
    all.extend(reasons().into_iter().map(|reason| with(rejected.clone(), "/data/reason", reason)));
    for value in [json!(null), json!(1), json!(86_400), json!(86_401), json!(1.0), json!(1.5)] {
        all.push(with(reply(&data("retry")), "/data/retry_after_s", value));
    }
    let nulls = json!({ "request_id": "b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e", "submission": 1, "status": "recorded",
        "national_id": null, "reason": null, "nid_reference": null, "retry_after_s": null, "national_id_kind": null });
    all.push(reply(&nulls));
    all.push(with(reply(&data("pending")), "/data/national_id", json!(" ")));
    all
}

/// Values of single members.
fn members() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("/specversion", vec![json!("0.3"), json!(1)]),
        ("/id", vec![json!(""), json!("x".repeat(1_000)), json!(7), json!(null)]),
        ("/source", vec![json!(""), json!("s".repeat(300)), json!(null)]),
        (
            "/datacontenttype",
            vec![
                json!("application/json; charset=utf-8"),
                json!("Application/JSON;charset=\"utf-8\""),
                json!("application/json  ; a=b; c=d"),
                json!("application/json;"),
                json!("application/json charset=utf-8"),
                json!("application/jsonp"),
                json!("text/json"),
                json!("application/json;\n"),
                json!(""),
                json!(null),
                json!(7),
            ],
        ),
        ("/type", vec![json!("crvs.nid.reply.v2")]),
        ("/time", vec![json!("yesterday"), json!(0)]),
        ("/data", vec![json!(null), json!([])]),
        ("/data/submission", vec![json!(0), json!(-1), json!("1"), json!(1.5), json!(null)]),
        ("/data/request_id", vec![json!("x".repeat(37)), json!(1)]),
        ("/data/national_id", ids()),
        (
            "/data/national_id_kind",
            vec![json!("uin"), json!("UIN"), json!("passport"), json!(null), json!(1)],
        ),
        ("/data/nid_reference", vec![json!(null), json!(""), json!("x".repeat(5_000)), json!([])]),
        ("/data/reason", vec![json!(null), json!({}), json!({ "code": 7 }), json!("other"), json!([])]),
        (
            "/data/retry_after_s",
            vec![json!(null), json!(0), json!(-1), json!(1e300), json!(0.5), json!("30")],
        ),
    ]
}

/// Reasons of a rejection.
fn reasons() -> Vec<Value> {
    vec![
        json!(null),
        json!({}),
        json!({ "code": null }),
        json!({ "code": "no" }),
        json!({ "code": "INVALID_DATA" }),
        json!({ "code": "other", "message": "m".repeat(5_000) }),
        json!({ "code": "other", "message": null, "fields": null }),
        json!({ "code": "other", "message": 1 }),
        json!({ "code": "other", "fields": vec!["subject.name"; 40] }),
        json!({ "code": "other", "fields": ["x".repeat(500)] }),
        json!({ "code": "other", "fields": ["a", 1] }),
        json!({ "code": "other", "fields": "subject.name" }),
    ]
}

/// IDs at the limits of what the schema allows.
fn ids() -> Vec<Value> {
    let mut ids: Vec<Value> =
        ["", " ", "7", "3260 054 197", "3260\u{a0}054", "3260-054-197", "٣٢٦٠", "AB/12", "---", "𝟗"]
            .into_iter()
            .map(Value::from)
            .collect();
    for odd in [
        "\u{0}",
        "\t",
        "\n",
        "\u{7f}",
        "\u{85}",
        "\u{ad}",
        "\u{600}",
        "\u{61c}",
        "\u{6dd}",
        "\u{70f}",
        "\u{890}",
        "\u{8e2}",
        "\u{180e}",
        "\u{200b}",
        "\u{200f}",
        "\u{2028}",
        "\u{2029}",
        "\u{202e}",
        "\u{2060}",
        "\u{2065}",
        "\u{206f}",
        "\u{feff}",
        "\u{fff9}",
        "\u{fffc}",
        " ",
        "\u{a0}",
        "\u{1680}",
        "\u{2003}",
        "\u{202f}",
        "\u{205f}",
        "\u{3000}",
        "\u{e0020}",
        "\u{110bd}",
    ] {
        ids.extend(
            [format!("{odd}7"), format!("7{odd}"), format!("7{odd}7"), odd.to_owned()].map(Value::from),
        );
    }
    ids.extend([json!("9".repeat(64)), json!("9".repeat(65)), json!("٩".repeat(64)), json!(1), json!(null)]);
    ids
}

#[test]
fn a_reply_is_accepted_exactly_if_it_matches_the_published_schema() {
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
fn a_byte_order_mark_an_unknown_code_and_many_fields_are_accepted() {
    let rejected = |reason: Value| {
        let text = with(reply(&data("rejected")), "/data/reason", reason).to_string();
        Reply::read(&[b"\xef\xbb\xbf", text.as_bytes()].concat(), 65_536).unwrap().status
    };
    for (code, read) in [
        ("policy", ReasonCode::Policy),
        ("POLICY", ReasonCode::Policy),
        ("Invalid_Data", ReasonCode::InvalidData),
        ("BIRTH_TOO_LATE", ReasonCode::Other),
        ("", ReasonCode::Other),
    ] {
        assert_eq!(rejected(json!({ "code": code })), Status::Rejected(Reason::of(read)), "{code}");
    }
    let Status::Rejected(reason) = rejected(json!({ "code": "other", "fields": vec!["subject.sex"; 40] }))
    else {
        panic!("not rejected")
    };
    assert_eq!(reason.fields.len(), 20);
}

#[test]
fn a_refused_reply_is_reported_with_its_faulty_member_and_its_request() {
    let id = "b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e";
    for (body, part) in [
        (with(reply(&data("issued")), "/data/national_id", json!(" 1")), "national_id"),
        (reply(&data("done")), "status"),
        (with(reply(&data("recorded")), "/time", json!("soon")), "time"),
        (with(reply(&data("rejected")), "/data/reason", json!({ "code": 1 })), "reason.code"),
        (data("issued"), "specversion"),
    ] {
        let body = body.to_string();
        let malformed = Reply::read(body.as_bytes(), 65_536).unwrap_err();
        let request = Reply::addressed_request(body.as_bytes(), 65_536);
        let refused = RefusedReply { part: malformed.part(), request };
        assert_eq!(refused.to_string(), format!("{part}, request {id}"));
        assert_eq!(RefusedReply::parse(&refused.to_string()), Some(refused));
    }
    // A reply that is too long names the limit, and its request from the part that is read.
    let long =
        format!("{{\"data\": {{\"request_id\" : \"{id}\", \"padding\": \"{}\"}}}}", "x".repeat(70_000));
    let refused = RefusedReply {
        part: Reply::read(long.as_bytes(), 65_536).unwrap_err().part(),
        request: Reply::addressed_request(long.as_bytes(), 65_536),
    };
    assert_eq!(refused.to_string(), format!("longer than NID_REPLY_MAX_BYTES, request {id}"));
    assert_eq!(RefusedReply::parse(&refused.to_string()), Some(refused));
    assert_eq!(RefusedReply::parse("status"), Some(RefusedReply { part: "status", request: None }));
    for text in [
        "",
        "Ada Doe",
        "status, request Ada Doe",
        "status, request B3821B1B-0CF8-5BDC-B94E-ECBC9AF4A30E",
        " status",
    ] {
        assert_eq!(RefusedReply::parse(text), None, "{text}");
    }
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
fn a_reply_that_is_not_json_or_too_long_is_refused_as_such() {
    assert_eq!(Reply::read(b"\xff", 10), Err(Malformed::NotJson));
    assert_eq!(Reply::read(&[b' '; 11], 10), Err(Malformed::TooLong { max: 10 }));
}

#[test]
fn a_field_path_has_only_names_of_the_contract_and_single_digits() {
    for path in ["subject.name", "/data/parents/0", "parents[1].national_id"] {
        assert!(is_field_path(path), "{path}");
    }
    for other in ["", "..", "Ada", "x", "parents/12", "parents/٣", "subject.Ada", &"subject.".repeat(13)] {
        assert!(!is_field_path(other), "{other}");
    }
}

#[test]
fn a_time_is_one_of_rfc_3339_and_one_that_there_is() {
    for time in [
        "2026-03-01T10:00:00Z",
        "2026-03-01t10:00:00z",
        "2026-03-01T10:00:00.5Z",
        "2026-03-01T10:00:00.25+05:30",
    ] {
        assert!(is_date_time(time), "{time}");
    }
    for other in [
        "2026-03-01",
        "2026-03-01 10:00:00Z",
        "20260301T100000Z",
        "2026-03-01T10:00:00",
        "2026-03-01T10:00:00+05",
        "2026-03-01T10:00:00Z[UTC]",
        "2026-03-01T10:00:00.Z",
        "2026-03-01T10:00:00.+05:30",
        "2026-13-01T10:00:00Z",
    ] {
        assert!(!is_date_time(other), "{other}");
    }
}

#[test]
fn an_integer_may_be_written_as_a_decimal_number_and_be_of_any_size() {
    for number in [json!(1), json!(-1), json!(1.0), json!(1e300), json!(i64::MIN), json!(u64::MAX)] {
        assert!(is_integer(&number), "{number}");
    }
    for other in [json!(1.5), json!("1"), json!(null), json!([1])] {
        assert!(!is_integer(&other), "{other}");
    }
}

#[test]
fn a_reply_may_be_as_long_as_the_limit() {
    let body = reply(&data("recorded")).to_string();
    assert!(Reply::read(body.as_bytes(), body.len()).is_ok());
    let refused = Reply::read(body.as_bytes(), body.len() - 1);
    assert_eq!(refused.unwrap_err(), Malformed::TooLong { max: body.len() - 1 });
}

#[test]
fn a_status_is_labelled_as_in_the_contract() {
    for label in ["recorded", "rejected", "retry", "pending"] {
        let reply = with(reply(&data(label)), "/data/reason", json!({ "code": "not_eligible" }));
        let read = Reply::read(reply.to_string().as_bytes(), 10_000).unwrap();
        assert_eq!(read.status.label(), label);
    }
}
