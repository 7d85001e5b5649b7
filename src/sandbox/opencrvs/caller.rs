//! Calls the bridge with the headers of node-fetch: `POST /event-registration` as the workflow
//! service sends it, a trigger as the events service sends it, and core's call at provisioning.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use url::Url;

use super::SimulateError;
use super::record::CallResult;

const JSON: &str = "application/json";
const NODE_FETCH: &str = "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)";

/// Calls over a new connection each, and waits for the answer without a timeout.
pub(super) struct Caller {
    http: Client,
    correlation: AtomicU64,
}

impl Caller {
    pub(super) fn new() -> Result<Self, SimulateError> {
        let client = Client::builder().no_proxy().redirect(Policy::none()).pool_max_idle_per_host(0);
        let http = client.build().map_err(SimulateError::Client)?;
        Ok(Self { http, correlation: AtomicU64::new(1) })
    }

    /// Posts a document. The workflow service copies the headers of its own caller into the
    /// request.
    pub(super) async fn post(&self, front: &Url, token: &str, bundle: &Value) -> CallResult {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let request = self.request(Method::POST, front, "event-registration", token).map(|request| {
            let request = request.header(HOST, "workflow:5050").header(CONTENT_TYPE, JSON);
            let request = request.header("x-correlation-id", correlation).header("x-real-ip", "10.0.0.7");
            request.header("x-real-user-agent", "Mozilla/5.0").header(CONTENT_TYPE, JSON)
        });
        // Core never reads the body.
        result(send(request, Some(bundle)).await).0
    }

    /// Calls a trigger as the events service does. Core reads the body only of a 200.
    pub(super) async fn trigger(
        &self,
        front: &Url,
        kind: &str,
        token: &str,
        event: &Value,
    ) -> (CallResult, Vec<u8>) {
        let path = format!("trigger/events/{kind}/actions/REGISTER");
        let request = self.request(Method::POST, front, &path, token);
        result(send(request.map(|request| request.header(CONTENT_TYPE, JSON)), Some(event)).await)
    }

    /// Calls a path with a token, as core does at provisioning. Returns the status of the answer.
    pub(super) async fn get(&self, base: &Url, path: &str, token: &str) -> Result<u16, String> {
        send(self.request(Method::GET, base, path, token), None).await.map(|(status, _)| status)
    }

    /// A request with node-fetch's own headers. As in core, a base URL without a slash at its end
    /// loses its last path segment.
    fn request(
        &self,
        method: Method,
        base: &Url,
        path: &str,
        token: &str,
    ) -> Result<RequestBuilder, url::ParseError> {
        let request = self.http.request(method, base.join(path)?).bearer_auth(token);
        let request = request.header(ACCEPT, "*/*").header(ACCEPT_ENCODING, "gzip,deflate");
        Ok(request.header(USER_AGENT, NODE_FETCH).header(CONNECTION, "close"))
    }
}

async fn send(
    request: Result<RequestBuilder, url::ParseError>,
    body: Option<&Value>,
) -> Result<(u16, Vec<u8>), String> {
    let request = request.map_err(|error| error.to_string())?;
    let request = body.into_iter().fold(request, |request, body| request.body(body.to_string()));
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    // A status that arrived is an answer, even if the body is truncated.
    Ok((answer.status().as_u16(), answer.bytes().await.map(Vec::from).unwrap_or_default()))
}

fn result(answer: Result<(u16, Vec<u8>), String>) -> (CallResult, Vec<u8>) {
    match answer {
        Ok((status, body)) => (CallResult::Status(status), body),
        Err(why) => (CallResult::NoAnswer(why), Vec::new()),
    }
}
