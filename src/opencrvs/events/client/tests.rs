use serde_json::value::RawValue;

use reqwest::StatusCode;

use super::*;
use crate::domain::{Answer, EventKind, FieldMapping, NationalId};
use crate::opencrvs::call::CompleteResponse;
use crate::opencrvs::events::tests::fixture;

/// The transaction id of the recorded calls, which is not one of ours.
const RECORDED: &str = "mosip-interop-6a1b2c3d-0000-4000-8000-000000000003";

#[derive(serde::Deserialize)]
struct Pair {
    name: String,
    request: Recorded,
    response: Recorded,
}

#[derive(serde::Deserialize)]
struct Recorded {
    #[serde(default)]
    url: String,
    #[serde(default)]
    status: u16,
    body: Box<RawValue>,
}

fn pairs() -> Vec<Pair> {
    let Some(text) = fixture("trpc-wire-register-accept-reject.json") else { return Vec::new() };
    serde_json::from_slice(&text).unwrap()
}

fn ids() -> (RecordId, ActionId) {
    let id = |last: u8| format!("6a1b2c3d-0000-4000-8000-00000000000{last}");
    (RecordId::parse(&id(1)).unwrap(), ActionId::parse(&id(2)).unwrap())
}

/// Removes the whitespace from a recording, which is pretty-printed. A call contains no whitespace,
/// and neither do the texts in these recordings.
fn on_the_wire(body: &RawValue) -> String {
    body.get().chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn calls_are_byte_for_byte_those_of_the_official_client() {
    let (record, action) = ids();
    let number = RegistrationNumber::parse("2026B0000001").unwrap();
    let issued = Answer::Issued(NationalId::parse("8031687218").unwrap());
    let fields =
        FieldMapping::identifier("child.nid".to_owned()).evaluate(&EventKind::Birth, &issued, &number);
    let acceptance = Acceptance { number, fields };
    let accept = Input::of(RECORDED, &record, &action).accepting(&acceptance);
    let accept = serde_json::to_string(&Envelope { json: accept }).unwrap();
    let reject = serde_json::to_string(&Envelope { json: Input::of("t", &record, &action) }).unwrap();
    for pair in pairs() {
        match pair.name.as_str() {
            "accept-ok-nonbatch" => {
                assert_eq!(pair.request.url, "/event.actions.register.accept");
                assert_eq!(accept, on_the_wire(&pair.request.body));
            }
            "accept-ok-batch" => assert_eq!(format!(r#"{{"0":{accept}}}"#), on_the_wire(&pair.request.body)),
            "reject-ok-batch" => assert_eq!(format!(r#"{{"0":{reject}}}"#), on_the_wire(&pair.request.body)),
            _ => {}
        }
    }
}

#[test]
fn every_recorded_answer_is_understood() {
    for pair in pairs() {
        let status = StatusCode::from_u16(pair.response.status).unwrap();
        let body = pair.response.body.get().into();
        let answer = result_of(&CompleteResponse { status, retry_after: None, body });
        let fault = answer.as_ref().err().copied();
        let expected = match pair.name.as_str() {
            "accept-403" => Some(OpencrvsFault::RecordRefused),
            "accept-404-action-not-found" => Some(OpencrvsFault::ActionNotFound),
            "accept-400-already-rejected" | "accept-400-nonbatch-already-rejected" => {
                Some(OpencrvsFault::AlreadyRejected)
            }
            "accept-401-no-token" => Some(OpencrvsFault::Unauthorized),
            "reject-500-already-accepted" => Some(OpencrvsFault::Status(500)),
            "accept-400-missing-registrationNumber"
            | "accept-400-missing-superjson-envelope"
            | "accept-415-wrong-content-type" => Some(OpencrvsFault::Contract),
            ok => {
                assert!(
                    ok.starts_with("accept-ok") || ok.starts_with("reject-ok") || ok.contains("-200-"),
                    "{ok}"
                );
                None
            }
        };
        assert_eq!(fault, expected, "{}", pair.name);
        if let Ok(event) = answer {
            assert_eq!(event["trackingId"], "ABC123");
        }
    }
}

#[test]
fn an_acceptance_says_under_which_number() {
    let (_, action) = ids();
    let of = |status: &str| {
        let event = serde_json::json!({ "actions": [
            { "id": action.as_str(), "status": "Requested" },
            { "status": "Accepted", "originalActionId": "other", "registrationNumber": "OTHER" },
            { "status": status, "originalActionId": action.as_str(), "registrationNumber": "2026B" },
        ]});
        action_state(&event, &action)
    };
    assert_eq!(of("Accepted"), Some(ActionState::Accepted(Some("2026B".to_owned()))));
    assert_eq!(of("Rejected"), Some(ActionState::Rejected));
    assert_eq!(of("Requested"), None);
}

#[test]
fn a_transaction_is_the_actions_and_of_no_other() {
    let (_, action) = ids();
    let other = ActionId::parse("other").unwrap();
    assert_eq!(TransactionId::of(&action), TransactionId::of(&action));
    assert_ne!(TransactionId::of(&action), TransactionId::of(&other));
    assert_eq!(TransactionId::of(&action).to_string().chars().nth(14), Some('5'));
}
