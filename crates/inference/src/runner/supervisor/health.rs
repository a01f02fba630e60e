//! Finds a runner that lives but no longer answers: its engine hangs, its process was stopped, a driver never returns.
//!
//! A runner with nothing in flight owes nobody an answer and is left alone. One that is in use gives signs of life: events
//! of its streams, replies, and, asked for them, its figures, which it tells between two steps of its engine. A step of a
//! large model on a small machine takes long, so silence alone is not enough: as long as the process computes it has until
//! the longer of two bounds, otherwise until the shorter. Both begin with the first question that stays unanswered.

use std::time::Duration;

use tokio::time::Instant;

use super::super::options::HealthPolicy;
use super::super::resident::Runner;

/// A process that uses less than this part of one processor waits for something. Below it: what the thread that keeps the
/// socket and looks for its parent uses. Far above it: any step of an engine.
const COMPUTING_PART: u32 = 100;

/// Returns when `runner` does not answer any more; the text reads well after "the runner".
pub(super) async fn until_hung(runner: &Runner, policy: &HealthPolicy) -> String {
    let mut heard = runner.heard();
    // Since when it is silent, and the processor time it had used by then.
    let mut silent: Option<(Instant, Option<Duration>)> = None;
    loop {
        tokio::time::sleep(policy.probe_interval).await;
        let asked = (Instant::now(), platform::process::cpu_time(runner.pid));
        if runner.in_flight() == 0
            || runner.heard() != heard
            || runner.stats().await.is_some()
            || runner.heard() != heard
        {
            heard = runner.heard();
            silent = None;
            continue;
        }
        let (since, used_before) = *silent.get_or_insert(asked);
        let quiet = since.elapsed();
        let computes = match (used_before, platform::process::cpu_time(runner.pid)) {
            (Some(before), Some(now)) => now.saturating_sub(before) >= quiet / COMPUTING_PART,
            // Where the system does not tell, the benefit of the doubt.
            _ => true,
        };
        if quiet >= policy.busy_max || (quiet >= policy.idle_max && !computes) {
            return format!(
                "did not answer for {:.1} seconds and was killed",
                quiet.as_secs_f64()
            );
        }
    }
}
