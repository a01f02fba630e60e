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
/// Tokens of a request, doubling.
const TOKENS: &[f64] = &[
    1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0,
    65536.0, 131072.0,
];
/// Sequences in one step.
const SEQUENCES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

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
    gauge(
        "fornax_build_info",
        Unit::Count,
        "Always 1. Labels: version.",
    ),
    gauge(
        "fornax_ready",
        Unit::Count,
        "1 while the server takes requests, 0 while it starts or drains.",
    ),
    counter(
        "fornax_requests_total",
        "Requests answered. Labels: route, method, status.",
    ),
    counter(
        "fornax_request_errors_total",
        "Requests that failed. Labels: route, kind.",
    ),
    histogram(
        "fornax_request_duration_seconds",
        Unit::Seconds,
        "From a request's first byte to the end of its answer. Labels: route.",
        DURATION,
    ),
    gauge(
        "fornax_requests_running",
        Unit::Count,
        "Generations that have a slot. Labels: model.",
    ),
    gauge(
        "fornax_requests_waiting",
        Unit::Count,
        "Generations that wait for a slot. Labels: model.",
    ),
    counter(
        "fornax_prompt_tokens_total",
        "Prompt tokens of finished requests. Labels: model.",
    ),
    counter(
        "fornax_cached_tokens_total",
        "Prompt tokens that the prefix cache spared. Labels: model.",
    ),
    counter(
        "fornax_output_tokens_total",
        "Tokens generated. Labels: model.",
    ),
    histogram(
        "fornax_prompt_tokens",
        Unit::Count,
        "Prompt tokens per request. Labels: model.",
        TOKENS,
    ),
    histogram(
        "fornax_output_tokens",
        Unit::Count,
        "Generated tokens per request. Labels: model.",
        TOKENS,
    ),
    histogram(
        "fornax_time_to_first_token_seconds",
        Unit::Seconds,
        "From a generation's request to its first token. Labels: model.",
        FIRST_TOKEN,
    ),
    histogram(
        "fornax_inter_token_latency_seconds",
        Unit::Seconds,
        "Between two tokens of one answer. Labels: model.",
        BETWEEN_TOKENS,
    ),
    histogram(
        "fornax_queue_wait_seconds",
        Unit::Seconds,
        "From a generation's request to its slot. Labels: model.",
        DURATION,
    ),
    histogram(
        "fornax_step_sequences",
        Unit::Count,
        "Sequences computed together in one step. Labels: model.",
        SEQUENCES,
    ),
    gauge(
        "fornax_cache_used_ratio",
        Unit::Count,
        "Share of the model's token cache in use, 0 to 1. Labels: model.",
    ),
    counter(
        "fornax_runner_restarts_total",
        "Runners started again after they died. Labels: model.",
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
