//! The metrics as text.

use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::table::METRICS;
use crate::{TelemetryError, process};

/// A recorder whose histograms have the buckets of the table.
pub(crate) fn recorder() -> Result<PrometheusRecorder, TelemetryError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().filter(|metric| !metric.buckets.is_empty()) {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
            .map_err(|error| TelemetryError::Install {
                what: "the metrics recorder",
                reason: error.to_string(),
            })?;
    }
    Ok(builder.build_recorder())
}

/// Everything, as a scraper wants it.
pub(crate) fn render(handle: &PrometheusHandle, with_aliases: bool) -> String {
    let mut text = handle.render();
    if with_aliases {
        let aliases = vllm_aliases(&text);
        text.push_str(&aliases);
    }
    process::append(&mut text);
    text
}

/// Our name, and the name dashboards and routers made for vLLM look for.
const VLLM_NAMES: [(&str, &str); 12] = [
    ("fornax_runner_cache_used_ratio", "vllm:kv_cache_usage_perc"),
    ("fornax_runner_running", "vllm:num_requests_running"),
    ("fornax_runner_waiting", "vllm:num_requests_waiting"),
    (
        "fornax_runner_preemptions_total",
        "vllm:num_preemptions_total",
    ),
    (
        "fornax_runner_prefix_queries_tokens_total",
        "vllm:prefix_cache_queries_total",
    ),
    (
        "fornax_runner_prefix_hits_tokens_total",
        "vllm:prefix_cache_hits_total",
    ),
    (
        "fornax_runner_prompt_tokens_total",
        "vllm:prompt_tokens_total",
    ),
    (
        "fornax_runner_output_tokens_total",
        "vllm:generation_tokens_total",
    ),
    (
        "fornax_time_to_first_token_seconds",
        "vllm:time_to_first_token_seconds",
    ),
    (
        "fornax_inter_token_seconds",
        "vllm:inter_token_latency_seconds",
    ),
    ("fornax_request_seconds", "vllm:e2e_request_latency_seconds"),
    ("fornax_queue_seconds", "vllm:request_queue_time_seconds"),
];

/// The lines of `text` whose metrics vLLM has too, under its names and with its label `model_name`.
pub fn vllm_aliases(text: &str) -> String {
    let mut aliases = String::new();
    for line in text.lines() {
        let (comment, rest) = match line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "))
        {
            Some(rest) => (&line[..7], rest),
            None => ("", line),
        };
        let found = VLLM_NAMES.iter().find_map(|(ours, theirs)| {
            let tail = rest.strip_prefix(ours)?;
            let histogram_part = ["_bucket", "_sum", "_count"]
                .iter()
                .any(|part| tail.starts_with(part));
            (histogram_part || tail.starts_with([' ', '{'])).then_some((theirs, tail))
        });
        if let Some((theirs, tail)) = found {
            let labels =
                tail.replacen("{model=", "{model_name=", 1)
                    .replacen(",model=", ",model_name=", 1);
            aliases.push_str(&format!("{comment}{theirs}{labels}\n"));
        }
    }
    aliases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_buckets_and_the_process_is_there() {
        let recorder = recorder().expect("buckets");
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            crate::table::describe();
            metrics::histogram!("fornax_time_to_first_token_seconds", "model" => "m").record(0.03);
            metrics::counter!("fornax_runner_prompt_tokens_total", "model" => "a\"b\\c\n")
                .increment(3);
        });
        let text = render(&handle, true);
        for part in [
            "# TYPE fornax_time_to_first_token_seconds histogram",
            "fornax_time_to_first_token_seconds_bucket{model=\"m\",le=\"0.05\"} 1",
            "fornax_runner_prompt_tokens_total{model=\"a\\\"b\\\\c\\n\"} 3",
            "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"0.05\"} 1",
            "# TYPE vllm:prompt_tokens_total counter",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_start_time_seconds 1",
            "process_open_fds ",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        valid_exposition(&text);
    }

    /// Every line is a comment or `name{labels} number`, and no metric has two TYPE lines.
    fn valid_exposition(text: &str) {
        let mut types = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(
                    types.insert(rest.split(' ').next().expect("name")),
                    "twice: {line}"
                );
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').expect("value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert!(
                    name.starts_with(|first: char| first.is_ascii_lowercase()),
                    "{line}"
                );
            }
        }
    }
}
