//! Messages from the broker, with headers of every type and size: unknown headers, our own headers
//! forged by a vendor, and the broker's own headers.

use jiff::Timestamp;
use nidbridge::broker::headers;

use proptest::prelude::*;
use proptest::sample::select;

use super::checks::amqp::{US, check, message};

/// A header value in its wire encoding, with its type before it.
#[derive(Debug, Clone)]
enum Field {
    Long(Vec<u8>),
    Plain(u8, Vec<u8>),
    Table(Vec<(String, Field)>),
    List(Vec<Field>),
}

impl Field {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Long(bytes) => sized(b'S', bytes, out),
            Self::Plain(kind, bytes) => {
                out.push(*kind);
                out.extend(bytes);
            }
            Self::Table(fields) => sized(b'F', &table(fields), out),
            Self::List(fields) => {
                let mut inner = Vec::new();
                fields.iter().for_each(|field| field.write(&mut inner));
                sized(b'A', &inner, out);
            }
        }
    }
}

fn sized(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend(bytes);
}

fn short(text: &str, out: &mut Vec<u8>) {
    out.push(u8::try_from(text.len()).unwrap());
    out.extend(text.as_bytes());
}

fn table(fields: &[(String, Field)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, field) in fields {
        short(name, &mut out);
        field.write(&mut out);
    }
    out
}

/// AMQP properties with these headers, a message id, a type and the user id.
fn properties(headers: &[(String, Field)], id: &str, kind: &str, user: Option<&str>) -> Vec<u8> {
    let flags: u16 = 1 << 13 | 1 << 7 | 1 << 5 | if user.is_some() { 1 << 4 } else { 0 };
    let mut out = flags.to_be_bytes().to_vec();
    let headers = table(headers);
    out.extend(u32::try_from(headers.len()).unwrap().to_be_bytes());
    out.extend(headers);
    short(id, &mut out);
    short(kind, &mut out);
    user.iter().for_each(|user| short(user, &mut out));
    out
}

fn field() -> impl Strategy<Value = Field> {
    let number = |kind: u8, width: usize| {
        proptest::collection::vec(any::<u8>(), width).prop_map(move |bytes| Field::Plain(kind, bytes))
    };
    let leaf = prop_oneof![
        4 => prop_oneof![".{0,40}", "[0-9]{0,25}", "[0-9T:Z.-]{0,30}"].prop_map(|text| Field::Long(text.into_bytes())),
        1 => proptest::collection::vec(any::<u8>(), 0..3_000).prop_map(Field::Long),
        2 => prop_oneof![
            number(b't', 1), number(b'b', 1), number(b'B', 1), number(b'U', 2), number(b'u', 2), number(b'I', 4),
            number(b'i', 4), number(b'L', 8), number(b'l', 8), number(b'f', 4), number(b'd', 8), number(b'D', 5),
            number(b'T', 8), number(b'V', 0),
        ],
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Field::List),
            proptest::collection::vec(("[a-z]{0,8}", inner), 0..4).prop_map(Field::Table),
        ]
    })
}

/// Header names that mean something to us or to the broker, and others.
fn name() -> impl Strategy<Value = String> {
    let known = [
        headers::ATTEMPT,
        headers::FIRST_SEEN,
        headers::CAUSE,
        headers::ORIGINAL_EXCHANGE,
        headers::ORIGINAL_KEY,
        headers::ORIGINAL_USER,
        headers::ORIGINAL_QUEUE,
        headers::PARKED_AT,
        "x-death",
        "x-first-death-queue",
        "CC",
        "BCC",
        "x-delivery-count",
        "traceparent",
        "tracestate",
    ];
    prop_oneof![3 => select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-zä]{0,100}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_its_headers_a_message_can_be_put_off_and_parked(
        headers in proptest::collection::vec((name(), field()), 0..40),
        id in "\\PC{0,60}",
        user in select(vec![None, Some(US), Some("vendor")]),
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        prop_assert!(message(&properties(&headers, &id, "reply.v1", user), &body).is_some());
    }

    #[test]
    fn our_own_headers_are_ignored_in_a_vendors_message(
        attempt in any::<u32>(), seen in any::<i64>(), user in select(vec![None, Some("vendor")]),
    ) {
        let text = |name: &str, value: String| (name.to_owned(), Field::Long(value.into_bytes()));
        let forged = [
            text(headers::ATTEMPT, attempt.to_string()),
            text(headers::FIRST_SEEN, seen.to_string()),
            text(headers::ORIGINAL_USER, US.to_owned()),
            text(headers::ORIGINAL_KEY, "reply.birth".to_owned()),
            text(headers::ORIGINAL_EXCHANGE, "nid.replies".to_owned()),
        ];
        let read = message(&properties(&forged, "m", "k", user), b"").unwrap();
        prop_assert_eq!(read.user_id.as_deref(), user);
        prop_assert_eq!((read.attempt, read.first_seen), (0, Timestamp::UNIX_EPOCH));
        prop_assert_eq!((read.exchange.as_str(), read.routing_key.as_str()), ("exchange", "key"));
        let ours = message(&properties(&forged, "m", "k", Some(US)), b"").unwrap();
        prop_assert_eq!((ours.attempt, ours.routing_key.as_str()), (attempt, "reply.birth"));
    }

    #[test]
    fn no_properties_crash_a_stage(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}

#[test]
fn nesting_without_end_costs_a_message_its_properties_and_nothing_else() {
    let mut field = Field::Long(b"x".to_vec());
    for level in 0..3_000 {
        field = if level % 2 == 0 {
            Field::List(vec![field])
        } else {
            Field::Table(vec![("a".to_owned(), field)])
        };
    }
    let read = message(&properties(&[("a".to_owned(), field)], "m", "k", Some("vendor")), b"body").unwrap();
    assert_eq!((read.id, read.user_id, read.headers.len()), (None, None, 0));
}

#[test]
fn headers_that_fill_a_frame_leave_room_for_ours() {
    let one = |name: String, length: usize| (name, Field::Long(vec![b'x'; length]));
    let many: Vec<_> = (0..4_000).map(|number| one(format!("h{number}"), 20)).collect();
    for headers in [vec![one("a".to_owned(), 130_000)], vec![one(headers::ATTEMPT.to_owned(), 130_000)], many]
    {
        for user in [None, Some(US), Some("vendor")] {
            assert!(message(&properties(&headers, "m", "k", user), b"body").is_some());
        }
    }
    let trace = ("traceparent".to_owned(), Field::Long(b"00-1-2-01".to_vec()));
    let read =
        message(&properties(&[one("a".to_owned(), 130_000), trace], "m", "k", Some("vendor")), b"").unwrap();
    assert_eq!(read.headers.get("traceparent").map(String::as_str), Some("00-1-2-01"));
    assert!(!read.headers.contains_key("a"));
}
