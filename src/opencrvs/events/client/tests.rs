use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::value::RawValue;

use super::*;
use crate::domain::{Answer, EventKind, FieldMapping, NationalId};
use crate::opencrvs::bare_server::server;
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
        let response = CompleteResponse { status, retry_after: None, body };
        let answer = result_of(&response);
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
            let event: Value = serde_json::from_str(event.get()).unwrap();
            assert_eq!(event["trackingId"], "ABC123");
        }
    }
}

#[test]
fn a_transaction_id_belongs_to_one_action() {
    let (_, action) = ids();
    let other = ActionId::parse("other").unwrap();
    assert_eq!(TransactionId::of(&action), TransactionId::of(&action));
    assert_ne!(TransactionId::of(&action), TransactionId::of(&other));
    assert_eq!(TransactionId::of(&action).to_string().chars().nth(14), Some('5'));
}

fn access_token(scopes: &[&str]) -> AccessToken {
    let claims = serde_json::json!({ "exp": 4_000_000_000_i64, "scope": scopes }).to_string();
    AccessToken::read(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))).unwrap()
}

#[test]
fn a_refusal_of_the_client_is_about_its_configuration_and_one_of_the_token_about_the_record() {
    let token = access_token(&["type=record.action.accept&event=birth"]);
    let by_client = |fault, kind: &str| {
        Bearer::Client(&token).interpret(fault, Right::Accept, &EventKind::from_name(kind))
    };
    let secret = SecretString::from("token");
    for (fault, kind, expected) in [
        (OpencrvsFault::Unauthorized, "birth", OpencrvsFault::ClientRefused),
        (OpencrvsFault::RecordRefused, "birth", OpencrvsFault::ClientScope),
        (OpencrvsFault::EventNotFound, "death", OpencrvsFault::ClientScope),
        (OpencrvsFault::EventNotFound, "birth", OpencrvsFault::EventNotFound),
        (OpencrvsFault::ActionNotFound, "death", OpencrvsFault::ActionNotFound),
        (OpencrvsFault::Assigned, "birth", OpencrvsFault::Assigned),
        (OpencrvsFault::Status(500), "birth", OpencrvsFault::Status(500)),
    ] {
        assert_eq!(by_client(fault, kind), expected, "{fault:?} {kind}");
        let by_token = Bearer::Token(&secret).interpret(fault, Right::Accept, &EventKind::from_name(kind));
        assert_eq!(by_token, fault);
    }
}

fn result(json: &Value) -> (u16, String) {
    (200, serde_json::json!({ "result": { "data": { "json": json } } }).to_string())
}

fn error(status: u16, code: &str, message: &str) -> (u16, String) {
    let error = serde_json::json!({ "error": { "json": { "message": message, "data": { "code": code } } } });
    (status, error.to_string())
}

/// The path and the input of a mutation that was sent with the token.
fn mutation(request: &str) -> (String, Value) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("authorization: Bearer the.token"), "{head}");
    let path = head.split(' ').nth(1).unwrap().to_owned();
    (path, serde_json::from_str::<Value>(body).unwrap()["json"].take())
}

#[tokio::test]
async fn a_rejection_and_its_reason_are_two_mutations() {
    let (record, action) = ids();
    let pending = PendingAction { record: &record, action: &action, kind: &EventKind::Birth };
    let token = SecretString::from("the.token");
    let server = server(&[result(&serde_json::json!({})), error(500, "INTERNAL_SERVER_ERROR", "down")]).await;
    let client = EventsClient::new(&server.settings()).unwrap();
    assert_eq!(client.reject(Bearer::Token(&token), &pending, true).await, Ok(()));
    let down = client.reject(Bearer::Token(&token), &pending, false).await;
    assert_eq!(down, Err(OpencrvsFault::Status(500)));
    let down = client.explain(Bearer::Token(&token), &pending, "no such person").await;
    assert_eq!(down, Err(OpencrvsFault::Status(500)));
    let requests: Vec<_> = server.requests().iter().map(|request| mutation(request)).collect();
    let transaction = TransactionId::of(&action).to_string();
    for (number, keeps) in [(0, Some(true)), (1, None)] {
        let (path, input) = &requests[number];
        assert_eq!(path, "/base/events/event.actions.register.reject");
        assert_eq!(input["actionId"], action.as_str());
        assert_eq!(input["transactionId"], transaction.as_str());
        assert_eq!(input.get("keepAssignment").and_then(Value::as_bool), keeps);
    }
    let (path, input) = &requests[2];
    assert_eq!(path, "/base/events/event.actions.reject.request");
    assert_eq!(
        (&input["eventId"], &input["content"]["reason"]),
        (&record.as_str().into(), &"no such person".into())
    );
}

#[tokio::test]
async fn a_client_may_accept_if_opencrvs_gets_as_far_as_looking_for_the_event() {
    let token = access_token(&[]);
    for (response, may) in [
        (error(404, "NOT_FOUND", "Event not found"), Ok(true)),
        (error(404, "NOT_FOUND", "Action not found"), Ok(true)),
        (error(403, "FORBIDDEN", "no"), Ok(false)),
        (error(401, "UNAUTHORIZED", "no"), Err(OpencrvsFault::ClientRefused)),
        (error(500, "INTERNAL_SERVER_ERROR", "down"), Err(OpencrvsFault::Status(500))),
        (result(&serde_json::json!({})), Err(OpencrvsFault::Unreadable)),
    ] {
        let server = server(std::slice::from_ref(&response)).await;
        let client = EventsClient::new(&server.settings()).unwrap();
        assert_eq!(client.may_accept(&token).await, may, "{response:?}");
        assert!(server.requests()[0].contains(&format!("Bearer {}", token.secret().expose_secret())));
    }
}

#[tokio::test]
async fn an_event_is_read_in_either_form_of_the_input_and_belongs_to_its_record() {
    let (record, action) = ids();
    let pending = PendingAction { record: &record, action: &action, kind: &EventKind::Birth };
    let token = SecretString::from("the.token");
    let event = |id: &str| {
        let requested = serde_json::json!({ "id": action.as_str(), "type": "REGISTER", "status": "Requested",
            "createdAt": "2026-03-01T10:00:00.000Z", "declaration": {} });
        serde_json::json!({ "id": id, "type": "birth", "trackingId": "PRZIB7", "actions": [requested] })
    };
    let find = async |event: Value| {
        let server = server(&[error(400, "BAD_REQUEST", "Invalid input"), result(&event)]).await;
        let client = EventsClient::new(&server.settings()).unwrap();
        let found = client.find(Bearer::Token(&token), &pending, &Reading::default()).await;
        let inputs: Vec<_> = server.requests().iter().map(|request| request.contains("eventId")).collect();
        assert_eq!(inputs, [true, false], "the object first, then the bare id");
        found
    };
    let waits = find(event(record.as_str())).await.unwrap();
    assert!(
        matches!(&waits, FoundAction::Waits { tracking_id, .. } if tracking_id.as_str() == "PRZIB7"),
        "{waits:?}"
    );
    assert_eq!(find(event("another-record")).await, Ok(FoundAction::Absent));
    let mut accepted = event(record.as_str());
    accepted["actions"].as_array_mut().unwrap().push(serde_json::json!({
        "status": "Accepted", "originalActionId": action.as_str(), "registrationNumber": "N" }));
    assert_eq!(find(accepted).await, Ok(FoundAction::Answered(ActionState::Accepted(Some("N".to_owned())))));
}
