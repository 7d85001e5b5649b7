//! The export of spans to a collector.
//!
//! Invariant: no exported text has an invisible character but the space.

use std::thread;
use std::time::Duration;

use opentelemetry::{KeyValue, Value};
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use url::Url;

use super::TelemetryError;
use crate::domain::escaped;

pub(super) fn provider(
    endpoint: &Url,
    service: &str,
    role: &'static str,
) -> Result<SdkTracerProvider, TelemetryError> {
    let endpoint = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
    // The HTTP client of the exporter creates a runtime of its own, which must not happen on a
    // thread of our runtime.
    let exporter = thread::spawn(move || {
        opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .build()
    });
    let exporter = exporter.join().map_err(|_| TelemetryError::Thread)?.map_err(TelemetryError::Exporter)?;
    let resource = Resource::builder()
        .with_service_name(service.to_owned())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("nidbridge.role", role),
        ])
        .build();
    let exporter = Escaping(exporter);
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Escapes the texts of the spans that it hands on.
#[derive(Debug)]
struct Escaping<E>(E);

impl<E: SpanExporter> SpanExporter for Escaping<E> {
    fn export(&self, mut batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        batch.iter_mut().for_each(escape);
        self.0.export(batch)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn escape(span: &mut SpanData) {
    span.name = escaped(&span.name).into_owned().into();
    let of_events = span.events.events.iter_mut().flat_map(|event| {
        event.name = escaped(&event.name).into_owned().into();
        &mut event.attributes
    });
    for attribute in span.attributes.iter_mut().chain(of_events) {
        if let Value::String(text) = &attribute.value {
            attribute.value = escaped(text.as_str()).into_owned().into();
        }
    }
}
