//! The supervisor's table: which models are loaded, loading or leaving, and what they take. Plain bookkeeping under one
//! lock that is never held across a wait; the decisions about memory and backoff are made here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::error::{RunnerError, RunnerErrorKind};
use super::super::options::{ModelSource, RestartPolicy};
use super::super::resident::Runner;
use super::LoadProgress;

#[derive(Default)]
pub(super) struct State {
    pub(super) slots: HashMap<String, Slot>,
    /// Runners told to end that may still live, by id; their memory still counts.
    pub(super) leaving: HashMap<u64, Arc<Runner>>,
    pub(super) closing: bool,
    next_id: u64,
}

/// What is known of one model name.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) phase: Phase,
    pub(super) pinned: bool,
    pub(super) history: History,
}

#[derive(Default)]
pub(super) enum Phase {
    #[default]
    Absent,
    Loading(Loading),
    Ready(Arc<Runner>),
}

/// A load under way.
pub(super) struct Loading {
    pub(super) id: u64,
    pub(super) model: ModelSource,
    pub(super) progress: watch::Receiver<LoadProgress>,
    pub(super) cancel: CancellationToken,
    /// Memory set aside for it.
    pub(super) reserved_bytes: u64,
}

/// How often a model died or failed to load, and when it is tried again.
#[derive(Default)]
pub(super) struct History {
    pub(super) restarts: u64,
    digest: String,
    /// Failures in a row, crashes and failed loads alike.
    failures: u32,
    retry_at: Option<Instant>,
    last_error: Option<RunnerError>,
}

impl History {
    /// The last failure, while it is too early to try again. Another file under the same name starts afresh.
    pub(super) fn refusal(&self, model: &ModelSource, now: Instant) -> Option<RunnerError> {
        let wait = self.retry_at?.checked_duration_since(now)?;
        if wait.is_zero() || self.digest != model.digest {
            return None;
        }
        let mut error = self.last_error.clone()?;
        error.kind = RunnerErrorKind::Load {
            retry_after: Some(wait),
        };
        Some(error)
    }

    pub(super) fn load_failed(
        &mut self,
        model: &ModelSource,
        error: &RunnerError,
        policy: &RestartPolicy,
        now: Instant,
    ) -> Duration {
        self.failed(model, error.clone(), policy, now, 0)
    }

    pub(super) fn crashed(
        &mut self,
        runner: &Runner,
        error: RunnerError,
        policy: &RestartPolicy,
        now: Instant,
    ) {
        self.restarts += 1;
        if now.saturating_duration_since(runner.loaded) >= policy.stable_after {
            self.failures = 0;
        }
        // The first death is free: the next request should not wait for somebody else's bad luck.
        self.failed(&runner.model, error, policy, now, 1);
    }

    fn failed(
        &mut self,
        model: &ModelSource,
        error: RunnerError,
        policy: &RestartPolicy,
        now: Instant,
        free: u32,
    ) -> Duration {
        if self.digest != model.digest {
            self.digest.clone_from(&model.digest);
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let wait = match self.failures.saturating_sub(free) {
            0 => Duration::ZERO,
            attempt => jittered(backoff(policy, attempt)),
        };
        self.retry_at = Some(now + wait);
        self.last_error = Some(error);
        wait
    }

    /// Forgets failures: somebody with authority asked for a new start.
    pub(super) fn forgive(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.last_error = None;
    }
}

/// The wait before attempt number `attempt` (from 1).
fn backoff(policy: &RestartPolicy, attempt: u32) -> Duration {
    // 2^20 times the first wait is far beyond any bound.
    let factor = 1u32 << (attempt - 1).min(20);
    policy.first.saturating_mul(factor).min(policy.longest)
}

/// Up to a fifth more or less, so that many servers that failed together do not return together.
fn jittered(wait: Duration) -> Duration {
    let random = platform::entropy::random_u64().unwrap_or(u64::MAX / 2);
    wait.mul_f64(0.8 + 0.4 * (random as f64 / u64::MAX as f64))
}

/// What to do so that a model fits.
pub(super) enum Room {
    /// It fits; its memory is set aside.
    Reserved,
    /// It will fit when a runner that is leaving is gone.
    WaitForLeaving,
    /// This runner was told to leave to make room.
    Evicted(Arc<Runner>),
    /// It does not fit.
    Refused(RunnerError),
}

impl State {
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Memory of everything loaded or set aside, except for `name`.
    fn used_bytes(&self, except: &str) -> u64 {
        self.slots
            .iter()
            .filter(|(name, _)| *name != except)
            .map(|(_, slot)| match &slot.phase {
                Phase::Absent => 0,
                Phase::Loading(loading) => loading.reserved_bytes,
                Phase::Ready(runner) => runner.memory_bytes.load(Ordering::Relaxed),
            })
            .sum()
    }

    fn leaving_bytes(&self) -> u64 {
        self.leaving
            .values()
            .map(|runner| runner.memory_bytes.load(Ordering::Relaxed))
            .sum()
    }

    /// One step towards room for `need_bytes` of the model `name`, which is loading.
    pub(super) fn make_room(&mut self, name: &str, need_bytes: u64, budget_bytes: u64) -> Room {
        if need_bytes > budget_bytes {
            return Room::Refused(RunnerError::new(
                RunnerErrorKind::Load { retry_after: None },
                format!(
                    "{name} needs about {} of memory, more than the {} that models may use; raise the memory budget or choose a smaller model or context",
                    mebibytes(need_bytes),
                    mebibytes(budget_bytes)
                ),
            ));
        }
        let used = self.used_bytes(name);
        let fits = |taken: u64| taken.saturating_add(need_bytes) <= budget_bytes;
        if fits(used.saturating_add(self.leaving_bytes())) {
            if let Some(Slot {
                phase: Phase::Loading(loading),
                ..
            }) = self.slots.get_mut(name)
            {
                loading.reserved_bytes = need_bytes;
            }
            return Room::Reserved;
        }
        if fits(used) {
            return Room::WaitForLeaving;
        }
        if let Some(runner) = self.evict_least_recently_used(name) {
            return Room::Evicted(runner);
        }
        let mut busy: Vec<&str> = self
            .slots
            .iter()
            .filter(|(other, slot)| *other != name && !matches!(slot.phase, Phase::Absent))
            .map(|(other, _)| other.as_str())
            .collect();
        busy.sort_unstable();
        Room::Refused(RunnerError::new(
            RunnerErrorKind::Overloaded {
                retry_after: Some(BUSY_RETRY_AFTER),
            },
            format!(
                "{name} needs about {} of memory; {} of {} are taken by models in use or pinned: {}",
                mebibytes(need_bytes),
                mebibytes(used),
                mebibytes(budget_bytes),
                busy.join(", ")
            ),
        ))
    }

    /// Tells the idle, unpinned runner that was used longest ago to leave.
    pub(super) fn evict_least_recently_used(&mut self, except: &str) -> Option<Arc<Runner>> {
        let runner = self
            .slots
            .values()
            .filter(|slot| !slot.pinned)
            .filter_map(|slot| match &slot.phase {
                Phase::Ready(runner) if runner.in_flight() == 0 => Some(runner),
                _ => None,
            })
            .filter(|runner| runner.model.name != except)
            .min_by_key(|runner| runner.last_used())?
            .clone();
        self.retire(&runner, Duration::ZERO);
        Some(runner)
    }

    /// Whether loaded and loading models take more than the budget.
    pub(super) fn is_over(&self, budget_bytes: u64) -> bool {
        self.used_bytes("") > budget_bytes
    }

    /// Takes `runner` out of its slot and tells its keeper to end it within `deadline`.
    pub(super) fn retire(&mut self, runner: &Arc<Runner>, deadline: Duration) {
        if let Some(slot) = self.slots.get_mut(&runner.model.name)
            && matches!(&slot.phase, Phase::Ready(ready) if ready.id == runner.id)
        {
            slot.phase = Phase::Absent;
            self.leaving.insert(runner.id, runner.clone());
        }
        runner.stop.send_replace(Some(deadline));
        super::super::metrics::resident(self.ready_count());
    }

    pub(super) fn ready_count(&self) -> usize {
        self.slots
            .values()
            .filter(|slot| matches!(slot.phase, Phase::Ready(_)))
            .count()
    }

    /// Whether nothing lives any more.
    pub(super) fn is_empty(&self) -> bool {
        self.leaving.is_empty()
            && self
                .slots
                .values()
                .all(|slot| matches!(slot.phase, Phase::Absent))
    }
}

/// Advice to a caller whose model finds no room: about the length of a generation.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(digest: &str) -> ModelSource {
        ModelSource {
            name: "m".into(),
            digest: digest.into(),
            path: "m.gguf".into(),
            size_bytes: 1,
        }
    }

    #[test]
    fn waits_double_up_to_the_bound() {
        let policy = RestartPolicy {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(3),
            ..RestartPolicy::default()
        };
        let waits: Vec<u128> = (1..6)
            .map(|attempt| backoff(&policy, attempt).as_millis())
            .collect();
        assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
        assert_eq!(backoff(&policy, u32::MAX), policy.longest);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        for _ in 0..1_000 {
            let wait = jittered(Duration::from_secs(10)).as_secs_f64();
            assert!((7.99..=12.01).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn failed_loads_are_refused_until_the_wait_is_over_or_the_file_changes() {
        let policy = RestartPolicy::default();
        let now = Instant::now();
        let error = RunnerError::new(RunnerErrorKind::Load { retry_after: None }, "broken file");
        let mut history = History::default();
        assert!(history.refusal(&model("a"), now).is_none());
        let wait = history.load_failed(&model("a"), &error, &policy, now);
        let refusal = history.refusal(&model("a"), now).expect("too early");
        assert_eq!(refusal.message, "broken file");
        assert_eq!(refusal.retry_after(), Some(wait));
        assert!(history.refusal(&model("a"), now + wait).is_none());
        assert!(history.refusal(&model("b"), now).is_none());
        let longer = history.load_failed(&model("a"), &error, &policy, now);
        assert!(longer > wait);
        let fresh = history.load_failed(&model("b"), &error, &policy, now);
        assert!(fresh < longer, "another file starts afresh");
        history.forgive();
        assert!(history.refusal(&model("b"), now).is_none());
    }

    #[test]
    fn a_model_larger_than_the_budget_is_refused_for_good() {
        let mut state = State::default();
        match state.make_room("m", 3 << 20, 2 << 20) {
            Room::Refused(error) => {
                assert_eq!(error.kind, RunnerErrorKind::Load { retry_after: None });
                assert!(error.message.contains("needs about 3 MiB"), "{error}");
            }
            _ => panic!("it cannot fit"),
        }
    }
}
