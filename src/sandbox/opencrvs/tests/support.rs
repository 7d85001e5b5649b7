//! Fronts, records and calls for the tests.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::Url;

use crate::sandbox::opencrvs::{
    Claims, OpencrvsSettings, OpencrvsSim, Record, RunOptions, SubmitOptions, SubmitOutcome,
};
use crate::sandbox::population::{Declaration, Kind, Mix, Population};

/// How long a test waits for something that must happen.
pub(super) const SOON: Duration = Duration::from_secs(20);
pub(super) const CONFIRM: &str = "mutation ($id: ID!, $details: ConfirmRegistrationInput!) { confirmRegistration(id: $id, details: $details) }";
pub(super) const REJECT: &str = "mutation ($id: ID!, $details: RejectRegistrationInput!) { rejectRegistration(id: $id, details: $details) }";
pub(super) const FETCH: &str = "query ($id: ID!) { fetchRegistration(id: $id) { id registration { registrationNumber status { type timestamp } } } }";

pub(super) type Received = mpsc::UnboundedReceiver<(HeaderMap, Value)>;

/// A listener on a free port, and its URL.
pub(super) async fn listener() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    (listener, url)
}

/// Serves `POST /event-registration` with this handler.
pub(super) async fn serve<T: 'static>(handler: impl Handler<T, ()>) -> Url {
    serve_at("/event-registration", handler).await
}

/// Serves a path with this handler.
pub(in crate::sandbox::opencrvs) async fn serve_at<T: 'static>(
    path: &str,
    handler: impl Handler<T, ()>,
) -> Url {
    let (listener, url) = listener().await;
    let router = Router::new().route(path, any(handler));
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    url
}

/// A front that answers every request with this status. The channel yields what it received.
pub(super) async fn front(status: u16) -> (Url, Received) {
    let (sender, received) = mpsc::unbounded_channel();
    let answer = move |headers: HeaderMap, body: axum::body::Bytes| async move {
        sender.send((headers, serde_json::from_slice(&body).unwrap())).unwrap();
        StatusCode::from_u16(status).unwrap()
    };
    (serve(answer).await, received)
}

pub(super) async fn sim() -> OpencrvsSim {
    OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap()
}

pub(super) fn birth() -> Declaration {
    Population::new(1, Mix::default()).find(|one| one.kind == Kind::Birth).unwrap()
}

/// A record that waits for an answer, and a front to which it can be submitted again.
pub(super) struct Fixture {
    pub(super) sim: OpencrvsSim,
    pub(super) front: Url,
    pub(super) received: Received,
    pub(super) declaration: Declaration,
    /// The token that the submission carried.
    pub(super) token: String,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let (sim, (front, received), declaration) = (sim().await, front(202).await, birth());
        // The token is older than any that auth may issue for the record within the same second.
        let claims = sim.record_claims(&declaration.record);
        let token = sim.mint(&Claims { iat: claims.iat - 60, ..claims }).unwrap();
        let with = SubmitOptions { token: Some(token.clone()), ..SubmitOptions::default() };
        sim.submit(&declaration, &front, with).await.unwrap();
        Self { sim, front, received, declaration, token }
    }

    pub(super) async fn resubmit(&self, options: SubmitOptions) -> SubmitOutcome {
        self.sim.submit(&self.declaration, &self.front, options).await.unwrap()
    }

    pub(super) fn record(&self) -> Record {
        self.sim.record(&self.declaration.record).unwrap()
    }

    pub(super) fn confirms(&self) -> usize {
        self.record().confirms.len()
    }

    /// Confirms, and disconnects as soon as the gateway has received the call.
    pub(super) async fn confirm_and_disconnect(&self) {
        let calls = || self.sim.faults().calls().get("confirm").copied().unwrap_or_default();
        let before = calls();
        tokio::select! {
            _ = self.confirm() => panic!("the gateway was faster"),
            () = until("the call", || calls() > before) => {}
        }
    }

    /// Confirms; returns whether a complete answer came.
    pub(super) async fn confirm(&self) -> bool {
        let call = graphql(&self.sim, &self.token, CONFIRM, &confirmation(&self.declaration.record));
        match call.timeout(SOON).send().await {
            Ok(answer) => answer.bytes().await.is_ok(),
            Err(_) => false,
        }
    }
}

/// Waits for a condition that must soon hold.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !holds() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

/// A load without pauses, whose registrars submit every rejected record again.
pub(super) fn hurried(front: Url) -> RunOptions {
    let resubmit_after = Duration::from_millis(1);
    RunOptions { rate: 0.0, resubmit: 1.0, resubmit_after, ..RunOptions::to(front) }
}

pub(super) fn corrected() -> SubmitOptions {
    SubmitOptions { corrected: Some("Corrected".to_owned()), ..SubmitOptions::default() }
}

pub(super) fn confirmation(id: &str) -> Value {
    json!({"id": id, "details": {
        "registrationNumber": "2026B123456", "identifiers": [{"type": "NATIONAL_ID", "value": "5123456789"}]
    }})
}

pub(super) fn graphql(
    sim: &OpencrvsSim,
    token: &str,
    query: &str,
    variables: &Value,
) -> reqwest::RequestBuilder {
    let call = reqwest::Client::new().post(format!("{}/graphql", sim.gateway_url())).bearer_auth(token);
    call.json(&json!({"query": query, "variables": variables}))
}

pub(super) async fn ask(sim: &OpencrvsSim, token: &str, query: &str, id: &str) -> (u16, Value) {
    let answer = graphql(sim, token, query, &confirmation(id)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Exchanges a token for a record token. `changes` replace parameters of the request.
pub(super) async fn exchange(
    sim: &OpencrvsSim,
    token: &str,
    record: &str,
    changes: &[(&str, &str)],
) -> (u16, Value) {
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

pub(super) fn message(answer: &(u16, Value)) -> &str {
    assert_eq!(answer.0, 200);
    answer.1["errors"][0]["message"].as_str().unwrap()
}
