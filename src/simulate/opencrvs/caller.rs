//! The workflow service's call of `POST /event-registration`, header by header as node-fetch makes it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;

use super::record::Wire;

/// Posts a document over a connection of its own and waits for the answer for as long as it takes.
pub(super) async fn post(front: &Url, token: &str, correlation: u64, bundle: &Value) -> Wire {
    match exchange(front, token, correlation, bundle).await {
        Ok(status) => Wire::Status(status),
        Err(why) => Wire::Broken(why),
    }
}

async fn exchange(front: &Url, token: &str, correlation: u64, bundle: &Value) -> Result<u16, String> {
    // a base without a slash at its end loses its last segment, as it does in core
    let target = front.join("event-registration").map_err(|error| error.to_string())?;
    let host = target.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = target.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = request(&target, token, correlation, bundle)?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        // core never reads the body, and a status that arrived is an answer even if its body breaks off
        drop(response.into_body().collect().await);
        Ok(status)
    };
    let driven = async {
        // the sender tells of a broken connection too, and with its reason
        drop(connection.await);
        std::future::pending::<Result<u16, String>>().await
    };
    tokio::select! {
        status = answered => status,
        status = driven => status,
    }
}

fn request(
    target: &Url,
    token: &str,
    correlation: u64,
    bundle: &Value,
) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::new(Full::new(Bytes::from(bundle.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.path().parse().map_err(|_| "not a path".to_owned())?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "not a token".to_owned())?;
    let headers = request.headers_mut();
    headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(header::HOST, HeaderValue::from_static("workflow:5050"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip,deflate"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)"),
    );
    headers.insert("x-correlation-id", HeaderValue::from(correlation));
    headers.insert("x-real-ip", HeaderValue::from_static("10.0.0.7"));
    headers.insert("x-real-user-agent", HeaderValue::from_static("Mozilla/5.0"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}
