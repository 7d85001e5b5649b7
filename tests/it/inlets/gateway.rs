//! The gateway's answers: an answer that does not clearly tell the result of a write is ambiguous,
//! and none of its text is kept.

use nidbridge::domain::RecordState;
use nidbridge::inlets::opencrvs::{answer, seen};
use nidbridge::opencrvs::{FaultClass, OpencrvsFault};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::checks::gateway::{check, status_and_body};

const CANARY: &str = "Zuzanna-Canary-7731";
const NAMES: [&str; 20] = [
    "data",
    "errors",
    "message",
    "extensions",
    "code",
    "UNAUTHENTICATED",
    "Unauthorized",
    "Authentication failed",
    "RATE_LIMIT_EXCEEDED",
    "GRAPHQL_VALIDATION_FAILED",
    "INTERNAL_SERVER_ERROR",
    "fetchRegistration",
    "registration",
    "status",
    "timestamp",
    "type",
    "REGISTERED",
    "2026-10-23T10:00:00Z",
    "confirmRegistration",
    "registrationNumber",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_data_or_a_fault_that_says_what_may_have_been_written(
        status in select(vec![100_u16, 200, 200, 200, 204, 302, 400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 999]),
        body in super::json(&NAMES),
    ) {
        status_and_body(status, body.to_string().as_bytes());
        let data = json!({ "data": body });
        let read = status_and_body(status, data.to_string().as_bytes()).unwrap();
        if (200..300).contains(&status) && !data["data"].is_null() {
            let Ok(read) = read else { return Err(TestCaseError::fail("an answer without errors")) };
            prop_assert!(read == data["data"] || read.to_string().contains('.'), "{} {}", read, data);
        }
    }

    #[test]
    fn no_bytes_crash_the_confirmer(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        check(&bytes);
    }

    #[test]
    fn what_the_gateway_writes_is_in_no_fault(
        status in select(vec![200_u16, 400, 401, 404, 500]),
        code in select(&NAMES[..]),
        text in select(vec!["Failed to confirm registration: ", "Failed to fetch record ", "", "Unauthorized "]),
    ) {
        let error = json!({ "message": format!("{text}{CANARY}"), "extensions": { "code": code, "why": CANARY } });
        for body in [json!({ "errors": [error] }).to_string(), error.to_string(), CANARY.to_owned()] {
            let Some(Err(fault)) = status_and_body(status, body.as_bytes()) else { continue };
            prop_assert!(!format!("{fault} {fault:?}").contains("Canary"), "{}", fault);
        }
    }

    #[test]
    fn the_state_of_a_record_is_its_newest_status(
        status in prop_oneof![
            "[A-Z_]{0,20}",
            select(vec!["REGISTERED", "CERTIFIED", "registered", "REJECTED", "ARCHIVED"]).prop_map(str::to_owned),
        ],
        at in prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<i64>().prop_map(|ms| Value::from(ms.to_string())),
            super::json(&NAMES),
        ],
        number in super::json(&NAMES),
    ) {
        let entry = json!({ "type": status, "timestamp": at });
        let data = json!({ "fetchRegistration": { "registration": { "status": [entry], "registrationNumber": number } } });
        if let Some(seen) = seen(&data) {
            prop_assert_eq!(seen.number.as_deref(), number.as_str());
            let registered = ["REGISTERED", "CERTIFIED", "ISSUED", "CORRECTION_REQUESTED"].contains(&status.as_str());
            prop_assert_eq!(seen.status == RecordState::Registered, registered, "{}", status);
        }
    }
}

#[test]
fn an_unreadable_answer_is_ambiguous_unless_a_proxy_gave_it() {
    let deep = format!(r#"{{"data":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    for body in [&b""[..], b"<html>", b"{", b"null", b"[]", b"{}", br#"{"data":null}"#, deep.as_bytes()] {
        let fault = answer(200, None, body).unwrap().unwrap_err();
        assert_eq!(
            fault.class(),
            FaultClass::Ambiguous,
            "{}",
            String::from_utf8_lossy(&body[..body.len().min(40)])
        );
    }
    assert_eq!(answer(404, None, b"<html>").unwrap(), Err(OpencrvsFault::Unreachable));
}
