use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::Url;

use super::*;
use super::{Credential, Release};
use crate::sandbox::opencrvs::tests::support::serve_at;
use crate::sandbox::opencrvs::{OpencrvsSettings, OpencrvsSim, SubmitOptions};
use crate::sandbox::population::{Declaration, Mix, Population};

mod actions;
mod clients;
mod country;
mod ready;
mod search;
mod upgrade;

/// A front that gives this answer to every trigger. The channel yields the token and the document
/// of each request.
async fn front((status, body): (u16, &'static str)) -> (Url, mpsc::UnboundedReceiver<(String, Value)>) {
    let (sent, got) = mpsc::unbounded_channel();
    let answer = move |headers: HeaderMap, document: Json<Value>| async move {
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        sent.send((token, document.0)).unwrap();
        (StatusCode::from_u16(status).unwrap(), body)
    };
    (serve_at("/trigger/events/birth/actions/REGISTER", answer).await, got)
}

fn birth() -> Declaration {
    Population::new(3, Mix { deaths: 0.0, marriages: 0.0, ..Mix::default() }).declaration(0)
}

const LATER: (u16, &str) = (202, "");

async fn sim(release: Release) -> OpencrvsSim {
    OpencrvsSim::start(OpencrvsSettings { release, ..OpencrvsSettings::default() }).await.unwrap()
}

/// Asks the gateway for a client's token, with a form in the body and parameters in the query.
async fn token(sim: &OpencrvsSim, form: &[(&str, &str)], query: &[(&str, &str)]) -> (u16, Value) {
    let encode = |pairs: &[(&str, &str)]| {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    let grant = [("grant_type", "client_credentials")];
    let form = [grant.as_slice(), form].concat();
    let answer = reqwest::Client::new()
        .post(format!("{}/auth/token?{}", sim.gateway_url(), encode(query)))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encode(&form))
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn message(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["json"]["message"].as_str().unwrap_or_default())
}

const NUMBER: &str = "N1";

struct Fixture {
    sim: OpencrvsSim,
    family: Declaration,
    token: String,
    action: String,
    http: reqwest::Client,
}

impl Fixture {
    async fn answered(answer: (u16, &'static str)) -> Self {
        Self::on(Release::V2_0, answer).await
    }

    /// A birth whose trigger got this answer, on this release.
    async fn on(release: Release, answer: (u16, &'static str)) -> Self {
        Self::of_release(sim(release).await, None, answer).await
    }

    /// The same of a record that may belong to an older release than its OpenCRVS.
    async fn of_release(sim: OpencrvsSim, release: Option<Release>, answer: (u16, &'static str)) -> Self {
        let (url, mut got) = front(answer).await;
        let family = birth();
        sim.submit_event(&family, &url, SubmitOptions { release, ..SubmitOptions::default() }).await.unwrap();
        let (token, document) = got.recv().await.unwrap();
        let last = document["actions"].as_array().unwrap().last().unwrap();
        let action = last["id"].as_str().unwrap().to_owned();
        Self { sim, family, token, action, http: reqwest::Client::new() }
    }

    async fn call(&self, procedure: &str, more: Value) -> (u16, Value) {
        let mut input =
            json!({ "eventId": self.family.record, "actionId": self.action, "transactionId": "t" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let url = format!("{}/events/event.actions.register.{procedure}", self.sim.gateway_url());
        let request = self.http.post(url).bearer_auth(&self.token).json(&json!({ "json": input }));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn accept(&self, number: &str, fields: Value) -> u16 {
        self.call("accept", json!({ "registrationNumber": number, "declaration": fields })).await.0
    }

    /// Accepts again and again while a user is assigned.
    async fn accepted_at_last(&self) {
        for _ in 0..200 {
            match self.accept(NUMBER, json!({})).await {
                409 => tokio::time::sleep(Duration::from_millis(100)).await,
                status => return assert_eq!(status, 200),
            }
        }
        panic!("the user never leaves");
    }

    /// The same with another token.
    fn with(&self, token: String) -> Self {
        let (sim, family) = (self.sim.clone(), self.family.clone());
        Self { sim, family, token, action: self.action.clone(), http: self.http.clone() }
    }

    /// The same with the token of a new system client that has these scopes.
    async fn client(&self, scopes: &[&str]) -> Self {
        let client = self.sim.add_client("bridge", scopes);
        let form = [("client_id", client.client_id.as_str()), ("client_secret", &client.client_secret)];
        let (status, body) = token(&self.sim, &form, &[]).await;
        assert_eq!(status, 200, "{body}");
        self.with(body["access_token"].as_str().unwrap().to_owned())
    }

    async fn query(&self, procedure: &str, input: Value) -> (u16, Value) {
        let url = format!("{}/events/{procedure}", self.sim.gateway_url());
        let input = json!({ "json": input }).to_string();
        let request = self.http.get(url).query(&[("input", input)]).bearer_auth(&self.token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    fn status(&self) -> Status {
        self.sim.record(&self.family.record).unwrap().status()
    }
}

#[tokio::test]
async fn a_failed_trigger_strands_the_record_until_its_action_is_answered() {
    for answer in [(503, ""), (401, "")] {
        let fixture = Fixture::answered(answer).await;
        assert_eq!((fixture.status(), fixture.sim.events_tally().stranded), (Status::WaitingValidation, 1));
        let (url, _) = front(LATER).await;
        let again = fixture.sim.submit_event(&fixture.family, &url, SubmitOptions::default()).await.unwrap();
        assert_eq!(again.result, crate::sandbox::opencrvs::CallResult::Status(409), "{answer:?}");
        assert_eq!(fixture.accept("N1", json!({})).await, 200);
        assert_eq!((fixture.status(), fixture.sim.events_tally().stranded), (Status::Registered, 0));
    }
}

#[tokio::test]
async fn a_400_sets_the_record_free_and_a_200_is_read_strictly() {
    let refused = Fixture::answered((400, "")).await;
    assert_eq!(refused.status(), Status::Rejected);
    let (url, _got) = front(LATER).await;
    let again = SubmitOptions { corrected: Some("Corrected".into()), ..SubmitOptions::default() };
    refused.sim.submit_event(&refused.family, &url, again).await.unwrap();
    assert_eq!(refused.status(), Status::WaitingValidation);
    let good = Fixture::answered((200, r#"{"registrationNumber":"N1"}"#)).await;
    assert_eq!(good.status(), Status::Registered);
    let odd = (200, r#"{"registrationNumber":"N1","success":true}"#);
    assert_eq!(Fixture::answered(odd).await.sim.events_tally().stranded, 1);
}

#[tokio::test]
async fn a_clock_that_is_ahead_stamps_the_action_and_nothing_else() {
    let (sim, (url, mut got)) = (sim(Release::V2_0).await, front(LATER).await);
    let (family, ahead) = (birth(), Timestamp::now() + SignedDuration::from_hours(24));
    let options = SubmitOptions { at: Some(ahead), ..SubmitOptions::default() };
    let stamp = sim.submit_event(&family, &url, options).await.unwrap().stamp;
    assert_eq!(stamp.get(..16), ahead.to_string().get(..16));
    let document = got.recv().await.unwrap().1;
    assert_eq!(document["actions"].as_array().unwrap().last().unwrap()["createdAt"], stamp);
    let (record, now) = (sim.record(&family.record).unwrap(), Timestamp::now());
    let file = record.event.unwrap();
    assert!(record.attempts[0].at <= now && file.requests[0].requested <= now);
    assert!(file.indexed(now).is_some(), "the index has it at once");
}

#[tokio::test]
async fn an_action_is_answered_as_the_table_says() {
    let fixture = Fixture::answered(LATER).await;
    assert_eq!(fixture.call("accept", json!({})).await.0, 400);
    let other = json!({ "actionId": "other", "registrationNumber": "N1" });
    assert_eq!(fixture.call("accept", other).await.0, 403);
    assert_eq!(fixture.accept("N1", json!({ "child.nid": "123" })).await, 200);
    assert_eq!(fixture.accept("N2", json!({})).await, 200);
    let (status, error) = fixture.call("reject", json!({})).await;
    assert_eq!((status, error["error"]["json"]["message"].as_str()), (500, Some("Internal server error")));
    let record = fixture.sim.record(&fixture.family.record).unwrap();
    assert_eq!((record.numbers.as_slice(), record.confirms.len()), (["N1".to_owned()].as_slice(), 1));
    assert_eq!(record.identifiers["NATIONAL_ID"], "123");
    let rejected = Fixture::answered(LATER).await;
    assert_eq!(rejected.call("reject", json!({})).await.0, 200);
    assert_eq!(rejected.call("reject", json!({})).await.0, 200);
    assert_eq!(rejected.accept("N1", json!({})).await, 400);
    assert_eq!(rejected.sim.events_tally().rejected, 1);
}

#[tokio::test]
async fn a_field_that_no_form_defines_breaks_the_record_for_good() {
    let fixture = Fixture::answered(LATER).await;
    fixture.sim.define_fields(&[]);
    assert_eq!(fixture.accept("N1", json!({ "child.nid": "123" })).await, 500);
    assert_eq!(fixture.accept("N1", json!({ "child.nid": "123" })).await, 200);
    assert_eq!((fixture.status(), fixture.sim.events_tally().poisoned), (Status::Registered, 1));
}

#[tokio::test]
async fn a_transaction_of_another_record_swallows_the_answer() {
    let fixture = Fixture::answered(LATER).await;
    let (url, mut got) = front(LATER).await;
    let family = Population::new(4, Mix { deaths: 0.0, marriages: 0.0, ..Mix::default() }).declaration(0);
    fixture.sim.submit_event(&family, &url, SubmitOptions::default()).await.unwrap();
    let (token, document) = got.recv().await.unwrap();
    let action = document["actions"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(fixture.accept("N1", json!({})).await, 200);
    let (sim, http) = (fixture.sim.clone(), fixture.http.clone());
    let second = Fixture { sim, family, token, action, http };
    assert_eq!(second.accept("N2", json!({})).await, 200);
    assert_eq!((second.status(), second.sim.events_tally().dropped), (Status::WaitingValidation, 1));
}

#[tokio::test]
async fn an_answer_that_overtakes_our_answer_leaves_core_with_both() {
    for (answer, stale, crossed) in [("202 Accepted", 1, 0), ("400 No", 0, 1)] {
        let sim = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let family = birth();
        let calling = tokio::spawn({
            let (sim, family) = (sim.clone(), family.clone());
            async move { sim.submit_event(&family, &url, SubmitOptions::default()).await.unwrap() }
        });
        let (mut caller, _) =
            tokio::time::timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
        let action = sim.inspect(|records| {
            let rows = &records.record(&family.record).unwrap().event.as_ref().unwrap().actions;
            rows.last().unwrap()["id"].as_str().unwrap().to_owned()
        });
        let token = sim.mint(&sim.action_claims(&family.record, &action)).unwrap();
        let fixture = Fixture { sim: sim.clone(), family, token, action, http: reqwest::Client::new() };
        assert_eq!(fixture.accept("N1", json!({})).await, 200);
        caller.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
        calling.await.unwrap();
        let tally = sim.events_tally();
        assert_eq!(
            (fixture.status(), tally.stale_index, tally.crossed),
            (Status::Registered, stale, crossed)
        );
    }
}
