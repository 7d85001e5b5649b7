//! Trace context in message headers: W3C `traceparent`, as over HTTP.
//!
//! Invariant: only that header is read and written; a message without it starts a trace of its own.
//! `tracestate` is not read, because a stranger can write any text into it, which would reach every
//! later message and the collector.

use std::collections::BTreeMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const PARENT: &str = "traceparent";

struct Outgoing<'a>(&'a mut BTreeMap<String, String>);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if key == PARENT {
            self.0.insert(key.to_owned(), value);
        }
    }
}

struct Incoming<'a>(&'a BTreeMap<String, String>);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).filter(|_| key == PARENT).map(String::as_str)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_continued_and_the_text_beside_it_is_not_read() {
        let of_a_stranger = [
            (PARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("tracestate", "name=Anna"),
        ];
        let headers = of_a_stranger.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let context = extract(&headers);
        let span = context.span();
        assert!(span.span_context().is_valid());
        assert_eq!(span.span_context().trace_state().header(), "");
        let mut onward = BTreeMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut Outgoing(&mut onward));
        assert_eq!(
            onward.into_iter().collect::<Vec<_>>(),
            [(PARENT.to_owned(), of_a_stranger[0].1.to_owned())]
        );
    }
}
