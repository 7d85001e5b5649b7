use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::support::*;
use super::*;

mod chaos;
pub(super) mod support;

#[tokio::test]
async fn the_caller_looks_like_workflow_and_its_document_waits_for_validation() {
    let (sim, (url, mut received)) = (sim().await, front(202).await);
    let declaration = birth();
    let outcome = sim.submit(&declaration, &url, SubmitOptions::default()).await.unwrap();
    assert_eq!((outcome.result, outcome.status), (CallResult::Status(202), Status::WaitingValidation));
    let (headers, bundle) = received.recv().await.unwrap();
    assert_eq!(headers.get_all("content-type").iter().count(), 2);
    assert_eq!(
        (&headers["host"], &headers["connection"]),
        (&"workflow:5050".parse().unwrap(), &"close".parse().unwrap())
    );
    let text = bundle.to_string();
    assert!(text.contains(&outcome.stamp) && text.contains("WAITING_VALIDATION") && text.len() > 8_000);
    let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let claims = sim.core.with_key(|key| key.verify(token, "countryconfig-user")).unwrap();
    assert_eq!(claims.record_id, Some(declaration.record));
    assert_eq!(claims.exp - claims.iat, 604_800);
}

#[tokio::test]
async fn a_second_confirm_succeeds_and_its_harm_is_counted() {
    let Fixture { sim, declaration, token, .. } = Fixture::new().await;
    for _ in 0..2 {
        let (_, answer) = ask(&sim, &token, CONFIRM, &declaration.record).await;
        assert_eq!(answer["data"]["confirmRegistration"], declaration.task_id());
    }
    let record = sim.record(&declaration.record).unwrap();
    assert_eq!((record.numbers.len(), record.notified, record.confirms.len()), (2, 2, 2));
    assert_eq!(record.identifiers["NATIONAL_ID"], "5123456789");
    let tally = sim.tally();
    assert_eq!((tally.confirmed, tally.confirmed_twice, tally.notified_twice), (1, 1, 1));
    assert_eq!(tally.confirmed_out_of_place, 1);
    let shown = reqwest::get(format!("{}/simulated/tally", sim.gateway_url())).await.unwrap();
    assert_eq!(shown.json::<Value>().await.unwrap()["confirmed_twice"], 1);
    let (_, seen) = ask(&sim, &token, FETCH, &declaration.record).await;
    let registration = &seen["data"]["fetchRegistration"]["registration"];
    assert_eq!(registration["status"][0]["type"], "REGISTERED");
    assert_eq!(registration["status"][2]["type"], "WAITING_VALIDATION");
}

#[tokio::test]
async fn a_failed_answer_puts_rejected_over_registered() {
    let (sim, declaration, (listener, url)) = (sim().await, birth(), listener().await);
    let submitting = sim.submit(&declaration, &url, SubmitOptions::default());
    let confirming = async {
        let connection = listener.accept().await.unwrap();
        let token = sim.mint(&sim.record_claims(&declaration.record)).unwrap();
        ask(&sim, &token, CONFIRM, &declaration.record).await;
        assert_eq!(sim.record(&declaration.record).unwrap().status(), Status::Registered);
        drop(connection);
    };
    let (outcome, ()) = tokio::join!(submitting, confirming);
    assert!(matches!(outcome.unwrap().result, CallResult::NoAnswer(_)));
    let record = sim.record(&declaration.record).unwrap();
    assert_eq!((record.status(), record.overwritten, record.numbers.len()), (Status::Rejected, 1, 0));
    assert_eq!(sim.tally().overwritten, 1);
}

#[tokio::test]
async fn a_lost_answer_is_accepted_on_the_wire_and_rejected_in_core_and_can_be_submitted_again() {
    let (sim, (url, mut received)) = (sim().await, front(202).await);
    let declaration = birth();
    let lost = SubmitOptions { lose_answer: true, ..SubmitOptions::default() };
    let first = sim.submit(&declaration, &url, lost).await.unwrap();
    assert_eq!((first.arrived, first.status), (false, Status::Rejected));
    let second = sim.submit(&declaration, &url, corrected()).await.unwrap();
    assert!(second.stamp > first.stamp);
    assert_eq!(second.status, Status::WaitingValidation);
    let (before, after) = (received.recv().await.unwrap().1, received.recv().await.unwrap().1);
    assert!(!before.to_string().contains("\"Corrected\"") && after.to_string().contains("\"Corrected\""));
    let tally = sim.tally();
    assert_eq!((tally.submitted, tally.accepted, tally.answers_lost, tally.waiting), (2, 2, 1, 1));
}

#[tokio::test]
async fn the_gateway_refuses_in_its_own_words_with_http_200() {
    let Fixture { sim, declaration, token, .. } = Fixture::new().await;
    let (id, good) = (declaration.record.as_str(), sim.record_claims(&declaration.record));
    let with = |change: fn(&mut Claims)| {
        let mut claims = good.clone();
        change(&mut claims);
        sim.mint(&claims).unwrap()
    };
    let stale = with(|claims| claims.exp = claims.iat - 10);
    let elsewhere = with(|claims| claims.aud = vec!["opencrvs:countryconfig-user".to_owned()]);
    for token in ["", "nonsense", &stale, &elsewhere] {
        assert_eq!(message(&ask(&sim, token, CONFIRM, id).await), "Unauthorized");
    }
    let powerless = with(|claims| claims.scope.clear());
    let no_scope = ask(&sim, &powerless, CONFIRM, id).await;
    assert_eq!(message(&no_scope), "User does not have a Confirm Registration scope");
    assert_eq!(no_scope.1["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR");
    let foreign = with(|claims| claims.record_id = Some("another".to_owned()));
    assert_eq!(message(&ask(&sim, &foreign, CONFIRM, id).await), "User does not have access to the record");
    let unknown = sim.mint(&sim.record_claims("nobody")).unwrap();
    let missing = ask(&sim, &unknown, CONFIRM, "nobody").await;
    assert_eq!(message(&missing), "Failed to confirm registration: Internal Server Error");
    assert_eq!(message(&ask(&sim, &token, FETCH, "nobody").await), "Failed to fetch record nobody");
    assert_eq!(message(&ask(&sim, &token, REJECT, id).await), "Error in rejectRegistration: Forbidden");
    sim.faults().deactivate(&good.sub, true);
    assert_eq!(message(&ask(&sim, &token, FETCH, id).await), "Authentication failed");
    sim.faults().deactivate(&good.sub, false);
    assert_eq!(ask(&sim, &token, "mutation { nothingOfThat }", id).await.0, 400);
    assert!(sim.record(id).unwrap().confirms.is_empty());
}

#[tokio::test]
async fn faults_before_write_nothing_and_faults_after_write_once() {
    let fixture = Fixture::new().await;
    let (sim, token, id) = (&fixture.sim, &fixture.token, fixture.declaration.record.as_str());
    for (fault, expected) in [
        (Fault::FAILS_BEFORE, 0),
        (Fault::RATE_LIMITED, 0),
        (Fault::USER_MANAGEMENT_DOWN, 0),
        (Fault::FAILS_AFTER, 1),
    ] {
        sim.faults().next(Calls::Confirm, 1, fault);
        let answer = ask(sim, token, CONFIRM, id).await;
        assert!(!message(&answer).is_empty());
        assert_eq!(fixture.confirms(), expected, "{fault:?}");
    }
    for (fault, expected) in [(Fault::CUT_BEFORE, 1), (Fault::CUT_AFTER, 2)] {
        sim.faults().next(Calls::Confirm, 1, fault);
        assert!(!fixture.confirm().await, "{fault:?} gave an answer");
        assert_eq!(fixture.confirms(), expected, "{fault:?}");
    }
    assert_eq!(ask(sim, token, CONFIRM, id).await.0, 200);
}

#[tokio::test]
async fn tokens_are_exchanged_as_the_auth_service_does_and_die_with_its_key() {
    let sim = sim().await;
    let subject = sim.mint(&sim.record_claims("record-1")).unwrap();
    let (status, fresh) = exchange(&sim, &subject, "record-2", &[]).await;
    assert_eq!((status, &fresh["token_type"]), (200, &json!("Bearer")));
    let fresh = fresh["access_token"].as_str().unwrap();
    let claims = sim.core.with_key(|key| key.verify(fresh, "gateway-user")).unwrap();
    assert_eq!(claims.record_id.as_deref(), Some("record-2"));
    for (change, expected) in [
        (("grant_type", "password"), (400, "unsupported_grant_type")),
        (("grant_type", "client_credentials"), (400, "invalid_request")),
        (("subject_token", ""), (400, "invalid_request")),
        (("requested_token_type", "urn:something"), (400, "invalid_request")),
        (("subject_token", "nonsense"), (401, "unauthorized_client")),
    ] {
        let (status, body) = exchange(&sim, &subject, "record-2", &[change]).await;
        assert_eq!((status, body["error"].as_str().unwrap()), expected);
    }
    let known = async || reqwest::get(format!("{}/.well-known", sim.auth_url())).await.unwrap();
    let before = known().await;
    assert_eq!(before.headers()["content-type"], "application/octet-stream");
    let before = before.text().await.unwrap();
    assert!(before.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    sim.rotate_key().unwrap();
    assert_ne!(known().await.text().await.unwrap(), before);
    assert_eq!(exchange(&sim, &subject, "record-2", &[]).await.0, 401);
}

#[tokio::test]
async fn a_load_is_counted_as_it_was_sent() {
    let (sim, (url, _received)) = (sim().await, front(202).await);
    let load = RunOptions { registrations: Some(60), lost_answers: 0.1, ..hurried(url) };
    sim.run(load, CancellationToken::new()).await.unwrap();
    let tally = sim.tally();
    assert_eq!((tally.records, tally.waiting, tally.rejected), (60, 60, 0));
    assert_eq!(tally.submitted, 60 + tally.resubmitted);
    assert_eq!((tally.resubmitted, tally.accepted), (tally.answers_lost, tally.submitted));
    assert!((5..=7).contains(&tally.answers_lost));
}

#[tokio::test]
async fn registrars_give_up_on_a_bridge_that_refuses() {
    let (sim, (url, _received)) = (sim().await, front(503).await);
    let load = RunOptions { registrations: Some(4), attempts: 3, ..hurried(url) };
    sim.run(load, CancellationToken::new()).await.unwrap();
    let tally = sim.tally();
    assert_eq!((tally.submitted, tally.refused, tally.rejected, tally.accepted), (12, 12, 4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_asks_for_nothing_that_the_schema_does_not_have() {
    use crate::domain::{EventKind, RecordId, RegistrationNumber};
    use crate::opencrvs::ClientSettings;
    use crate::opencrvs::fhir::{Confirmation, Gateway};
    let Fixture { sim, declaration, token, .. } = Fixture::new().await;
    let url = sim.gateway_url().parse().unwrap();
    let settings = ClientSettings { url, timeout: SOON, connect_timeout: SOON, proxy: None };
    let gateway = Gateway::new(&settings).unwrap();
    let (record, token) = (RecordId::parse(&declaration.record).unwrap(), token.into());
    gateway.read(&token, &record).await.unwrap();
    for kind in [EventKind::Birth, EventKind::Death, EventKind::Marriage] {
        gateway.find(&token, &record, &kind, "NATIONAL_ID").await.unwrap();
    }
    let number = RegistrationNumber::parse("2026B").unwrap();
    let confirmation = Confirmation { number, identifiers: Vec::new(), comment: Some("told".to_owned()) };
    gateway.confirm(&token, &record, &confirmation).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_ahead_stamps_one_submission_and_no_later_one() {
    let (sim, (url, _received)) = (sim().await, front(500).await);
    let ahead = Timestamp::now() + SignedDuration::from_hours(24);
    let declaration = birth();
    let submit = async |at| {
        let options = SubmitOptions { at, ..SubmitOptions::default() };
        let outcome = sim.submit(&declaration, &url, options).await.unwrap();
        outcome.stamp.parse::<Timestamp>().unwrap()
    };
    let first = submit(Some(ahead)).await;
    assert!(first > Timestamp::now() + SignedDuration::from_hours(23), "{first}");
    let second = submit(None).await;
    assert!(second <= Timestamp::now(), "{second}");
    assert!(submit(None).await > second);
}

#[tokio::test]
async fn an_invented_registration_is_posted_with_a_valid_token_and_leaves_nothing_behind() {
    let (sim, (url, mut received)) = (sim().await, front(202).await);
    let declaration = birth();
    let result = sim.invent(&declaration, &url, None).await.unwrap();
    assert_eq!(result, CallResult::Status(202));
    let (headers, bundle) = received.recv().await.unwrap();
    assert!(bundle.to_string().contains(&declaration.record));
    let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    assert!(sim.core.with_key(|key| key.verify(token, "gateway-user")).is_some());
    assert!(sim.record(&declaration.record).is_none());
}
