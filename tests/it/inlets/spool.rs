//! Spool files: a file that was written is read back unchanged, and file names sort in the order of
//! submission.

use std::collections::BTreeMap;

use jiff::Timestamp;
use nidbridge::domain::{
    AttemptKey, Dialect, EventKind, RecordId, Registration, RegistrationNumber, TrackingId,
};
use nidbridge::inlets::spool::{attempt, name, read, write};
use nidbridge::pipeline::RegistrationMessage;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::checks::spool::{check, sealed};

fn stamp() -> impl Strategy<Value = Timestamp> {
    let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    prop_oneof![
        3 => 0_i64..4_102_444_800,
        1 => first..=last,
    ]
    .prop_flat_map(|second| (Just(second), 0_i32..1_000_000_000))
    .prop_map(|(second, nanosecond)| Timestamp::new(second, if second < 0 { 0 } else { nanosecond }).unwrap())
}

fn message() -> impl Strategy<Value = RegistrationMessage> {
    let text = |most: usize| proptest::string::string_regex(&format!("[^\\p{{Cc}}]{{1,{most}}}")).unwrap();
    let dialect = select(vec![Dialect::Fhir, Dialect::Events]);
    let key = (dialect, text(64), stamp());
    let rest =
        (text(20), text(32), proptest::option::of(text(40)), proptest::option::of(text(64)), ".{0,60}");
    let token = proptest::option::of((stamp(), ".{0,60}"));
    (key, rest, stamp(), token, 0_u64..60_000).prop_map(
        |((dialect, record, stamp), rest, accepted_at, token, wait_ms)| {
            let (kind, tracking_id, office, number, sealed_view) = rest;
            let (token_expires_at, sealed_token) = token.unzip();
            let record = RecordId::parse(&record).unwrap();
            let registration = Registration {
                key: AttemptKey { dialect, record, mark: stamp.to_string(), stamp },
                kind: EventKind::from_name(&kind),
                tracking_id: TrackingId::parse(&tracking_id).unwrap(),
                office,
                accepted_at,
                wait: std::time::Duration::from_millis(wait_ms),
                token_expires_at,
                number: number.map(|number| RegistrationNumber::parse(&number).unwrap()),
                unheard: false,
            };
            RegistrationMessage::new(registration, sealed_view, sealed_token)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(message in message(), trace in proptest::collection::btree_map(".{0,12}", ".{0,60}", 0..4)) {
        let file = write(&message, &trace).unwrap();
        let name = name(&message.registration.key);
        prop_assert_eq!(read(&name, &file), Some((message.clone(), trace)));
        let content = file.iter().position(|byte| *byte == b'\n').map(|end| &file[end + 1..]).unwrap();
        prop_assert_eq!(check(content), Some(message.clone()));
        prop_assert_eq!(attempt(&name), Some(message.registration.key.id()));
    }

    #[test]
    fn a_file_that_was_changed_anywhere_is_not_taken(message in message(), at in any::<Index>(), byte in 1_u8..) {
        let mut file = write(&message, &BTreeMap::new()).unwrap();
        let at = at.index(file.len());
        file[at] ^= byte;
        prop_assert_eq!(read(&name(&message.registration.key), &file), None);
    }

    #[test]
    fn any_content_under_a_correct_checksum_is_accepted_or_refused(
        message in message(), at in any::<Index>(), new in proptest::collection::vec(any::<u8>(), 0..4), bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&bytes);
        let mut content = serde_json::to_vec(&serde_json::json!({ "message": message })).unwrap();
        let at = at.index(content.len());
        content.splice(at..=at, new);
        check(&content);
        prop_assert_eq!(read("", &sealed(&content)).is_some(), check(&content).is_some());
    }

    #[test]
    fn names_are_in_the_order_of_submission(one in message(), other in 0_i64..4_102_444_800, ours in 0_i64..4_102_444_800) {
        let named = |second: i64| {
            let stamp = Timestamp::from_second(second).unwrap();
            name(&AttemptKey { stamp, mark: stamp.to_string(), ..one.registration.key.clone() })
        };
        prop_assert_eq!(named(ours).cmp(&named(other)), ours.cmp(&other));
    }

    #[test]
    fn no_other_name_is_taken_for_a_registration(text in prop_oneof!["\\PC{0,80}", "[0-9TZ.-]{0,30}[0-9a-f-]{36}\\.registration"]) {
        if attempt(&text).is_some() {
            check(text.as_bytes());
            prop_assert!(text.ends_with(".registration") && !text.starts_with('.'), "{}", text);
        }
    }
}
