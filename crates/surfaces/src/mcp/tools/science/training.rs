//! Trainings. A call waits for its end and tells how far it is; ending the call ends the training, which keeps what it learnt.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::science::{
    BenchmarkRequest, DataSet, ModelConfig, Training, TrainingOptions, TrainingReport,
    TrainingState,
};
use service::{Action, Error, ErrorKind, Identity, Service};

use crate::mcp::declaration::{Call, Facts, Tool};
use crate::science::convert;
use crate::science::types::{ModelReply, TrainBody};

/// How a training went, and the model after it.
#[derive(Debug, Serialize, JsonSchema)]
struct Trained {
    /// The training.
    report: TrainingReport,
    /// The model, with its new digest.
    model: ModelReply,
}

/// A model to try on a data set and throw away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BenchmarkArguments {
    /// What to make.
    config: ModelConfig,
    /// The seed of its starting point; random when absent.
    seed: Option<u64>,
    /// The data set: `glitchy-chirp` when absent.
    data: Option<String>,
    /// How to train.
    #[serde(default)]
    options: TrainingOptions,
}

/// How a benchmark went.
#[derive(Debug, Serialize, JsonSchema)]
struct Benchmarked {
    /// The training.
    report: TrainingReport,
    /// Trained parameters of the model.
    parameter_count: usize,
    /// The seed that was used.
    seed: u64,
    /// The device that computed.
    device: String,
}

/// `train_science_model`
pub fn train() -> Tool {
    let facts = Facts {
        name: "train_science_model",
        title: "Train a science model",
        description: "Trains a physics model on a named data set (`glitchy-chirp`, `travelling-chirp`) or on given columns and \
                      targets, and keeps the best parameters. Waits for the end and tells the progress.",
        action: Action::ManageScience,
        read_only: false,
        long: true,
    };
    Tool::new(facts, |call: Call, body: TrainBody| async move {
        let request = convert::training_request(body)?;
        let (service, identity) = (&call.app.service, &call.identity);
        let mut training = service.science_train(identity, request).await?;
        let ends = EndOnDrop {
            service: Arc::clone(service),
            identity: identity.clone(),
            id: Some(training.id.clone()),
        };
        let report = loop {
            match training.state {
                TrainingState::Done(report) => break *report,
                TrainingState::Failed(error) => return Err(error),
                TrainingState::Cancelled => {
                    return Err(Error::new(
                        ErrorKind::Cancelled,
                        "The training was cancelled before it began.",
                    ));
                }
                TrainingState::Queued | TrainingState::Running(_) => {}
            }
            training = service.science_training_change(identity, &training).await?;
            tell(&call, &training).await;
        };
        ends.over();
        let record = service.science_model(identity, &training.model).await?;
        Ok(Trained {
            report,
            model: convert::model_reply(record),
        })
    })
}

async fn tell(call: &Call, training: &Training) {
    if let TrainingState::Running(Some(progress)) = &training.state
        && call.reporter.wants_progress()
    {
        let message = format!("epoch {}, loss {:.3e}", progress.epochs_done, progress.loss);
        let (done, total) = (progress.epochs_done as f64, progress.epochs as f64);
        call.reporter
            .progress(done, Some(total), Some(&message))
            .await;
    }
}

/// Asks the training of a call that ended early to end too.
struct EndOnDrop {
    service: Arc<Service>,
    identity: Identity,
    id: Option<String>,
}

impl EndOnDrop {
    /// The training ended by itself.
    fn over(mut self) {
        self.id = None;
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (service, identity) = (Arc::clone(&self.service), self.identity.clone());
        tokio::spawn(async move {
            if let Err(error) = service.science_cancel(&identity, &id).await {
                tracing::debug!(%error, "a training whose caller left had ended");
            }
        });
    }
}

/// `benchmark_science_model`
pub fn benchmark() -> Tool {
    let facts = Facts {
        name: "benchmark_science_model",
        title: "Try a science model",
        description: "Makes a physics model, trains it on a named data set, says how well it did, and throws it away.",
        action: Action::RunScience,
        read_only: true,
        long: true,
    };
    Tool::new(
        facts,
        |call: Call, arguments: BenchmarkArguments| async move {
            let data = match arguments.data {
                None => DataSet::GlitchyChirp,
                Some(name) => DataSet::parse(&name)
                    .map_err(|error| Error::invalid("data", format!("could not {error}")))?,
            };
            let request = BenchmarkRequest {
                config: arguments.config,
                seed: arguments.seed,
                data,
                options: arguments.options,
            };
            let done = call
                .app
                .service
                .science_benchmark(&call.identity, request)
                .await?;
            Ok::<_, Error>(Benchmarked {
                report: done.report,
                parameter_count: done.parameter_count,
                seed: done.seed,
                device: done.device.name().to_owned(),
            })
        },
    )
}
