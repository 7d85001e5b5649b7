use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::Url;

use super::*;
use crate::sandbox::population::{Declaration, Kind, Mix, Population};

mod chaos;

/// How long a test waits for something that must happen.
const SOON: Duration = Duration::from_secs(20);
const CONFIRM: &str = "mutation ($id: ID!, $details: ConfirmRegistrationInput!) { confirmRegistration(id: $id, details: $details) }";
const REJECT: &str = "mutation ($id: ID!, $details: RejectRegistrationInput!) { rejectRegistration(id: $id, details: $details) }";
const FETCH: &str = "query ($id: ID!) { fetchRegistration(id: $id) { id registration { registrationNumber status { type timestamp } } } }";

type Received = mpsc::UnboundedReceiver<(HeaderMap, Value)>;

/// A listener on a free port, and its URL.
async fn listener() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    (listener, url)
}

/// Serves `POST /event-registration` with this handler.
async fn serve<T: 'static>(handler: impl Handler<T, ()>) -> Url {
    let (listener, url) = listener().await;
    let router = Router::new().route("/event-registration", post(handler));
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    url
}

/// A front that answers every request with this status. The channel yields what it received.
async fn front(status: u16) -> (Url, Received) {
    let (sender, received) = mpsc::unbounded_channel();
    let answer = move |headers: HeaderMap, body: axum::body::Bytes| async move {
        sender.send((headers, serde_json::from_slice(&body).unwrap())).unwrap();
        StatusCode::from_u16(status).unwrap()
    };
    (serve(answer).await, received)
}

async fn sim() -> OpencrvsSim {
    OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap()
}

fn birth() -> Declaration {
    Population::new(1, Mix::default()).find(|one| one.kind == Kind::Birth).unwrap()
}

/// A record that waits for an answer, and a front to which it can be submitted again.
struct Fixture {
    sim: OpencrvsSim,
    front: Url,
    received: Received,
    declaration: Declaration,
    /// The token that the submission carried.
    token: String,
}

impl Fixture {
    async fn new() -> Self {
        let (sim, (front, received), declaration) = (sim().await, front(202).await, birth());
        // The token is older than any that auth may issue for the record within the same second.
        let claims = sim.record_claims(&declaration.record);
        let token = sim.mint(&Claims { iat: claims.iat - 60, ..claims }).unwrap();
        let with = SubmitOptions { token: Some(token.clone()), ..SubmitOptions::default() };
        sim.submit(&declaration, &front, with).await.unwrap();
        Self { sim, front, received, declaration, token }
    }

    async fn resubmit(&self, options: SubmitOptions) -> SubmitOutcome {
        self.sim.submit(&self.declaration, &self.front, options).await.unwrap()
    }

    fn record(&self) -> Record {
        self.sim.record(&self.declaration.record).unwrap()
    }

    fn confirms(&self) -> usize {
        self.record().confirms.len()
    }

    /// Confirms, and disconnects as soon as the gateway has received the call.
    async fn confirm_and_disconnect(&self) {
        let calls = || self.sim.faults().calls().get("confirm").copied().unwrap_or_default();
        let before = calls();
        tokio::select! {
            _ = self.confirm() => panic!("the gateway was faster"),
            () = until("the call", || calls() > before) => {}
        }
    }

    /// Confirms; returns whether a complete answer came.
    async fn confirm(&self) -> bool {
        let call = graphql(&self.sim, &self.token, CONFIRM, &confirmation(&self.declaration.record));
        match call.timeout(SOON).send().await {
            Ok(answer) => answer.bytes().await.is_ok(),
            Err(_) => false,
        }
    }
}

/// Waits for a condition that must soon hold.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !holds() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

/// A load without pauses, whose registrars submit every rejected record again.
fn hurried(front: Url) -> RunOptions {
    let resubmit_after = Duration::from_millis(1);
    RunOptions { rate: 0.0, resubmit: 1.0, resubmit_after, ..RunOptions::to(front) }
}

fn corrected() -> SubmitOptions {
    SubmitOptions { corrected: Some("Corrected".to_owned()), ..SubmitOptions::default() }
}

fn confirmation(id: &str) -> Value {
    json!({"id": id, "details": {
        "registrationNumber": "2026B123456", "identifiers": [{"type": "NATIONAL_ID", "value": "5123456789"}]
    }})
}

fn graphql(sim: &OpencrvsSim, token: &str, query: &str, variables: &Value) -> reqwest::RequestBuilder {
    let call = reqwest::Client::new().post(format!("{}/graphql", sim.gateway_url())).bearer_auth(token);
    call.json(&json!({"query": query, "variables": variables}))
}

async fn ask(sim: &OpencrvsSim, token: &str, query: &str, id: &str) -> (u16, Value) {
    let answer = graphql(sim, token, query, &confirmation(id)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Exchanges a token for a record token. `changes` replace parameters of the request.
async fn exchange(sim: &OpencrvsSim, token: &str, record: &str, changes: &[(&str, &str)]) -> (u16, Value) {
    let mut parameters = BTreeMap::from([
        ("grant_type", "urn:opencrvs:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("requested_token_type", "urn:opencrvs:oauth:token-type:single_record_token"),
        ("record_id", record),
    ]);
    parameters.extend(changes.iter().copied());
    let mut url = Url::parse(&format!("{}/token", sim.auth_url())).unwrap();
    url.query_pairs_mut().extend_pairs(parameters);
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn message(answer: &(u16, Value)) -> &str {
    assert_eq!(answer.0, 200);
    answer.1["errors"][0]["message"].as_str().unwrap()
}

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
        (("grant_type", "client_credentials"), (400, "unsupported_grant_type")),
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
