//! W3C trace context in message headers.
//!
//! Invariant: a header that is not a trace context costs the parent of a span and nothing else.

use std::collections::BTreeMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

struct Headers<'a>(&'a BTreeMap<String, String>);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut BTreeMap<String, String>);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }
}

/// The trace that a message belongs to.
pub(super) fn extract(headers: &BTreeMap<String, String>) -> Context {
    TraceContextPropagator::new().extract(&Headers(headers))
}

/// Puts the trace of a span over what the headers had; without a trace they stay as they were.
pub(super) fn inject(span: &Span, headers: &mut BTreeMap<String, String>) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
}
