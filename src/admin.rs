//! The admin listener of every process: `/metrics`, `/livez` and `/readyz`.
//!
//! Invariant: `/livez` depends on the process alone, so that no process is killed because the
//! broker is away. No response contains personal data or a secret.

mod readiness;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listener::{self, ListenerSettings};
use crate::telemetry::Metrics;

pub use readiness::{Condition, Readiness, Warning};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Far more than probes and scrapers open.
const LIMITS: ListenerSettings = ListenerSettings {
    name: "admin",
    connections: 64,
    head_timeout: Duration::from_secs(15),
    write_timeout: Duration::from_secs(15),
};

/// Serves until `stop` is cancelled. Cancel it after the process has drained, so that `/readyz`
/// shows the draining.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let router = router(Arc::clone(&metrics), readiness);
    listener::serve(listener, router, LIMITS, metrics, stop).await;
}

fn router(metrics: Arc<Metrics>, readiness: Readiness) -> Router {
    let counted = Router::new().route("/metrics", get(show_metrics)).with_state(metrics);
    let ready = Router::new().route("/readyz", get(show_readiness)).with_state(readiness);
    Router::new()
        .route("/livez", get(|| async { Json(json!({ "alive": true })) }))
        // The probes of OpenCRVS's own charts ask for this path.
        .route("/ping", get(|| async { Json(json!({ "success": true })) }))
        .merge(counted)
        .merge(ready)
}

async fn show_metrics(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], metrics.encode())
}

async fn show_readiness(State(readiness): State<Readiness>) -> impl IntoResponse {
    let missing = readiness.missing();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": missing.is_empty(),
        "missing": missing,
        "why": readiness.reasons(),
        "left_alone": readiness.open_breakers(),
        "warnings": readiness.warnings(),
    });
    (status, Json(body))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::watch;

    use super::*;
    use crate::broker::LinkState;

    async fn ask(readiness: &Readiness, path: &str) -> (StatusCode, String) {
        let metrics = Arc::new(Metrics::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, metrics, readiness.clone(), stop.clone()));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        stop.cancel();
        served.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    #[tokio::test]
    async fn a_process_lives_whatever_it_waits_for() {
        let readiness = Readiness::new();
        let broker = readiness.condition("broker");
        assert_eq!(ask(&readiness, "/livez").await.0, StatusCode::OK);
        let not_yet = (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"left_alone":[],"missing":["broker"],"ready":false,"warnings":{},"why":{}}"#.to_owned(),
        );
        assert_eq!(ask(&readiness, "/readyz").await, not_yet);
        broker.set(true);
        assert_eq!(ask(&readiness, "/readyz").await.0, StatusCode::OK);
        readiness.drain();
        let (status, body) = ask(&readiness, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("draining"), "{body}");
        assert_eq!(ask(&readiness, "/livez").await.0, StatusCode::OK);
        assert_eq!(ask(&readiness, "/ping").await.1, r#"{"success":true}"#);
        let metrics = ask(&readiness, "/metrics").await.1;
        assert!(metrics.contains("nidbridge_build_info") && metrics.ends_with("# EOF\n"), "{metrics}");
    }

    #[tokio::test]
    async fn a_process_with_a_warning_stays_ready_and_says_so() {
        let readiness = Readiness::new();
        let warning = readiness.warning("clock");
        warning.raise("an hour ahead");
        let (status, body) = ask(&readiness, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains(r#""ready":true,"warnings":{"clock":"an hour ahead"}"#), "{body}");
        warning.clear();
        assert!(ask(&readiness, "/readyz").await.1.contains(r#""warnings":{}"#));
    }

    #[tokio::test]
    async fn a_process_is_ready_while_its_link_is_there() {
        let readiness = Readiness::new();
        let (link, state) = watch::channel(LinkState::Away("connecting".to_owned()));
        readiness.add_link("broker", state);
        let not_ready = |why: &str| {
            let body = format!(
                r#"{{"left_alone":[],"missing":["broker"],"ready":false,"warnings":{{}},"why":{{"broker":"{why}"}}}}"#
            );
            (StatusCode::SERVICE_UNAVAILABLE, body)
        };
        assert_eq!(ask(&readiness, "/readyz").await, not_ready("connecting"));
        link.send_replace(LinkState::Connected);
        assert_eq!(ask(&readiness, "/readyz").await.0, StatusCode::OK);
        let states = [LinkState::Blocked as fn(String) -> LinkState, LinkState::Away, LinkState::Refused];
        for (state, why) in states.into_iter().zip(["disk", "lost", "wrong password"]) {
            link.send_replace(state(why.to_owned()));
            assert_eq!(ask(&readiness, "/readyz").await, not_ready(why));
        }
        link.send_replace(LinkState::Connected);
        assert_eq!(ask(&readiness, "/readyz").await.0, StatusCode::OK);
    }
}
