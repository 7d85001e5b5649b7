//! Trace context in message headers: W3C `traceparent` and `tracestate`, as over HTTP.
//!
//! Invariant: only those headers are written; a message without them starts a trace of its own.

use std::collections::BTreeMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

struct Outgoing<'a>(&'a mut BTreeMap<String, String>);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty tracestate carries no information.
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value);
        }
    }
}

struct Incoming<'a>(&'a BTreeMap<String, String>);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// The headers with which a receiver continues the trace of a span. There are none if traces are
/// not exported.
pub fn inject(span: &tracing::Span) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut Outgoing(&mut headers));
    headers
}

const PARENT: &str = "traceparent";

/// The `traceparent` of a span, for [`resume`]; `None` if traces are not exported.
pub fn remember(span: &tracing::Span) -> Option<String> {
    inject(span).remove(PARENT)
}

/// Makes a span part of a remembered trace, with a link to the current span. The span must not have
/// been entered yet.
pub fn resume(span: &tracing::Span, remembered: &str) {
    let current = tracing::Span::current().context();
    set_parent(span, &BTreeMap::from([(PARENT.to_owned(), remembered.to_owned())]));
    span.add_link(current.span().span_context().clone());
}

/// Makes a span part of the trace that a message belongs to. The span must not have been entered
/// yet.
pub fn set_parent(span: &tracing::Span, headers: &BTreeMap<String, String>) {
    // This fails only if traces are not exported.
    drop(span.set_parent(extract(headers)));
}

/// The trace that a message belongs to.
pub fn extract(headers: &BTreeMap<String, String>) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Incoming(headers))
}
