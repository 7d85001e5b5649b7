//! Refuses requests that the front and a server behind it could read differently.
//!
//! Invariant: what is refused here is neither accepted nor proxied.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::server::Shared;
use super::{Refusal, body, path};

pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(refusal) = refusal(&request) else { return next.run(request).await };
    shared.front.metrics.front_request("unknown", refusal.label());
    body::discard(request.into_body(), shared.front.limits.body_timeout);
    refusal.into_response()
}

fn refusal(request: &Request) -> Option<Refusal> {
    // RFC 9112 §3.2
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        return Some(Refusal::TwoHosts);
    }
    let path = request.uri().path();
    (path::means_ours(path) && !path::is_plain(path)).then_some(Refusal::OtherSpelling)
}
