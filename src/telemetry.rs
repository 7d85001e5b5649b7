//! Logs, traces and metrics.
//!
//! Invariant: none of them holds personal data or a token, whatever `LOG_FILTER` says, and none an
//! invisible character of a foreign text. One trace follows a registration from the front to the
//! confirmer; message headers carry it.

mod cap;
mod export;
mod lines;
mod metrics;
mod propagation;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::TelemetryConfig;

pub use metrics::Metrics;
pub use propagation::{extract, inject, remember, resume, set_parent};

/// Why logs and traces cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used for traces")]
    Exporter(#[source] ExporterBuildError),
    #[error("the exporter of traces could not be made")]
    Thread,
    #[error("logs are already set up in this process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Holds the exporter of traces, which must be flushed before the process ends.
#[derive(Debug)]
pub struct Guard(Option<SdkTracerProvider>);

impl Guard {
    /// Sends the remaining spans. Call it last; it ends within the exporter's own timeout.
    pub async fn shutdown(self) {
        let Some(provider) = self.0 else { return };
        // The exporter blocks, which must not happen on a thread of the runtime.
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be sent: check OTEL_EXPORTER_OTLP_ENDPOINT");
        }
    }
}

/// Sets up the logs and traces of a process; `role` is the name of its command.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(config: &TelemetryConfig, role: &'static str) -> Result<Guard, TelemetryError> {
    let (subscriber, guard) = subscriber(config, role)?;
    subscriber.try_init().map_err(TelemetryError::Twice)?;
    Ok(guard)
}

fn subscriber(
    config: &TelemetryConfig,
    role: &'static str,
) -> Result<(impl Subscriber + Send + Sync + use<>, Guard), TelemetryError> {
    let provider = match &config.otlp_endpoint {
        Some(endpoint) => Some(export::provider(endpoint, &config.service_name, role)?),
        None => None,
    };
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("nidbridge")).with_location(false)
    });
    // The configuration has checked the filter.
    let filter = EnvFilter::new(&config.log_filter);
    // Log lines go to stderr: stdout belongs to what a command prints.
    let lines = lines::layer(config.log_format, std::io::stderr);
    let subscriber = Registry::default().with(filter).with(cap::of_libraries()).with(lines).with(traces);
    Ok((subscriber, Guard(provider)))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use opentelemetry::trace::TraceContextExt as _;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    use super::*;
    use crate::config::LogFormat;

    fn config(endpoint: &str) -> TelemetryConfig {
        TelemetryConfig {
            log_format: LogFormat::Json,
            log_filter: "info".to_owned(),
            otlp_endpoint: Some(endpoint.parse().unwrap()),
            service_name: "bridge-under-test".to_owned(),
        }
    }

    /// A collector that takes one export and hands over its request line and body.
    fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, exports) = mpsc::channel();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            sender.send((first, body)).unwrap();
        });
        (endpoint, exports)
    }

    fn holds(body: &[u8], part: &[u8]) -> bool {
        body.windows(part.len()).any(|window| window == part)
    }

    #[tokio::test]
    async fn a_span_reaches_the_collector_with_the_trace_of_its_message() {
        let (endpoint, exports) = collector();
        let (subscriber, guard) = subscriber(&config(&endpoint), "front").unwrap();
        let (headers, sent) = tracing::subscriber::with_default(subscriber, || {
            let received = tracing::info_span!("receive registration");
            let headers = inject(&received);
            let worker = tracing::info_span!("record registration");
            set_parent(&worker, &headers);
            assert_eq!(worker.context().span().span_context().trace_id(), extract_id(&headers));
            (headers, received.context().span().span_context().trace_id())
        });
        assert_eq!(extract_id(&headers), sent);
        guard.shutdown().await;
        let (first, body) = exports.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(first.starts_with("POST /v1/traces "), "{first}");
        for part in ["receive registration", "record registration", "bridge-under-test", "nidbridge.role"] {
            assert!(holds(&body, part.as_bytes()), "{part}");
        }
        assert!(holds(&body, &sent.to_bytes()));
    }

    fn extract_id(headers: &std::collections::BTreeMap<String, String>) -> opentelemetry::trace::TraceId {
        extract(headers).span().span_context().trace_id()
    }

    #[test]
    fn without_traces_nothing_is_added_to_a_message() {
        assert!(inject(&tracing::Span::none()).is_empty());
        assert!(!extract(&std::collections::BTreeMap::new()).span().span_context().is_valid());
    }
}
