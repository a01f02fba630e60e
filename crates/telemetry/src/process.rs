//! Facts about this process, under the names every Prometheus client uses. Read when somebody asks, not on a timer.

use std::fmt::Write;
use std::fs;

/// Kernel ticks per second in `/proc`; fixed at 100 for user space on every Linux architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the process metrics to `text`; those that the system does not tell are left out.
pub(crate) fn append(text: &mut String) {
    let mut gauge = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let written = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            );
            debug_assert!(written.is_ok(), "writing to a string");
        }
    };
    let resident = platform::memory::own().map(|memory| memory.resident_bytes as f64);
    gauge(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of the server process, without its runners.",
        resident,
    );
    let stat = stat_fields();
    gauge(
        "process_cpu_seconds_total",
        "counter",
        "Processor time of the server process, without its runners.",
        // utime and stime.
        stat_number(&stat, 11)
            .zip(stat_number(&stat, 12))
            .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
    );
    let started = stat_number(&stat, 19)
        .zip(boot_unix())
        .map(|(ticks_after_boot, boot)| boot + ticks_after_boot / TICKS_PER_SECOND);
    gauge(
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since 1970.",
        started,
    );
    gauge(
        "process_threads",
        "gauge",
        "Threads of the server process.",
        stat_number(&stat, 17),
    );
    let open = fs::read_dir("/proc/self/fd")
        .ok()
        .map(|entries| entries.count() as f64);
    gauge("process_open_fds", "gauge", "Open file descriptors.", open);
    gauge(
        "process_max_fds",
        "gauge",
        "Most file descriptors the process may open.",
        descriptors_max(),
    );
}

/// The fields of `/proc/self/stat` after the command's name, which may hold spaces and ends at the last parenthesis.
fn stat_fields() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    text.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| {
        rest.split_whitespace().map(str::to_owned).collect()
    })
}

fn stat_number(fields: &[String], index: usize) -> Option<f64> {
    fields.get(index)?.parse().ok()
}

fn boot_unix() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn descriptors_max() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
