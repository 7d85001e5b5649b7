//! Refuses requests that the front and a server behind it could read differently.
//!
//! Invariant: what is refused here is neither accepted nor proxied.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::server::Shared;
use super::{Refusal, body, path};

pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(refusal) = refusal(&request) else { return next.run(request).await };
    shared.front.metrics.front_request("unknown", refusal.label());
    body::discard(request.into_body(), shared.front.limits.body_timeout);
    let ambiguous = matches!(refusal, Refusal::TwoHosts | Refusal::OtherCoding);
    let mut response = refusal.into_response();
    if ambiguous {
        // What follows on the connection may be meant as a part of this request.
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}

fn refusal(request: &Request) -> Option<Refusal> {
    // RFC 9112 §3.2
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        return Some(Refusal::TwoHosts);
    }
    if !is_plainly_framed(request.headers()) {
        return Some(Refusal::OtherCoding);
    }
    let path = request.uri().path();
    (path::means_ours(path) && !path::is_plain(path)).then_some(Refusal::OtherSpelling)
}

/// Whether every server ends the body at the same place. Of other codings before `chunked`, and of
/// `chunked` twice, a server behind the front could make something else.
fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    let plain = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    plain && codings.next().is_none()
}
