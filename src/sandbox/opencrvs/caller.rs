//! Calls the bridge with the headers of node-fetch: `POST /event-registration` as the workflow
//! service sends it, and a trigger as the events service sends it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;

use super::record::CallResult;

/// Posts a document over a new connection and waits for the answer without a timeout.
pub(super) async fn post(front: &Url, token: &str, correlation: u64, bundle: &Value) -> CallResult {
    // As in core, a base URL without a slash at its end loses its last path segment.
    let call = async {
        let target = front.join("event-registration").map_err(|error| error.to_string())?;
        let mut request = request(&target, token, bundle)?;
        of_workflow(request.headers_mut(), correlation);
        exchange(&target, request).await
    };
    match call.await {
        // Core never reads the body.
        Ok((status, _)) => CallResult::Status(status),
        Err(why) => CallResult::NoAnswer(why),
    }
}

/// Calls a trigger as the events service does. Core reads the body only of a 200.
pub(super) async fn trigger(front: &Url, kind: &str, token: &str, event: &Value) -> (CallResult, Vec<u8>) {
    let call = async {
        let path = format!("trigger/events/{kind}/actions/REGISTER");
        let target = front.join(&path).map_err(|error| error.to_string())?;
        let mut request = request(&target, token, event)?;
        request.headers_mut().insert(header::HOST, host_header(&target)?);
        exchange(&target, request).await
    };
    match call.await {
        Ok((status, body)) => (CallResult::Status(status), body),
        Err(why) => (CallResult::NoAnswer(why), Vec::new()),
    }
}

/// Calls a path with a token, as core does at provisioning. Returns the status of the answer.
pub(super) async fn get(base: &Url, path: &str, token: &str) -> Result<u16, String> {
    let target = base.join(path).map_err(|error| error.to_string())?;
    let mut request = request(&target, token, &Value::Null)?;
    *request.method_mut() = Method::GET;
    *request.body_mut() = Full::default();
    let headers = request.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::HOST, host_header(&target)?);
    exchange(&target, request).await.map(|(status, _)| status)
}

fn host_header(target: &Url) -> Result<HeaderValue, String> {
    let host = format!("{}:{}", host(target), target.port_or_known_default().unwrap_or(80));
    HeaderValue::from_str(&host).map_err(|_| "not a host".to_owned())
}

fn host(target: &Url) -> String {
    target.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

async fn exchange(target: &Url, request: Request<Full<Bytes>>) -> Result<(u16, Vec<u8>), String> {
    let (host, port) = (host(target), target.port_or_known_default().unwrap_or(80));
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        // A status that arrived is an answer, even if the body is truncated.
        let body = response.into_body().collect().await;
        Ok((status, body.map(|body| body.to_bytes().to_vec()).unwrap_or_default()))
    };
    let driven = async {
        // The sender reports a broken connection as well, with the reason.
        drop(connection.await);
        std::future::pending::<Result<(u16, Vec<u8>), String>>().await
    };
    tokio::select! {
        answer = answered => answer,
        answer = driven => answer,
    }
}

/// Builds a request with node-fetch's own headers, which both generations send.
fn request(target: &Url, token: &str, body: &Value) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.path().parse().map_err(|_| "not a path".to_owned())?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "not a token".to_owned())?;
    let headers = request.headers_mut();
    headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip,deflate"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)"),
    );
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// The workflow service copies the headers of its own caller into the request.
fn of_workflow(headers: &mut HeaderMap, correlation: u64) {
    headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::HOST, HeaderValue::from_static("workflow:5050"));
    headers.insert("x-correlation-id", HeaderValue::from(correlation));
    headers.insert("x-real-ip", HeaderValue::from_static("10.0.0.7"));
    headers.insert("x-real-user-agent", HeaderValue::from_static("Mozilla/5.0"));
}
