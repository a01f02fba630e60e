//! Trainings: begun, followed, cancelled; and benchmarks, which are trainings of a model that is thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use physics::ScienceModel;
use physics::device::{Compute, Device};
use physics::training::{Data, Observer, Progress, TrainingOptions, TrainingReport};
use security::{Action, Identity};
use tokio::sync::watch;

use super::failures::from_physics;
use super::tasks::Task;
use super::types::{
    BENCHMARK_WORK_MAX, Benchmark, BenchmarkRequest, EPOCHS_MAX, ScienceRecord, TRAINING_WORK_MAX,
    TrainRequest, Training, TrainingRows, TrainingState, TrainingSummary, VALUES_MAX,
};
use super::{opened, store};
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::generation::InFlight;
use crate::identifiers;
use crate::service::Service;

/// Passes progress to whoever watches.
struct Watched<'a>(&'a watch::Sender<TrainingState>);

impl Observer for Watched<'_> {
    fn progress(&mut self, progress: &Progress) {
        self.0
            .send_replace(TrainingState::Running(Some(progress.clone())));
    }
}

impl Service {
    /// Begins to train a model. It goes on in the background; [`Service::science_training`] says where it is. When it ends,
    /// also by [`Service::science_cancel`] or the end of the server, the model has the best parameters that were found.
    ///
    /// # Errors
    /// `NotFound`, `InvalidRequest` for options or data that do not fit or ask for too much, `Conflict` when the model is
    /// being trained already, `Overloaded` when too many trainings wait.
    pub async fn science_train(
        &self,
        identity: &Identity,
        request: TrainRequest,
    ) -> Result<Training> {
        self.authorize(Some(identity), Action::ManageScience)?;
        let guard = self.enter()?;
        let (record, model) = self.find_science(identity, &request.model).await?;
        let (data, named) = rows_of(request.data, &model)?;
        check_cost(
            &request.options,
            data.rows(),
            record.parameter_count,
            TRAINING_WORK_MAX,
        )?;
        let task = self.science.tasks.add(Task {
            id: identifiers::task()?,
            tenant: identity.tenant.clone(),
            model: record.name.clone(),
            created_unix: self.clock.unix().as_secs(),
            cancelled: AtomicBool::new(false),
            state: watch::Sender::new(TrainingState::Queued),
        })?;
        // A drain that began after the entry has cancelled all trainings but this one.
        if self.is_draining() {
            task.cancelled.store(true, Ordering::SeqCst);
        }
        let course = Course {
            task: Arc::clone(&task),
            record,
            model: (*model).clone(),
            data,
            named,
            options: request.options,
        };
        tokio::spawn(self.run_training(course, guard));
        Ok(task.view())
    }

    /// Everything of a training after its beginning, as a future that borrows nothing.
    fn run_training(
        &self,
        course: Course,
        guard: InFlight,
    ) -> impl Future<Output = ()> + Send + 'static {
        let running = Arc::clone(&self.science.tasks.running);
        let (store, compute) = (
            Arc::clone(&self.science.store),
            Arc::clone(&self.science.compute),
        );
        let (device, clock) = (self.science.device, self.clock.clone());
        let mut signals = self.science_record("science_training", &course.task.tenant);
        async move {
            let _guard = guard;
            let task = Arc::clone(&course.task);
            let waited = running.acquire_owned().await;
            if task.is_cancelled() || waited.is_err() {
                task.state.send_replace(TrainingState::Cancelled);
                return;
            }
            task.state.send_replace(TrainingState::Running(None));
            let work = move || {
                let (compute, _) = opened(&compute, device);
                course.run(compute, &store, clock.unix().as_secs())
            };
            let outcome = match tokio::task::spawn_blocking(work).await {
                Ok(outcome) => outcome,
                Err(panicked) => Err(failures::internal(format!("the training died: {panicked}"))),
            };
            let state = match outcome {
                Ok(report) => {
                    signals.succeeded();
                    TrainingState::Done(Box::new(report))
                }
                Err(error) => {
                    tracing::warn!(model = task.model, %error, "a training failed");
                    TrainingState::Failed(signals.failed(error))
                }
            };
            task.state.send_replace(state);
        }
    }

    /// Where a training is.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn science_training(&self, identity: &Identity, id: &str) -> Result<Training> {
        self.authorize(Some(identity), Action::ListScience)?;
        Ok(self.science.tasks.find(&identity.tenant, id)?.view())
    }

    /// Waits until a training changed or ended, and says where it is then.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn science_training_change(
        &self,
        identity: &Identity,
        seen: &Training,
    ) -> Result<Training> {
        self.authorize(Some(identity), Action::ListScience)?;
        let task = self.science.tasks.find(&identity.tenant, &seen.id)?;
        let mut state = task.state.subscribe();
        // The task holds the sender, so that this only ends with a change.
        drop(
            state
                .wait_for(|state| state.is_over() || *state != seen.state)
                .await,
        );
        Ok(task.view())
    }

    /// The trainings of the caller's tenant, the newest first.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn science_trainings(&self, identity: &Identity) -> Result<Vec<Training>> {
        self.authorize(Some(identity), Action::ListScience)?;
        Ok(self.science.tasks.list(&identity.tenant))
    }

    /// Asks a training to end. One that runs ends before its next step and keeps what it has learnt.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it ended already.
    pub async fn science_cancel(&self, identity: &Identity, id: &str) -> Result<Training> {
        self.authorize(Some(identity), Action::ManageScience)?;
        let task = self.science.tasks.find(&identity.tenant, id)?;
        if task.state.borrow().is_over() {
            return Err(Error::new(
                ErrorKind::Conflict,
                "This training has ended already.",
            ));
        }
        task.cancelled.store(true, Ordering::SeqCst);
        Ok(task.view())
    }

    /// Makes a model, trains it, and throws it away. Dropping the future ends the training.
    ///
    /// # Errors
    /// `InvalidRequest` for sizes or options out of bounds.
    pub async fn science_benchmark(
        &self,
        identity: &Identity,
        request: BenchmarkRequest,
    ) -> Result<Benchmark> {
        self.authorize(Some(identity), Action::RunScience)?;
        let mut record = self.science_record("science_benchmark", &identity.tenant);
        let outcome = self.benchmark(request).await;
        match outcome {
            Ok(benchmark) => {
                record.succeeded();
                Ok(benchmark)
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    async fn benchmark(&self, request: BenchmarkRequest) -> Result<Benchmark> {
        let guard = self.enter()?;
        let BenchmarkRequest {
            config,
            seed,
            data,
            options,
        } = request;
        let values = config.value_count().map_err(from_physics)?;
        check_values(values)?;
        let data = data.generate();
        check_cost(&options, data.rows(), values, BENCHMARK_WORK_MAX)?;
        let seed = seed.map_or_else(identifiers::seed, Ok)?;
        let turns = Arc::clone(&self.science.benchmarks);
        let permit = turns.acquire_owned().await.map_err(failures::internal)?;
        let compute = Arc::clone(&self.science.compute);
        let device = self.science.device;
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&cancelled);
        let ends = CancelOnDrop(cancelled);
        let work = move || {
            let _held = (permit, guard);
            let (compute, _) = opened(&compute, device);
            let mut model = ScienceModel::create(config, seed).map_err(from_physics)?;
            let mut silent = physics::training::Silent;
            let (report, device) = model
                .train(compute, &data, &options, &seen, &mut silent, None)
                .map_err(from_physics)?;
            Ok(Benchmark {
                report,
                parameter_count: model.parameter_count(),
                seed,
                device,
            })
        };
        let outcome = tokio::task::spawn_blocking(work).await;
        drop(ends);
        outcome.map_err(failures::internal)?
    }
}

/// Ends the work of a caller that left.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Everything of one training.
struct Course {
    task: Arc<Task>,
    record: ScienceRecord,
    model: ScienceModel,
    data: Data,
    named: String,
    options: TrainingOptions,
}

impl Course {
    /// Trains and saves. Blocks for as long as that takes.
    fn run(mut self, compute: &Compute, store: &store::Store, now: u64) -> Result<TrainingReport> {
        let (report, device): (TrainingReport, Device) = self
            .model
            .train(
                compute,
                &self.data,
                &self.options,
                &self.task.cancelled,
                &mut Watched(&self.task.state),
                None,
            )
            .map_err(from_physics)?;
        let ending = serde_json::to_value(report.ending).unwrap_or_default();
        let record = ScienceRecord {
            seed: self.model.seed(),
            digest: self.model.digest(),
            updated_unix: now,
            training: Some(TrainingSummary {
                data: self.named,
                options: self.options,
                initial_loss: report.initial_loss,
                final_loss: report.final_loss,
                losses: report.losses.clone(),
                epochs: report.epochs,
                ending: ending.as_str().unwrap_or_default().to_owned(),
                device,
            }),
            ..self.record.clone()
        };
        let model = Arc::new(self.model);
        store.replace(&self.task.tenant, &record, model, &self.record.digest)?;
        Ok(report)
    }
}

/// The rows of a request with the name under which the record shows them.
fn rows_of(rows: TrainingRows, model: &ScienceModel) -> Result<(Data, String)> {
    let (data, named) = match rows {
        TrainingRows::Named(set) => (set.generate(), set.name().to_owned()),
        TrainingRows::Given(data) => {
            let mut bytes = Vec::new();
            for value in data.columns().iter().flatten().chain(data.targets()) {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            let digest = platform::files::sha256_bytes(&bytes);
            (data, format!("given:{digest}"))
        }
    };
    let (found, expected) = (data.columns().len(), model.inputs());
    if found != expected {
        return Err(Error::invalid(
            "data",
            format!(
                "The data '{named}' have {found} input columns; this model takes {expected}: {}.",
                model.input_names().join(", ")
            ),
        ));
    }
    Ok((data, named))
}

/// Refuses models that are too large to serve.
pub(super) fn check_values(values: usize) -> Result<()> {
    if values <= VALUES_MAX {
        return Ok(());
    }
    Err(Error::invalid(
        "config",
        format!("The model would have {values} values; at most {VALUES_MAX} are served."),
    ))
}

/// Refuses trainings that would take days.
fn check_cost(options: &TrainingOptions, rows: usize, values: usize, work_max: u64) -> Result<()> {
    options.check().map_err(from_physics)?;
    let restarts = options
        .restarts
        .map_or(0, |one| one.count.saturating_mul(one.epochs));
    let epochs = options.epochs.saturating_add(restarts);
    if epochs > EPOCHS_MAX {
        return Err(Error::invalid(
            "epochs",
            format!("At most {EPOCHS_MAX} epochs are allowed, those of restarts included."),
        ));
    }
    let work = (epochs as u64)
        .saturating_mul(rows as u64)
        .saturating_mul(values as u64);
    if work > work_max {
        return Err(Error::invalid(
            "epochs",
            format!(
                "{epochs} epochs of {rows} rows through {values} values are more work than one call may ask for."
            ),
        ));
    }
    Ok(())
}
