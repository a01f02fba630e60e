//! Signals out: logs, metrics, traces. Everybody else uses the `tracing` and `metrics` facades; this crate decides where
//! they go. The binary calls [`init`] once, before any other crate runs.
//!
//! 1. Nothing here reads the environment: every choice is in [`TelemetryOptions`].
//! 2. Logs go to standard error only; standard output belongs to the command.
//! 3. A [`platform::Secret`] in a field is written as `[secret]`.
//! 4. Every metric is declared in [`METRICS`]; a test of the workspace compares it with what the sources record.

mod exposition;
mod logging;
mod process;
mod table;
mod traces;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry_sdk::trace::SdkTracerProvider;
use platform::Secret;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use exposition::vllm_aliases;
pub use table::{METRICS, Metric, MetricKind};
pub use traces::{TraceParent, adopt_parent, trace_parent_of};

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line for a person.
    #[default]
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Where traces go.
#[derive(Debug, Clone)]
pub struct TraceOptions {
    /// `http://host:port` of an OTLP collector speaking gRPC.
    pub endpoint: String,
    /// Extra request headers, for collectors that want a token.
    pub headers: Vec<(String, Secret)>,
    /// Share of new traces that are recorded, 0 to 1. A caller's own decision in `traceparent` wins.
    pub sample_ratio: f64,
}

/// What [`init`] sets up.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// Name of the service in traces.
    pub service_name: String,
    /// Version of the service in traces.
    pub service_version: String,
    /// A level (`info`) or directives (`info,inference=debug`).
    pub log_filter: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Whether pretty lines may have colours.
    pub ansi: bool,
    /// Traces; none: no exporter runs.
    pub traces: Option<TraceOptions>,
    /// Also give the most used metrics under the names that vLLM gives them.
    pub vllm_aliases: bool,
}

/// Why signals could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("read the log filter \"{filter}\": {reason}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The trace exporter cannot be made.
    #[error("set up the trace exporter for {endpoint}: {reason}")]
    Traces {
        /// Where it should send.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
    /// A recorder or subscriber is set already, or a bucket list is empty.
    #[error("install {what}: {reason}")]
    Install {
        /// Which part.
        what: &'static str,
        /// What the library said.
        reason: String,
    },
}

/// The running signals. Keep one until the end, then call [`Telemetry::shutdown`]. Clones share everything.
#[derive(Clone)]
pub struct Telemetry {
    metrics: PrometheusHandle,
    vllm_aliases: bool,
    provider: Arc<Mutex<Option<SdkTracerProvider>>>,
}

/// Sets up logs, metrics and, when asked, traces for the whole process. With traces it must run inside a Tokio runtime
/// that lives as long as the process: the exporter's connection belongs to it.
///
/// # Errors
/// An option is not valid, or signals were set up already.
pub fn init(options: &TelemetryOptions) -> Result<Telemetry, TelemetryError> {
    let filter =
        EnvFilter::try_new(&options.log_filter).map_err(|error| TelemetryError::Filter {
            filter: options.log_filter.clone(),
            reason: error.to_string(),
        })?;
    let recorder = exposition::recorder()?;
    let handle = recorder.handle();
    let provider = options
        .traces
        .as_ref()
        .map(|traces| traces::provider(options, traces))
        .transpose()?;
    let logs =
        logging::layer(options.log_format, options.ansi, std::io::stderr).with_filter(filter);
    let spans = provider.as_ref().map(traces::layer);
    tracing_subscriber::registry()
        .with(logs)
        .with(spans)
        .try_init()
        .map_err(|error| TelemetryError::Install {
            what: "the log subscriber",
            reason: error.to_string(),
        })?;
    metrics::set_global_recorder(recorder).map_err(|error| TelemetryError::Install {
        what: "the metrics recorder",
        reason: error.to_string(),
    })?;
    table::describe();
    Ok(Telemetry {
        metrics: handle,
        vllm_aliases: options.vllm_aliases,
        provider: Arc::new(Mutex::new(provider)),
    })
}

/// Longest that [`Telemetry::shutdown`] waits for the collector.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

impl Telemetry {
    /// All metrics in Prometheus' text format, those of this process included.
    pub fn render(&self) -> String {
        exposition::render(&self.metrics, self.vllm_aliases)
    }

    /// Folds recorded samples into their histograms. Call it every few seconds, or samples pile up in memory between
    /// two scrapes.
    pub fn upkeep(&self) {
        self.metrics.run_upkeep();
    }

    /// Sends the last spans and stops the exporter, waiting at most three seconds. Blocks: call it from a blocking
    /// thread while the runtime still turns. The second call does nothing.
    pub fn shutdown(&self) {
        let provider = self
            .provider
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(provider) = provider
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last traces were not delivered");
        }
    }
}
