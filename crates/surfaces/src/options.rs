//! What the wiring in `fornax` decides about the HTTP side; plain data and hooks, resolved before the router is built.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

/// Joins a request's span to the distributed trace. Implemented over OpenTelemetry by the wiring; without one, trace ids
/// are still accepted, made and passed on.
pub trait TraceContext: Send + Sync {
    /// Makes the W3C context in `headers` the parent of `span`, and returns the `traceparent` that names `span` itself.
    fn adopt(&self, span: &tracing::Span, headers: &HeaderMap) -> Option<String>;
}

/// Settings of the HTTP surfaces.
#[derive(Clone)]
pub struct SurfaceOptions {
    /// Renders the process's metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// `/metrics` needs no key.
    pub metrics_public: bool,
    /// Largest request body, in bytes. 32 MiB holds a 2,048-input embedding request of long texts.
    pub body_bytes_max: usize,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
    /// Requests being answered at once; more get 429.
    pub requests_max: usize,
    /// How long a stream may be silent before a comment keeps the connection alive.
    pub keep_alive_interval: Duration,
    /// How long a reader may take nothing of an answer before it is given up, and the work behind it ended.
    pub reader_timeout: Duration,
    /// Origins that browsers may call from; `*` for any, empty for none.
    pub cors_origins: Vec<String>,
    /// Seconds since 1970, behind a seam so that tests can hold it still.
    pub now_unix: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The distributed trace, when there is one.
    pub trace: Option<Arc<dyn TraceContext>>,
    /// The tools, resources and prompts of the MCP conformance suite are there too; for runs of the suite only.
    pub mcp_fixtures: bool,
    /// Product version, for `/fornax/v1/version` and the `server` header.
    pub version: &'static str,
}

impl SurfaceOptions {
    /// The product's defaults around the two things only the wiring knows.
    pub fn new(
        metrics: Arc<dyn Fn() -> String + Send + Sync>,
        now_unix: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        SurfaceOptions {
            metrics,
            metrics_public: false,
            body_bytes_max: 32 << 20,
            body_timeout: Duration::from_secs(60),
            requests_max: 1024,
            keep_alive_interval: Duration::from_secs(10),
            reader_timeout: Duration::from_secs(120),
            cors_origins: Vec::new(),
            now_unix,
            trace: None,
            mcp_fixtures: false,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}
