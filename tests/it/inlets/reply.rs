//! Replies of the ID system: exactly the replies that the published schema allows are accepted, and
//! no error text contains their content.

use nidbridge::domain::NationalId;
use nidbridge::nid::{REPLY_SCHEMA, Reply, Status};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::checks::reply::check;
use super::{pointers, remove};

const CANARY: &str = "Zuzanna-Canary-7731";
const NAMES: [&str; 14] = [
    "data",
    "status",
    "issued",
    "rejected",
    "retry",
    "pending",
    "recorded",
    "national_id",
    "reason",
    "code",
    "other",
    "fields",
    "submission",
    "1.0",
];

fn whole() -> Vec<Value> {
    let event = |data: Value| {
        json!({ "specversion": "1.0", "id": "r-1", "source": "/nid", "type": "crvs.nid.reply.v1",
            "time": "2026-10-23T10:00:00Z", "datacontenttype": "application/json", "data": data })
    };
    let of = |status: &str, name: &str, value: Value| {
        event(
            json!({ "request_id": "b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e", "submission": 1, "status": status, name: value }),
        )
    };
    vec![
        of("issued", "national_id", json!("1234567890")),
        of("issued", "national_id", json!("ÄÖ 1234")),
        of("recorded", "national_id_kind", json!("uin")),
        of(
            "rejected",
            "reason",
            json!({ "code": "other", "message": CANARY, "fields": ["subject.name", CANARY] }),
        ),
        of("retry", "retry_after_s", json!(30)),
        of("pending", "nid_reference", json!("ref-1")),
    ]
}

/// Values just inside and just outside the limits of the schema.
fn limits() -> impl Strategy<Value = Value> {
    let length = select(vec![0_usize, 1, 36, 37, 64, 65, 99, 100, 101, 128, 129, 255, 256, 500, 501]);
    prop_oneof![
        (length, select(vec!['x', 'ß', '𝕏']))
            .prop_map(|(length, letter)| letter.to_string().repeat(length).into()),
        select(vec![
            "0",
            "1",
            "1.0",
            "-1",
            "1.5",
            "86400",
            "86401",
            "86400.0",
            "4294967296",
            "9007199254740991",
            "9007199254740992",
            "18446744073709551615",
            "1e3",
            "1e300",
            "-0.0"
        ])
        .prop_map(|number| serde_json::from_str::<Value>(number).unwrap()),
        select(vec![
            "2026-10-23T10:00:00+02:00",
            "2026-10-23t10:00:00z",
            "2026-10-23 10:00:00Z",
            "2026-10-23T10:00Z",
            "2026-10-23",
            "2026-02-30T00:00:00Z",
            "2026-10-23T23:59:60Z",
            "2026-10-23T10:00:00.123456789Z",
            "2026-10-23T10:00:00Z[UTC]",
            "+002026-10-23T10:00:00Z",
            "2026-10-23T10:00:00-00:00",
            "20261023T100000Z",
            "a\u{0}b",
            "\u{7f}",
            "vid",
            "VID",
            "application/json; charset=utf-8",
            "INVALID_DATA",
            "\u{200b}1",
            "1\u{a0}",
            " ",
        ])
        .prop_map(Value::from),
        (0_usize..23).prop_map(|length| vec!["f"; length].into()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_the_published_schema_allows(
        which in any::<Index>(),
        edits in proptest::collection::vec((any::<Index>(), prop_oneof![3 => limits(), 1 => super::json(&NAMES)], any::<bool>()), 1..4),
    ) {
        let schema: Value = serde_json::from_str(REPLY_SCHEMA).unwrap();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let mut reply = which.get(&whole()).clone();
        for (place, value, gone) in edits {
            let all = pointers(&reply);
            if all.is_empty() { continue }
            match gone {
                true => remove(&mut reply, place.get::<String>(&all)),
                false => *reply.pointer_mut(place.get::<String>(&all)).unwrap() = value,
            }
        }
        let ours = check(reply.to_string().as_bytes());
        prop_assert_eq!(ours.is_some(), validator.is_valid(&reply), "{}", reply);
    }

    #[test]
    fn any_bytes_are_at_worst_a_malformed_reply(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(check(&bytes).is_none());
    }

    #[test]
    fn an_id_is_read_and_never_shown(id in "[^\\p{Cc}\\p{Cf}\\p{Z}]([^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]{0,62}[^\\p{Cc}\\p{Cf}\\p{Z}])?", submission in 1_u32..) {
        let mut reply = whole()[0].clone();
        reply["data"]["national_id"] = json!(id);
        reply["data"]["submission"] = json!(submission);
        let read = check(reply.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read.submission, submission);
        let shown = format!("{read:?}");
        prop_assert_eq!(read.status, Status::Issued(NationalId::parse(&id).unwrap()));
        prop_assert!(id.chars().count() < 12 || !shown.contains(&id));
    }

    #[test]
    fn a_vendors_own_words_are_in_no_error_and_in_nothing_that_is_kept(which in any::<Index>(), place in any::<Index>()) {
        let mut reply = which.get(&whole()).clone();
        let all = pointers(&reply);
        *reply.pointer_mut(place.get::<String>(&all)).unwrap() = json!(CANARY);
        let read = Reply::read(reply.to_string().as_bytes(), 65_536);
        let told = match &read {
            Ok(read) => format!("{read:?}"),
            Err(malformed) => format!("{malformed} {malformed:?}"),
        };
        prop_assert!(!told.contains(CANARY), "{}", told);
    }
}

#[test]
fn nesting_without_end_is_malformed_and_costs_nothing() {
    for (open, close) in [("[", "]"), (r#"{"data":"#, "}"), (r#"{"a":["#, "]}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        assert!(check(deep.get(..64_000.min(deep.len())).unwrap().as_bytes()).is_none());
        assert!(Reply::read(deep.as_bytes(), usize::MAX).is_err());
    }
}
