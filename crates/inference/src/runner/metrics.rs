//! Metrics of runners, recorded through the `metrics` facade; each has the label `model`, except the number of loaded
//! models. What each means stands in telemetry's table, and a test of the workspace keeps the two together.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::protocol::StatsReply;
use super::resident::Runner;

/// A model became ready after `took`.
pub(super) fn loaded(model: &str, took: Duration, memory_bytes: u64) {
    histogram!("fornax_runner_load_seconds", "model" => model.to_owned())
        .record(took.as_secs_f64());
    gauge!("fornax_model_memory_bytes", "model" => model.to_owned()).set(memory_bytes as f64);
    // Registered at zero, so that the first death is an increase that an alert can see.
    counter!("fornax_runner_restarts_total", "model" => model.to_owned()).increment(0);
}

/// A load failed.
pub(super) fn load_failed(model: &str) {
    counter!("fornax_runner_load_failures_total", "model" => model.to_owned()).increment(1);
}

/// A runner died.
pub(super) fn crashed(model: &str) {
    counter!("fornax_runner_restarts_total", "model" => model.to_owned()).increment(1);
}

/// The number of loaded models changed.
pub(super) fn resident(count: usize) {
    gauge!("fornax_models_resident").set(count as f64);
}

/// A runner is gone: what it used is free.
pub(super) fn gone(model: &str) {
    for name in [
        "fornax_model_memory_bytes",
        "fornax_runner_running",
        "fornax_runner_waiting",
        "fornax_runner_slots",
        "fornax_runner_cache_cells_used",
        "fornax_runner_cache_cells",
        "fornax_runner_cache_used_ratio",
        "fornax_runner_resident_memory_bytes",
    ] {
        gauge!(name, "model" => model.to_owned()).set(0.0);
    }
}

/// New figures of a runner.
pub(super) fn polled(runner: &Runner, now: &StatsReply) {
    let model = &runner.model.name;
    let set = |name: &'static str, value: f64| gauge!(name, "model" => model.clone()).set(value);
    set("fornax_runner_running", f64::from(now.running));
    set("fornax_runner_waiting", f64::from(now.waiting));
    set("fornax_runner_slots", f64::from(now.sequences_max));
    set(
        "fornax_runner_cache_cells_used",
        now.cache_cells_used as f64,
    );
    set("fornax_runner_cache_cells", now.cache_cells as f64);
    // Routers and dashboards compare models of different sizes by this one.
    set(
        "fornax_runner_cache_used_ratio",
        now.cache_cells_used as f64 / now.cache_cells.max(1) as f64,
    );
    set(
        "fornax_runner_resident_memory_bytes",
        now.memory_rss_bytes as f64,
    );
    set(
        "fornax_model_memory_bytes",
        runner.memory_bytes.load(Ordering::Relaxed) as f64,
    );
    // The runner's totals start at zero with each process, ours must not: only differences are added.
    let mut before = runner.polled.lock().unwrap_or_else(PoisonError::into_inner);
    if now.steps < before.steps {
        // Another poll overtook this one.
        return;
    }
    let add = |name: &'static str, now: u64, before: u64| {
        counter!(name, "model" => model.clone()).increment(now.saturating_sub(before));
    };
    add(
        "fornax_runner_prefix_queries_tokens_total",
        now.prefix_queries_tokens,
        before.prefix_queries_tokens,
    );
    add(
        "fornax_runner_prefix_hits_tokens_total",
        now.prefix_hits_tokens,
        before.prefix_hits_tokens,
    );
    add(
        "fornax_runner_preemptions_total",
        now.preemptions,
        before.preemptions,
    );
    add(
        "fornax_runner_evictions_total",
        now.evictions,
        before.evictions,
    );
    add(
        "fornax_runner_prompt_tokens_total",
        now.prompt_tokens,
        before.prompt_tokens,
    );
    add(
        "fornax_runner_output_tokens_total",
        now.output_tokens,
        before.output_tokens,
    );
    add("fornax_runner_steps_total", now.steps, before.steps);
    let busy = Duration::from_micros(now.busy_us.saturating_sub(before.busy_us));
    gauge!("fornax_runner_busy_seconds", "model" => model.clone()).increment(busy.as_secs_f64());
    *before = *now;
}
