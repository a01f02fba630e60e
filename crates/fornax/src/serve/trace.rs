//! Joins requests to the distributed trace: the surfaces name what they need, telemetry has it.

use axum::http::HeaderMap;
use surfaces::TraceContext;
use telemetry::{TraceParent, adopt_parent, trace_parent_of};

/// W3C trace context over OpenTelemetry.
pub struct Traces;

impl TraceContext for Traces {
    fn adopt(&self, span: &tracing::Span, headers: &HeaderMap) -> Option<String> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(parent) = text("traceparent").and_then(TraceParent::parse) {
            adopt_parent(span, &parent, text("tracestate"));
        }
        trace_parent_of(span).map(|parent| parent.as_str().to_owned())
    }
}
