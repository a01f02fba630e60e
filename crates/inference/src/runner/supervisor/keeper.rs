//! The task that loads one runner and then keeps it until it ends: the only owner of the child process.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::super::client::{ProtocolClient, RunnerAddress, connect, wait_until_listening};
use super::super::error::{RunnerError, RunnerErrorKind};
use super::super::options::{HealthPolicy, LoadOptions, ModelSource};
use super::super::process::RunnerProcess;
use super::super::protocol::{ModelFacts, load_event};
use super::super::resident::{Ended, NewRunner, Runner};
use super::super::{estimate, metrics};
use super::state::{Phase, Room};
use super::{LoadProgress, Shared, health};

/// A load that was asked for.
pub(super) struct LoadTask {
    pub(super) id: u64,
    pub(super) model: ModelSource,
    pub(super) load: LoadOptions,
    pub(super) progress: watch::Sender<LoadProgress>,
    pub(super) cancel: CancellationToken,
}

/// A child that said it is ready.
struct Loaded {
    process: RunnerProcess,
    client: ProtocolClient,
    facts: ModelFacts,
}

/// Loads, then keeps.
pub(super) async fn run(shared: Arc<Shared>, task: LoadTask) {
    let started = Instant::now();
    let name = task.model.name.clone();
    let limit = shared.options.load_timeout;
    let outcome = tokio::select! {
        biased;
        () = task.cancel.cancelled() => Err(RunnerError::new(
            RunnerErrorKind::Unavailable,
            format!("{name} was unloaded while it was loading"),
        )),
        outcome = timeout(limit, load(&shared, &task)) => outcome.unwrap_or_else(|_| {
            Err(RunnerError::new(
                RunnerErrorKind::Load { retry_after: None },
                format!("{name} was not ready after {} seconds", limit.as_secs()),
            ))
        }),
    };
    // A load that was given up drops its process here, which kills it.
    match outcome {
        Ok(loaded) => {
            let (runner, process) = admit(&shared, &task, loaded, started);
            let (weak, policy) = (Arc::downgrade(&shared), shared.options.health);
            drop(shared);
            keep(weak, runner, process, policy).await;
        }
        Err(error) => refuse(&shared, task, error),
    }
}

/// Starts the child and loads the model.
async fn load(shared: &Arc<Shared>, task: &LoadTask) -> Result<Loaded, RunnerError> {
    let need_bytes = estimate::memory_bytes(&task.model, &task.load).await;
    make_room(shared, &task.model.name, need_bytes).await?;
    let failed =
        |message: String| RunnerError::new(RunnerErrorKind::Load { retry_after: None }, message);
    let mut process = RunnerProcess::start(
        &shared.spawner,
        &shared.options,
        &shared.socket_dir,
        &task.model,
    )
    .await
    .map_err(failed)?;
    let socket = process.socket().to_owned();
    let conversation = converse(&socket, task);
    let conversation = tokio::select! {
        // Its own account of a failure is better than the news of its death, which often follows at once.
        biased;
        answer = conversation => answer,
        how = process.ended() => Err(failed(format!("the runner of {} {how} while loading", task.model.name))),
    };
    match conversation {
        Ok((client, facts)) => Ok(Loaded {
            process,
            client,
            facts,
        }),
        Err(mut error) => {
            if error.kind == RunnerErrorKind::Crashed
                && let Ok(how) = timeout(Duration::from_secs(1), process.ended()).await
            {
                error.message = format!("the runner of {} {how} while loading", task.model.name);
            }
            error.kind = RunnerErrorKind::Load { retry_after: None };
            process.stop(None, Duration::ZERO).await;
            Err(error)
        }
    }
}

/// Connects and follows the load to its end.
async fn converse(
    socket: &Path,
    task: &LoadTask,
) -> Result<(ProtocolClient, ModelFacts), RunnerError> {
    wait_until_listening(socket).await;
    let broken = |what: &dyn std::fmt::Display| {
        RunnerError::new(
            RunnerErrorKind::Crashed,
            format!("the connection to the runner broke while loading: {what}"),
        )
    };
    let mut client = connect(&RunnerAddress::Unix(socket.to_owned()))
        .await
        .map_err(|error| broken(&error))?;
    let status_error = |status: tonic::Status| {
        if super::super::client::is_connection_loss(&status) {
            broken(&status)
        } else {
            RunnerError::from(status)
        }
    };
    let mut events = client
        .load(task.load.to_request(&task.model))
        .await
        .map_err(status_error)?
        .into_inner();
    while let Some(event) = events.message().await.map_err(status_error)? {
        match event.event {
            Some(load_event::Event::Progress(part)) => {
                task.progress.send_replace(LoadProgress::Loading(part));
            }
            Some(load_event::Event::Ready(facts)) => return Ok((client, facts)),
            Some(load_event::Event::Failed(failure)) => return Err(failure.into()),
            None => {}
        }
    }
    Err(broken(&"it ended the stream before it was ready"))
}

/// Evicts and waits until `need_bytes` fit.
async fn make_room(shared: &Arc<Shared>, name: &str, need_bytes: u64) -> Result<(), RunnerError> {
    loop {
        // Registered before looking, so that an end between the look and the wait is not missed.
        let ended = shared.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        let room = shared
            .state()
            .make_room(name, need_bytes, shared.options.memory_budget_bytes);
        match room {
            Room::Reserved => return Ok(()),
            Room::Refused(error) => return Err(error),
            Room::Evicted(runner) => {
                tracing::info!(model = %runner.model.name, for_model = name, "unloading a model to make room");
            }
            Room::WaitForLeaving => ended.await,
        }
    }
}

/// Enters a loaded runner in the table.
fn admit(
    shared: &Arc<Shared>,
    task: &LoadTask,
    loaded: Loaded,
    started: Instant,
) -> (Arc<Runner>, RunnerProcess) {
    let Loaded {
        process,
        client,
        facts,
    } = loaded;
    let reported = facts
        .weights_bytes
        .saturating_add(facts.cache_bytes)
        .saturating_add(facts.compute_bytes);
    let measured =
        platform::memory::of_process(process.pid).map_or(0, |memory| memory.resident_bytes);
    let memory_bytes = reported.max(measured);
    let name = &task.model.name;
    let mut state = shared.state();
    let (closing, pinned) = (
        state.closing,
        state.slots.get(name).is_some_and(|slot| slot.pinned),
    );
    let runner = Arc::new(Runner::new(NewRunner {
        id: task.id,
        model: task.model.clone(),
        load: task.load.clone(),
        client,
        facts,
        pid: process.pid,
        loaded_unix: shared.clock.unix().as_secs(),
        memory_bytes,
        keep_alive: shared.options.default_keep_alive,
        pinned,
    }));
    if let Some(slot) = state.slots.get_mut(name) {
        slot.phase = Phase::Ready(runner.clone());
    }
    if closing || task.cancel.is_cancelled() {
        state.retire(&runner, Duration::ZERO);
    }
    // The estimate may have been too low: what it really takes can push idle models out.
    while state.is_over(shared.options.memory_budget_bytes) {
        match state.evict_least_recently_used(name) {
            Some(evicted) => {
                tracing::info!(model = %evicted.model.name, for_model = %name, "unloading a model to stay within the memory budget");
            }
            None => {
                tracing::warn!(model = %name, memory_bytes, budget_bytes = shared.options.memory_budget_bytes, "loaded models take more than the memory budget");
                break;
            }
        }
    }
    let resident = state.ready_count();
    drop(state);
    let took = started.elapsed();
    metrics::loaded(name, took, memory_bytes);
    metrics::resident(resident);
    tracing::info!(model = %name, pid = runner.pid, memory_bytes, seconds = took.as_secs_f64(), "model is ready");
    task.progress.send_replace(LoadProgress::Ready);
    (runner, process)
}

/// Records a failed load and tells everyone who waits for it.
fn refuse(shared: &Arc<Shared>, task: LoadTask, mut error: RunnerError) {
    let mut state = shared.state();
    if let Some(slot) = state.slots.get_mut(&task.model.name)
        && matches!(&slot.phase, Phase::Loading(loading) if loading.id == task.id)
    {
        slot.phase = Phase::Absent;
        // No room, or our own wish: neither says that the model is bad.
        if matches!(error.kind, RunnerErrorKind::Load { .. }) {
            let policy = &shared.options.restart;
            let wait = slot
                .history
                .load_failed(&task.model, &error, policy, Instant::now());
            error.kind = RunnerErrorKind::Load {
                retry_after: Some(wait),
            };
            metrics::load_failed(&task.model.name);
            tracing::warn!(model = %task.model.name, retry_after_ms = wait.as_millis() as u64, %error, "model could not be loaded");
        }
    }
    drop(state);
    task.progress.send_replace(LoadProgress::Failed(error));
    shared.ended.notify_waiters();
}

/// Watches a ready runner until it dies, hangs, is told to end, or was unused for long enough.
async fn keep(
    shared: Weak<Shared>,
    runner: Arc<Runner>,
    mut process: RunnerProcess,
    policy: HealthPolicy,
) {
    let mut stop = runner.stop.subscribe();
    let hung = health::until_hung(&runner, &policy);
    tokio::pin!(hung);
    let verdict = loop {
        let expires = runner.expires();
        let expiry = async {
            match expires {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            how = process.ended() => {
                drop(process);
                died(&shared, &runner, how);
                return;
            }
            how = &mut hung => break Err(how),
            told = stop.wait_for(Option::is_some) => {
                break Ok(told.map_or(Duration::ZERO, |deadline| deadline.unwrap_or_default()));
            }
            () = runner.idle_changed.notified() => {}
            () = expiry => {
                let Some(shared) = shared.upgrade() else { break Ok(Duration::ZERO) };
                let mut state = shared.state();
                // Looked at again under the lock, where nobody can start to use it.
                if runner.expires().is_some_and(|at| at <= Instant::now()) {
                    tracing::info!(model = %runner.model.name, "unloading an unused model");
                    state.retire(&runner, Duration::ZERO);
                }
            }
        }
    };
    match verdict {
        Ok(deadline) => {
            process.stop(Some(runner.client.clone()), deadline).await;
            left(&shared, &runner, Ended::Stopped);
        }
        Err(how) => {
            process.kill().await;
            died(&shared, &runner, how);
        }
    }
}

/// A runner died on its own.
fn died(shared: &Weak<Shared>, runner: &Arc<Runner>, how: String) {
    tracing::error!(model = %runner.model.name, pid = runner.pid, "the runner {how}");
    metrics::crashed(&runner.model.name);
    if let Some(shared) = shared.upgrade() {
        let mut state = shared.state();
        if let Some(slot) = state.slots.get_mut(&runner.model.name)
            && matches!(&slot.phase, Phase::Ready(ready) if ready.id == runner.id)
        {
            slot.phase = Phase::Absent;
            let error = RunnerError::new(
                RunnerErrorKind::Crashed,
                format!("the runner of {} {how}", runner.model.name),
            );
            slot.history
                .crashed(runner, error, &shared.options.restart, Instant::now());
        }
    }
    left(shared, runner, Ended::Crashed(how));
}

/// A runner's process is gone: its memory is free, and whoever waits for that is woken.
fn left(shared: &Weak<Shared>, runner: &Arc<Runner>, how: Ended) {
    runner.memory_bytes.store(0, Ordering::Relaxed);
    let shared = shared.upgrade();
    let mut replaced = false;
    if let Some(shared) = &shared {
        let mut state = shared.state();
        state.leaving.remove(&runner.id);
        replaced = state
            .slots
            .get(&runner.model.name)
            .is_some_and(|slot| matches!(slot.phase, Phase::Ready(_)));
        metrics::resident(state.ready_count());
    }
    if !replaced {
        metrics::gone(&runner.model.name);
    }
    // After the table: whoever hears of the end and asks again must find a free slot.
    runner.ended.send_replace(Some(how));
    if let Some(shared) = &shared {
        shared.ended.notify_waiters();
    }
}
