//! What every request leaves behind: an id, a span in the distributed trace, metrics and one line in the access log.
//!
//! Invariants:
//! 1. A request is counted once, when the last byte of its answer is written or its client has gone.
//! 2. Labels come from closed sets (route patterns, known methods, status codes): a caller cannot make new series.
//! 3. No header value but the two ids is logged, and never a body.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Frame;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::admit::Permit;
use super::patience::Patient;
use crate::failure::{FailureKind, Surface};
use crate::identifiers;
use crate::state::App;
use crate::table;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest request id that is taken over from a caller.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// nginx's number for "the client closed the connection", used in logs and metrics only.
const CLIENT_CLOSED: u16 = 499;

/// Watches one request from its head to the end of its answer.
pub async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let route = table::pattern(request.extensions().get::<MatchedPath>());
    let surface = Surface::of_request(&request);
    let request_id = accepted_id(request.headers()).unwrap_or_else(identifiers::request_id);
    let span = tracing::info_span!(
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        request_id = request_id.as_str(),
        trace_id = tracing::field::Empty,
        tenant = tracing::field::Empty,
        key = tracing::field::Empty,
    );
    let traceparent = match app
        .options
        .trace
        .as_ref()
        .and_then(|trace| trace.adopt(&span, request.headers()))
    {
        Some(ours) => ours,
        None => continued(request.headers()),
    };
    if let Some(trace_id) = traceparent.get(3..35) {
        span.record("trace_id", trace_id);
    }
    let head = request.method() == Method::HEAD;
    let mut watch = Watch::begin(span.clone(), surface, route, method);

    let response = next.run(request).instrument(span.clone()).await;

    watch.status = response.status().as_u16();
    span.record("http.response.status_code", watch.status);
    let (mut parts, inner) = response.into_parts();
    if let Some(FailureKind(kind)) = parts.extensions.remove::<FailureKind>() {
        metrics::counter!("fornax_http_errors_total", "surface" => surface.name(), "kind" => kind.name()).increment(1);
    }
    watch.permit = parts.extensions.remove::<Permit>();
    watch.complete = head || inner.is_end_stream();
    set_headers(
        &mut parts.headers,
        &request_id,
        &traceparent,
        app.options.version,
    );
    if surface == Surface::Anthropic
        && let Ok(value) = HeaderValue::from_str(&request_id)
    {
        // The name under which this protocol's clients show it.
        parts.headers.insert("request-id", value);
    }
    let body = Body::new(Watched { inner, watch });
    if body.is_end_stream() {
        return Response::from_parts(parts, body);
    }
    let patient = Patient::new(body, app.options.reader_timeout);
    Response::from_parts(parts, Body::new(patient))
}

fn set_headers(
    headers: &mut HeaderMap,
    request_id: &str,
    traceparent: &str,
    version: &'static str,
) {
    for (name, value) in [(&REQUEST_ID, request_id), (&TRACEPARENT, traceparent)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&format!("fornax/{version}")) {
        headers.insert(header::SERVER, value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// The caller's request id, if it is short and plain enough to be repeated in a log.
fn accepted_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(&REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    (!id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(plain))
        .then(|| id.to_string())
}

/// A `traceparent` of our own that continues the caller's trace when it sent a valid one, and begins one otherwise.
fn continued(headers: &HeaderMap) -> String {
    let caller = headers
        .get(&TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .and_then(parse_traceparent);
    match caller {
        Some((trace_id, flags)) => format!("00-{trace_id}-{}-{flags}", identifiers::span_id()),
        None => format!(
            "00-{}-{}-00",
            identifiers::trace_id(),
            identifiers::span_id()
        ),
    }
}

/// Trace id and flags of a W3C `traceparent`: `version-32 hex-16 hex-2 hex`, lower case, no part all zero.
fn parse_traceparent(value: &str) -> Option<(&str, &str)> {
    let hex = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let mut parts = value.splitn(5, '-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sizes = version.len() == 2 && trace.len() == 32 && parent.len() == 16 && flags.len() == 2;
    let valid = sizes
        && [version, trace, parent, flags].into_iter().all(hex)
        && !zero(trace)
        && !zero(parent);
    // Version ff is forbidden; version 00 has exactly four parts; later ones may have more.
    let ends = version != "00" || parts.next().is_none();
    (valid && version != "ff" && ends).then_some((trace, flags))
}

/// A method as a metric label; callers may invent methods.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Counts a request when it is dropped: after the last byte, or when the client went away.
struct Watch {
    span: Span,
    surface: Surface,
    route: &'static str,
    method: &'static str,
    status: u16,
    bytes: u64,
    complete: bool,
    started: Instant,
    permit: Option<Permit>,
}

impl Watch {
    fn begin(span: Span, surface: Surface, route: &'static str, method: &'static str) -> Self {
        metrics::gauge!("fornax_http_requests_in_flight", "surface" => surface.name())
            .increment(1.0);
        Watch {
            span,
            surface,
            route,
            method,
            status: CLIENT_CLOSED,
            bytes: 0,
            complete: false,
            started: Instant::now(),
            permit: None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let surface = self.surface.name();
        let seconds = self.started.elapsed().as_secs_f64();
        metrics::gauge!("fornax_http_requests_in_flight", "surface" => surface).decrement(1.0);
        metrics::counter!(
            "fornax_http_requests_total",
            "surface" => surface,
            "route" => self.route,
            "method" => self.method,
            "status" => self.status.to_string(),
        )
        .increment(1);
        metrics::histogram!("fornax_http_request_seconds", "surface" => surface, "route" => self.route).record(seconds);
        tracing::info!(
            target: "fornax::access",
            parent: &self.span,
            method = self.method,
            route = self.route,
            status = self.status,
            bytes = self.bytes,
            seconds,
            complete = self.complete,
            "answered"
        );
    }
}

/// A response body that keeps its [`Watch`] until it has been written.
struct Watched {
    inner: Body,
    watch: Watch,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let span = this.watch.span.clone();
        let _entered = span.enter();
        let polled = Pin::new(&mut this.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.watch.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                this.watch.complete |= this.inner.is_end_stream();
            }
            Poll::Ready(None) => this.watch.complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::parse_traceparent;

    #[test]
    fn a_traceparent_is_taken_only_when_it_is_valid() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let check = |text: &str, valid: bool| {
            assert_eq!(parse_traceparent(text).is_some(), valid, "{text}")
        };
        check(&format!("00-{trace}-00f067aa0ba902b7-01"), true);
        check(&format!("01-{trace}-00f067aa0ba902b7-01-more"), true);
        check(&format!("00-{trace}-00f067aa0ba902b7-01-more"), false);
        check(&format!("ff-{trace}-00f067aa0ba902b7-01"), false);
        check(&format!("00-{trace}-0000000000000000-01"), false);
        check(&format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false);
        check(
            &format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            false,
        );
        check("", false);
        check("00-é", false);
    }
}
