//! A country config that reports what it received.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{LARGE, pieces};

/// Stops the server when dropped.
pub struct Country {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Country {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/echo", any(async |request: Request| request.into_body()))
            .route("/large", get(large))
            .route("/status/{status}", get(status))
            .fallback(seen);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        drop(tokio::spawn(
            async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await },
        ));
        Self { address, _stop: stop.drop_guard() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

async fn large(Query(how): Query<BTreeMap<String, String>>) -> Response {
    let mut answer = Response::new(Body::from_stream(pieces()));
    if how.contains_key("known") {
        answer.headers_mut().insert("content-length", LARGE.into());
    }
    answer
}

async fn status(Path(status): Path<u16>) -> Response {
    let mut headers = HeaderMap::new();
    headers.append("set-cookie", "a=1".parse().unwrap());
    headers.append("set-cookie", "b=2".parse().unwrap());
    headers.append("location", "http://elsewhere.invalid/x?y#z".parse().unwrap());
    headers.append("content-encoding", "gzip".parse().unwrap());
    (StatusCode::from_u16(status).unwrap(), headers, "not gzip at all").into_response()
}

async fn seen(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1024).await.unwrap();
    let headers: BTreeMap<&str, &str> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let (method, target) = (parts.method.as_str(), parts.uri.to_string());
    let body = String::from_utf8_lossy(&body);
    axum::Json(json!({ "method": method, "target": target, "headers": headers, "body": body }))
        .into_response()
}
