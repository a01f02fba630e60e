//! Every metric of the product, once: name, kind, unit, help, buckets. What records them is where the event happens.

use metrics::Unit;

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name: `fornax_`, words, base unit.
    pub name: &'static str,
    /// What it counts.
    pub kind: MetricKind,
    /// Unit of its values.
    pub unit: Unit,
    /// One sentence for whoever builds a dashboard; labels are named at its end.
    pub help: &'static str,
    /// Upper bounds of a histogram's buckets; empty for the other kinds.
    pub buckets: &'static [f64],
}

/// From a tenth of a millisecond (a health check) to ten minutes (a long answer on a slow machine).
const DURATION: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0, 300.0, 600.0,
];
/// Waiting of a person for the first word: a warm prefix takes milliseconds, a cold long prompt minutes.
const FIRST_TOKEN: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0,
];
/// Between two tokens: a tiny model takes half a millisecond, a stalled one seconds.
const BETWEEN_TOKENS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        kind: MetricKind::Counter,
        unit: Unit::Count,
        help,
        buckets: &[],
    }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric {
        name,
        kind: MetricKind::Gauge,
        unit,
        help,
        buckets: &[],
    }
}

const fn histogram(
    name: &'static str,
    unit: Unit,
    help: &'static str,
    buckets: &'static [f64],
) -> Metric {
    Metric {
        name,
        kind: MetricKind::Histogram,
        unit,
        help,
        buckets,
    }
}

/// The table.
pub const METRICS: &[Metric] = &[
    // the process
    gauge(
        "fornax_build_info",
        Unit::Count,
        "Always 1. Labels: version.",
    ),
    gauge(
        "fornax_ready",
        Unit::Count,
        "1 while the server takes requests, 0 while it drains.",
    ),
    // HTTP
    counter(
        "fornax_http_requests_total",
        "Requests answered or abandoned. Labels: surface, route, method, status.",
    ),
    counter(
        "fornax_http_errors_total",
        "Requests answered with an error. Labels: surface, kind.",
    ),
    gauge(
        "fornax_http_requests_in_flight",
        Unit::Count,
        "Requests being answered. Labels: surface.",
    ),
    histogram(
        "fornax_http_request_seconds",
        Unit::Seconds,
        "From a request's head to the last byte of its answer. Labels: surface, route.",
        DURATION,
    ),
    counter(
        "fornax_mcp_calls_total",
        "Calls of tools over MCP. Labels: tool, outcome (ok or the kind of error).",
    ),
    // collections
    gauge(
        "fornax_collections",
        Unit::Count,
        "Collections of the tenants that were asked for since the start.",
    ),
    gauge(
        "fornax_collections_open",
        Unit::Count,
        "Collections that are open.",
    ),
    gauge(
        "fornax_collections_damaged",
        Unit::Count,
        "Open collections with a damaged part, or that refuse writes after a failure of the disk.",
    ),
    gauge(
        "fornax_collections_points",
        Unit::Count,
        "Points of open collections.",
    ),
    gauge(
        "fornax_collections_segments",
        Unit::Count,
        "Segments of open collections.",
    ),
    gauge(
        "fornax_collections_memory_bytes",
        Unit::Bytes,
        "Heap memory of open collections. Labels: component.",
    ),
    gauge(
        "fornax_collections_mapped_bytes",
        Unit::Bytes,
        "Mapped files of open collections; the system takes their memory back when it needs it.",
    ),
    gauge(
        "fornax_collections_memory_budget_bytes",
        Unit::Bytes,
        "What the heap memory of all collections may reach; 0: no limit.",
    ),
    counter(
        "fornax_collections_operations_total",
        "Calls of collections. Labels: operation, outcome (ok or the kind of error).",
    ),
    histogram(
        "fornax_collections_operation_seconds",
        Unit::Seconds,
        "From a call of a collection to its answer, waiting for its turn included. Labels: operation.",
        DURATION,
    ),
    // use cases
    counter(
        "fornax_requests_total",
        "Model requests. Labels: operation, model, outcome (ok or the kind of error).",
    ),
    histogram(
        "fornax_request_seconds",
        Unit::Seconds,
        "From a model request to its end. Labels: operation, model.",
        DURATION,
    ),
    counter(
        "fornax_prompt_tokens_total",
        "Prompt tokens read. Labels: model, tenant.",
    ),
    counter(
        "fornax_cached_tokens_total",
        "Prompt tokens that the prefix cache spared. Labels: model, tenant.",
    ),
    counter(
        "fornax_output_tokens_total",
        "Tokens generated. Labels: model, tenant.",
    ),
    histogram(
        "fornax_time_to_first_token_seconds",
        Unit::Seconds,
        "From a generation's request to its first output. Labels: model.",
        FIRST_TOKEN,
    ),
    histogram(
        "fornax_inter_token_seconds",
        Unit::Seconds,
        "Between two pieces of one answer. Labels: model.",
        BETWEEN_TOKENS,
    ),
    histogram(
        "fornax_queue_seconds",
        Unit::Seconds,
        "From a generation's request to its slot. Labels: model.",
        DURATION,
    ),
    // runners
    gauge("fornax_models_resident", Unit::Count, "Models loaded now."),
    gauge(
        "fornax_model_memory_bytes",
        Unit::Bytes,
        "Memory of a loaded model: what its engine reports or its process holds, the larger. Labels: model.",
    ),
    histogram(
        "fornax_runner_load_seconds",
        Unit::Seconds,
        "From starting a runner to a ready model. Labels: model.",
        DURATION,
    ),
    counter(
        "fornax_runner_load_failures_total",
        "Loads that failed. Labels: model.",
    ),
    counter(
        "fornax_runner_restarts_total",
        "Runners that died and had to be started again. Labels: model.",
    ),
    gauge(
        "fornax_runner_running",
        Unit::Count,
        "Sequences being generated. Labels: model.",
    ),
    gauge(
        "fornax_runner_waiting",
        Unit::Count,
        "Requests waiting inside the runner. Labels: model.",
    ),
    gauge(
        "fornax_runner_slots",
        Unit::Count,
        "Sequences it can generate at once. Labels: model.",
    ),
    gauge(
        "fornax_runner_cache_cells_used",
        Unit::Count,
        "Tokens in the key/value cache, cached prefixes included. Labels: model.",
    ),
    gauge(
        "fornax_runner_cache_cells",
        Unit::Count,
        "Tokens the cache can hold. Labels: model.",
    ),
    gauge(
        "fornax_runner_cache_used_ratio",
        Unit::Count,
        "Share of the cache in use, 0 to 1. Labels: model.",
    ),
    gauge(
        "fornax_runner_resident_memory_bytes",
        Unit::Bytes,
        "Resident memory of the runner's process. Labels: model.",
    ),
    counter(
        "fornax_runner_prefix_queries_tokens_total",
        "Prompt tokens looked up in the prefix index. Labels: model.",
    ),
    counter(
        "fornax_runner_prefix_hits_tokens_total",
        "Prompt tokens found in the prefix index. Labels: model.",
    ),
    counter(
        "fornax_runner_preemptions_total",
        "Sequences set back because the cache was full. Labels: model.",
    ),
    counter(
        "fornax_runner_evictions_total",
        "Cached prefixes evicted. Labels: model.",
    ),
    counter(
        "fornax_runner_prompt_tokens_total",
        "Prompt tokens computed or found. Labels: model.",
    ),
    counter(
        "fornax_runner_output_tokens_total",
        "Tokens generated by the runner. Labels: model.",
    ),
    counter(
        "fornax_cache_lookups_total",
        "Lookups of kept results. Labels: kind, outcome (memory, below_memory, joined, miss).",
    ),
    counter("fornax_runner_steps_total", "Engine steps. Labels: model."),
    gauge(
        "fornax_runner_busy_seconds",
        Unit::Seconds,
        "Seconds spent inside the engine since the runner started. Labels: model.",
    ),
];

/// Tells the recorder all helps and units.
pub(crate) fn describe() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => {
                metrics::describe_counter!(metric.name, metric.unit, metric.help)
            }
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            MetricKind::Histogram => {
                metrics::describe_histogram!(metric.name, metric.unit, metric.help)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in METRICS {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            assert!(metric.name.starts_with("fornax_"), "{}", metric.name);
            assert_eq!(
                metric.kind == MetricKind::Counter,
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
            assert_eq!(
                metric.kind == MetricKind::Histogram,
                !metric.buckets.is_empty(),
                "{}",
                metric.name
            );
            assert_eq!(
                metric.unit == Unit::Seconds,
                metric.name.ends_with("_seconds"),
                "{}",
                metric.name
            );
            assert_eq!(
                metric.unit == Unit::Bytes,
                metric.name.ends_with("_bytes"),
                "{}",
                metric.name
            );
            assert!(
                metric.buckets.windows(2).all(|pair| pair[0] < pair[1]),
                "{}",
                metric.name
            );
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
