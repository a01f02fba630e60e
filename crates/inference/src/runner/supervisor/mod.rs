//! Which models live, where they fit, and when they start again.
//!
//! ```text
//!              acquire                ready                 unload, evicted, unused
//!   absent ───────────────► loading ─────────► ready ───────────────────────────────► leaving ──► gone
//!     ▲  ▲                     │                 │ died: the next acquire starts a fresh runner,
//!     │  └──── failed ─────────┘                 │ after a wait if it keeps dying
//!     └──────────────────────────────────────────┘
//! ```
//!
//! Invariants:
//!  1. At most one runner per model name is loading or ready, however many ask at once.
//!  2. Memory set aside and taken stays within the budget, counting runners that are leaving until they are gone; only a
//!     model that turned out larger than estimated can exceed it, which is logged.
//!  3. A runner that is in use is never evicted and never expires.
//!  4. Every child is owned by exactly one keeper task, which alone waits for it and signals it.
//!  5. The lock on the table is never held across a wait.

mod health;
mod keeper;
mod state;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::Clock;
use platform::process::Spawner;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::error::{RunnerError, RunnerErrorKind};
use super::metrics;
use super::options::{LoadOptions, ModelSource, SupervisorOptions};
use super::process::clean_up_after_earlier_parent;
use super::protocol::{ModelFacts, StatsReply};
use super::resident::{Lease, Runner};
use keeper::LoadTask;
use state::{Loading, Phase, State};

/// Beyond a drain deadline, what ending a child by force may take: two graces of three seconds for the polite way, two
/// seconds after SIGTERM, and some for the kernel.
const END_BY_FORCE: Duration = Duration::from_secs(10);

/// Starts, keeps and ends the runners of this server. Clones share one table; when the last is dropped, every runner ends.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

struct Shared {
    options: SupervisorOptions,
    socket_dir: PathBuf,
    spawner: Arc<Spawner>,
    clock: Clock,
    state: Mutex<State>,
    /// Rings when a runner is gone or a load has failed.
    ended: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for slot in state.slots.values() {
            if let Phase::Ready(runner) = &slot.phase {
                runner.stop.send_replace(Some(Duration::ZERO));
            }
        }
    }
}

/// How far a load is.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadProgress {
    /// Making room and starting the process.
    Starting,
    /// Reading the model; the part done, from 0 to 1.
    Loading(f32),
    /// Ready.
    Ready,
    /// It failed.
    Failed(RunnerError),
}

/// What a model's runner is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResidentState {
    /// Loading; the part done, from 0 to 1.
    Loading(f32),
    /// Answering or able to.
    Ready,
    /// Told to end, finishing what runs.
    Leaving,
}

/// One line of `ps`.
#[derive(Debug, Clone)]
pub struct Resident {
    /// The model's name.
    pub name: String,
    /// Digest of its file.
    pub digest: String,
    /// Process number, once it was loaded.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: ResidentState,
    /// When it became ready, in seconds since 1970.
    pub loaded_unix: Option<u64>,
    /// When it will leave if nobody uses it, in seconds since 1970; `None` while in use, or when it stays.
    pub expires_unix: Option<u64>,
    /// Memory it takes, or that is set aside for it.
    pub memory_bytes: u64,
    /// Leases and streams.
    pub in_flight: usize,
    /// How often its runner died since this server started.
    pub restarts: u64,
    /// Neither evicted nor expiring.
    pub pinned: bool,
    /// What it can do, once it was loaded.
    pub facts: Option<ModelFacts>,
}

enum Found {
    Lease(Lease),
    Loading(watch::Receiver<LoadProgress>),
}

impl Supervisor {
    /// A supervisor with no runners yet. Ends and removes what an earlier one left in the run directory.
    ///
    /// # Errors
    /// [`RunnerErrorKind::Load`] when the run directory cannot be used.
    pub fn new(options: SupervisorOptions) -> Result<Self, RunnerError> {
        let unusable = |error: std::io::Error| {
            RunnerError::new(
                RunnerErrorKind::Load { retry_after: None },
                format!(
                    "the run directory {} cannot be used: {error}",
                    options.run_dir.display()
                ),
            )
        };
        let socket_dir = prepare_directory(&options.run_dir).map_err(unusable)?;
        let spawner = Arc::new(Spawner::new().map_err(unusable)?);
        metrics::resident(0);
        Ok(Supervisor {
            shared: Arc::new(Shared {
                options,
                socket_dir,
                spawner,
                clock: Clock::system(),
                state: Mutex::default(),
                ended: Notify::new(),
            }),
        })
    }

    /// The right to use `model`, loaded as `load` says. Starts it when it is not there, however many ask at once; a model
    /// loaded from another file or with other options under the same name is replaced, after finishing what it runs.
    ///
    /// Cancelling the wait does not cancel the load.
    ///
    /// # Errors
    /// [`RunnerErrorKind::Load`] with the time of the next attempt, [`RunnerErrorKind::Overloaded`] when models in use leave
    /// no room, [`RunnerErrorKind::Unavailable`] during a shutdown.
    pub async fn acquire(
        &self,
        model: impl Into<ModelSource>,
        load: &LoadOptions,
    ) -> Result<Lease, RunnerError> {
        let model = model.into();
        loop {
            let mut progress = match self.find_or_start(&model, load)? {
                Found::Lease(lease) => return Ok(lease),
                Found::Loading(progress) => progress,
            };
            let outcome = progress
                .wait_for(|progress| {
                    matches!(progress, LoadProgress::Ready | LoadProgress::Failed(_))
                })
                .await
                .map(|outcome| outcome.clone());
            match outcome {
                Ok(LoadProgress::Failed(error)) => return Err(error),
                Ok(_) => {}
                Err(_) => {
                    return Err(RunnerError::new(
                        RunnerErrorKind::Unavailable,
                        format!("the load of {} was given up", model.name),
                    ));
                }
            }
        }
    }

    fn find_or_start(&self, model: &ModelSource, load: &LoadOptions) -> Result<Found, RunnerError> {
        let mut state = self.shared.state();
        if state.closing {
            return Err(RunnerError::new(
                RunnerErrorKind::Unavailable,
                "the server is shutting down",
            ));
        }
        let replaced = match state.slots.get(&model.name).map(|slot| &slot.phase) {
            Some(Phase::Ready(runner)) => {
                if runner.model.digest == model.digest && runner.load == *load {
                    return Ok(Found::Lease(Lease::new(runner.in_use())));
                }
                Some(runner.clone())
            }
            Some(Phase::Loading(loading)) => return Ok(Found::Loading(loading.progress.clone())),
            Some(Phase::Absent) | None => None,
        };
        if let Some(runner) = replaced {
            state.retire(&runner, self.shared.options.drain_timeout);
        }
        let id = state.new_id();
        let slot = state.slots.entry(model.name.clone()).or_default();
        if let Some(error) = slot.history.refusal(model, Instant::now()) {
            return Err(error);
        }
        let (sender, progress) = watch::channel(LoadProgress::Starting);
        let cancel = CancellationToken::new();
        slot.phase = Phase::Loading(Loading {
            id,
            model: model.clone(),
            progress: progress.clone(),
            cancel: cancel.clone(),
            reserved_bytes: 0,
        });
        drop(state);
        tokio::spawn(keeper::run(
            self.shared.clone(),
            LoadTask {
                id,
                model: model.clone(),
                load: load.clone(),
                progress: sender,
                cancel,
            },
        ));
        Ok(Found::Loading(progress))
    }

    /// Follows the load of `name`, if it is loading now.
    pub fn watch_load(&self, name: &str) -> Option<watch::Receiver<LoadProgress>> {
        match &self.shared.state().slots.get(name)?.phase {
            Phase::Loading(loading) => Some(loading.progress.clone()),
            _ => None,
        }
    }

    /// Unloads a model, after letting it finish what it runs for up to the drain time, and forgets its failures. Returns
    /// once its process is gone; false when it was not loaded.
    ///
    /// # Errors
    /// None today; a runner that does not end is killed.
    pub async fn unload(&self, name: &str) -> Result<bool, RunnerError> {
        let drain = self.shared.options.drain_timeout;
        let ready = {
            let mut state = self.shared.state();
            let Some(slot) = state.slots.get_mut(name) else {
                return Ok(false);
            };
            slot.history.forgive();
            match &slot.phase {
                Phase::Absent => return Ok(false),
                Phase::Loading(loading) => {
                    loading.cancel.cancel();
                    Err(loading.progress.clone())
                }
                Phase::Ready(runner) => {
                    let runner = runner.clone();
                    state.retire(&runner, drain);
                    Ok(runner)
                }
            }
        };
        match ready {
            Ok(runner) => wait_until_gone(&runner).await,
            Err(mut progress) => {
                let _ = progress
                    .wait_for(|progress| {
                        matches!(progress, LoadProgress::Ready | LoadProgress::Failed(_))
                    })
                    .await;
            }
        }
        Ok(true)
    }

    /// Keeps a model from being evicted and from expiring, from now on or from its next load on; or no longer.
    pub fn pin(&self, name: &str, pinned: bool) {
        let mut state = self.shared.state();
        if !pinned && !state.slots.contains_key(name) {
            return;
        }
        let slot = state.slots.entry(name.to_owned()).or_default();
        slot.pinned = pinned;
        if let Phase::Ready(runner) = &slot.phase {
            runner.set_pinned(pinned);
        }
    }

    /// Every model that is loading, loaded or leaving, by name.
    pub fn residents(&self) -> Vec<Resident> {
        let state = self.shared.state();
        let mut residents: Vec<Resident> = state
            .slots
            .iter()
            .filter_map(|(name, slot)| {
                let restarts = slot.history.restarts;
                match &slot.phase {
                    Phase::Absent => None,
                    Phase::Loading(loading) => {
                        let part = match *loading.progress.borrow() {
                            LoadProgress::Loading(part) => part,
                            _ => 0.0,
                        };
                        Some(Resident {
                            name: name.clone(),
                            digest: loading.model.digest.clone(),
                            pid: None,
                            state: ResidentState::Loading(part),
                            loaded_unix: None,
                            expires_unix: None,
                            memory_bytes: loading.reserved_bytes,
                            in_flight: 0,
                            restarts,
                            pinned: slot.pinned,
                            facts: None,
                        })
                    }
                    Phase::Ready(runner) => Some(Resident {
                        restarts,
                        pinned: slot.pinned,
                        ..self.describe(runner, ResidentState::Ready)
                    }),
                }
            })
            .collect();
        residents.extend(
            state
                .leaving
                .values()
                .map(|runner| self.describe(runner, ResidentState::Leaving)),
        );
        residents.sort_by(|a, b| a.name.cmp(&b.name));
        residents
    }

    fn describe(&self, runner: &Runner, state: ResidentState) -> Resident {
        let expires_unix = runner.expires().map(|at| {
            let rest = at.saturating_duration_since(Instant::now());
            self.shared.clock.unix().saturating_add(rest).as_secs()
        });
        Resident {
            name: runner.model.name.clone(),
            digest: runner.model.digest.clone(),
            pid: Some(runner.pid),
            state,
            loaded_unix: Some(runner.loaded_unix),
            expires_unix,
            memory_bytes: runner.memory_bytes.load(Ordering::Relaxed),
            in_flight: runner.in_flight(),
            restarts: 0,
            pinned: false,
            facts: Some(runner.facts.clone()),
        }
    }

    /// Figures of every loaded runner that answers within a second, by model name.
    pub async fn stats(&self) -> Vec<(String, StatsReply)> {
        self.poll()
            .await
            .into_iter()
            .map(|(runner, stats)| (runner.model.name.clone(), stats))
            .collect()
    }

    /// Asks every runner for its figures and records them; call it before metrics are read.
    pub async fn refresh_metrics(&self) {
        for (runner, stats) in self.poll().await {
            metrics::polled(&runner, &stats);
        }
    }

    async fn poll(&self) -> Vec<(Arc<Runner>, StatsReply)> {
        let mut runners: Vec<Arc<Runner>> = self
            .shared
            .state()
            .slots
            .values()
            .filter_map(|slot| match &slot.phase {
                Phase::Ready(runner) => Some(runner.clone()),
                _ => None,
            })
            .collect();
        runners.sort_by(|a, b| a.model.name.cmp(&b.model.name));
        let replies = futures::future::join_all(runners.iter().map(|runner| runner.stats())).await;
        runners
            .into_iter()
            .zip(replies)
            .filter_map(|(runner, reply)| Some((runner, reply?)))
            .collect()
    }

    /// Refuses new work, lets runners finish what they run for up to `deadline`, and ends them all. Returns when no child
    /// lives.
    pub async fn shutdown(&self, deadline: Duration) {
        {
            let mut state = self.shared.state();
            state.closing = true;
            let ready: Vec<Arc<Runner>> = state
                .slots
                .values()
                .filter_map(|slot| match &slot.phase {
                    Phase::Loading(loading) => {
                        loading.cancel.cancel();
                        None
                    }
                    Phase::Ready(runner) => Some(runner.clone()),
                    Phase::Absent => None,
                })
                .collect();
            for runner in ready {
                state.retire(&runner, deadline);
            }
        }
        let all_gone = async {
            loop {
                let ended = self.shared.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.shared.state().is_empty() {
                    return;
                }
                ended.await;
            }
        };
        if timeout(deadline.saturating_add(END_BY_FORCE), all_gone)
            .await
            .is_err()
        {
            tracing::error!("some runners did not end in time");
        }
    }
}

async fn wait_until_gone(runner: &Arc<Runner>) {
    let mut ended = runner.ended.subscribe();
    // The sender lives in `runner`, so this only returns when it is gone.
    let _ = ended.wait_for(Option::is_some).await;
}

/// Makes the directory private and empty of an earlier parent's leftovers.
fn prepare_directory(run_dir: &Path) -> std::io::Result<PathBuf> {
    platform::files::create_private_directory(run_dir)?;
    clean_up_after_earlier_parent(run_dir)?;
    Ok(run_dir.to_owned())
}
