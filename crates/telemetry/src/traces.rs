//! Traces: an OTLP exporter behind `tracing`'s spans, and W3C `traceparent` in and out.

use std::collections::HashMap;
use std::str::FromStr;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::{TelemetryError, TelemetryOptions, TraceOptions};

/// Spans that are worth a trace: ours, never those of the HTTP and gRPC libraries, which would trace the exporter itself.
const SPAN_FILTER: &str = "info,h2=off,hyper=off,hyper_util=off,tonic=off,tower=off,rustls=off,sqlx=off,opentelemetry=off";

/// The provider that sends finished spans in batches, from a thread of its own with a bounded queue.
pub(crate) fn provider(
    options: &TelemetryOptions,
    traces: &TraceOptions,
) -> Result<SdkTracerProvider, TelemetryError> {
    let refuse = |reason: String| TelemetryError::Traces {
        endpoint: traces.endpoint.clone(),
        reason,
    };
    if !traces.endpoint.starts_with("http://") {
        return Err(refuse("the endpoint must be http://host:port of a collector that speaks OTLP over gRPC; https is not supported".to_owned()));
    }
    if !(0.0..=1.0).contains(&traces.sample_ratio) {
        return Err(refuse(format!(
            "the sample ratio must lie between 0 and 1, not {}",
            traces.sample_ratio
        )));
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&traces.endpoint)
        .with_metadata(metadata(traces).map_err(refuse)?)
        .build()
        .map_err(|error| refuse(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name(options.service_name.clone())
        .with_attribute(KeyValue::new(
            "service.version",
            options.service_version.clone(),
        ))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            traces.sample_ratio,
        ))))
        .with_resource(resource)
        .build())
}

fn metadata(traces: &TraceOptions) -> Result<MetadataMap, String> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &traces.headers {
        let valid_name = http::HeaderName::from_str(name)
            .map_err(|_| format!("\"{name}\" is not a header name"))?;
        let mut valid_value = http::HeaderValue::from_str(value.expose()).map_err(|_| {
            format!("the value of header {name} has characters a header cannot carry")
        })?;
        valid_value.set_sensitive(true);
        headers.insert(valid_name, valid_value);
    }
    Ok(MetadataMap::from_headers(headers))
}

/// The layer that turns `tracing`'s spans into the provider's.
pub(crate) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("fornax"))
        .with_location(false)
        .with_threads(false)
        .with_filter(EnvFilter::new(SPAN_FILTER))
}

/// A W3C `traceparent` header, checked: `00-<32 hex>-<16 hex>-<2 hex>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// Checks `header`. Versions after 00 may carry more fields, which are ignored as the standard asks.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length: usize| {
            text.len() == length
                && text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let nonzero = |text: &str| text.bytes().any(|byte| byte != b'0');
        let valid = hex(version, 2)
            && version != "ff"
            && hex(trace, 32)
            && hex(span, 16)
            && hex(flags, 2)
            && nonzero(trace)
            && nonzero(span)
            && (version != "00" || parts.next().is_none());
        valid.then(|| TraceParent(format!("00-{trace}-{span}-{flags}")))
    }

    /// The header's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 hex digits that all spans of one trace share.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }
}

/// Makes `span` a child of the caller's span. Does nothing when traces are off. Call it before the span is entered.
pub fn adopt_parent(span: &tracing::Span, parent: &TraceParent, state: Option<&str>) {
    let mut headers = HashMap::from([("traceparent".to_owned(), parent.0.clone())]);
    if let Some(state) = state {
        headers.insert("tracestate".to_owned(), state.to_owned());
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    // Refused only when there is no trace layer or the span was entered already: then there is no trace to join.
    drop(span.set_parent(context));
}

/// The `traceparent` that a call made inside `span` should carry; `None` when traces are off.
pub fn trace_parent_of(span: &tracing::Span) -> Option<TraceParent> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    TraceParent::parse(headers.get("traceparent")?)
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_valid_parents_are_taken() {
        let parent = TraceParent::parse(PARENT).expect("the standard's example");
        assert_eq!(
            (parent.as_str(), parent.trace_id()),
            (PARENT, "4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert!(
            TraceParent::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later")
                .is_some()
        );
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_request_joins_its_callers_trace_and_passes_it_on() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let subscriber = tracing_subscriber::registry().with(layer(&provider));
        let onward = tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request");
            adopt_parent(&span, &TraceParent::parse(PARENT).expect("valid"), None);
            span.in_scope(|| trace_parent_of(&span))
                .expect("traces are on")
        });
        let spans = exporter.get_finished_spans().expect("spans");
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(onward.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(onward.as_str(), PARENT);
        // Without a trace layer there is nothing to pass on.
        assert_eq!(trace_parent_of(&tracing::Span::none()), None);
    }
}
