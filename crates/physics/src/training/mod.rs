//! Training by gradients: mini-batches, Adam, clipping, schedules, restarts, early stop, checkpoints, progress and cancel.
//!
//! The order of the rows in an epoch depends on the seed and the epoch alone, so a training resumed from a [`Checkpoint`] takes
//! the very steps that the uninterrupted one takes.

pub mod adam;
pub mod data;
mod fit;
mod run;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use adam::{Adam, AdamOptions};
pub use data::{Data, DataSet};
pub use fit::Trainable;
pub use run::{Observer, Silent, train};

use crate::error::{PhysicsError, check_count, check_positive};

/// The most epochs of one training.
pub const EPOCHS_MAX: usize = 10_000_000;
/// The most restarts of one training.
pub const RESTARTS_MAX: usize = 1_000;
/// About how many losses a report lists, evenly spaced over the epochs.
const LOSSES: usize = 10;

/// How the learning rate changes over the epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls along half a cosine to `floor` times itself (Loshchilov and Hutter, ICLR 2017, without its restarts).
    Cosine {
        /// The share that is left at the end, 0 to 1.
        floor: f64,
    },
}

/// When to stop before the last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Epochs without an improvement that are waited for.
    pub patience: usize,
    /// How much less the loss must be to count as an improvement.
    pub improvement_min: f64,
}

/// Other starting points to try before the training proper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Restarts {
    /// How many fresh models are tried, each from a seed derived from the training's.
    pub count: usize,
    /// Epochs that each is given; the best one goes on with the training proper.
    pub epochs: usize,
}

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TrainingOptions {
    /// Passes over the data.
    pub epochs: usize,
    /// The size of a step.
    pub learning_rate: f64,
    /// Adam's constants.
    pub adam: AdamOptions,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Rows per step; all of them when absent.
    pub batch_rows: Option<usize>,
    /// The largest norm of a gradient; longer ones are shortened to it.
    pub gradient_norm_max: Option<f64>,
    /// When to stop early.
    pub early_stop: Option<EarlyStop>,
    /// Epochs between checkpoints.
    pub checkpoint_epochs: Option<usize>,
    /// Other starting points. They need a model that can be made again from a seed.
    pub restarts: Option<Restarts>,
    /// What shuffles and restarts are drawn from.
    pub seed: u64,
}

impl Default for TrainingOptions {
    /// The compatible benchmark's: 100 epochs of all rows at a rate of 0.01.
    fn default() -> Self {
        TrainingOptions {
            epochs: 100,
            learning_rate: 1e-2,
            adam: AdamOptions::default(),
            schedule: Schedule::Constant,
            batch_rows: None,
            gradient_norm_max: None,
            early_stop: None,
            checkpoint_epochs: None,
            restarts: None,
            seed: 0,
        }
    }
}

impl TrainingOptions {
    /// What brings an ensemble of eight waves below the published loss on the travelling chirp: many starting points, a high
    /// rate that falls along a cosine, and clipping against the rare long gradient.
    pub fn thorough() -> Self {
        TrainingOptions {
            epochs: 4_000,
            learning_rate: 5e-2,
            schedule: Schedule::Cosine { floor: 0.01 },
            gradient_norm_max: Some(1.0),
            restarts: Some(Restarts {
                count: 16,
                epochs: 250,
            }),
            ..TrainingOptions::default()
        }
    }

    /// Checks every option.
    ///
    /// # Errors
    /// [`PhysicsError::Count`] or [`PhysicsError::OutOfRange`] naming the option.
    pub fn check(&self) -> Result<(), PhysicsError> {
        check_count("epochs", self.epochs, 1, EPOCHS_MAX)?;
        check_positive("learning_rate", self.learning_rate)?;
        check_positive("epsilon", self.adam.epsilon)?;
        for (field, value) in [("beta1", self.adam.beta1), ("beta2", self.adam.beta2)] {
            check_share(field, value, value < 1.0)?;
        }
        if let Schedule::Cosine { floor } = self.schedule {
            check_share("floor", floor, true)?;
        }
        if let Some(rows) = self.batch_rows {
            check_count("batch_rows", rows, 1, data::ROWS_MAX)?;
        }
        if let Some(norm) = self.gradient_norm_max {
            check_positive("gradient_norm_max", norm)?;
        }
        if let Some(stop) = self.early_stop {
            check_count("patience", stop.patience, 1, EPOCHS_MAX)?;
            if !stop.improvement_min.is_finite() || stop.improvement_min < 0.0 {
                return Err(PhysicsError::OutOfRange {
                    field: "improvement_min".to_owned(),
                    value: stop.improvement_min,
                    requirement: "a finite number not below 0",
                });
            }
        }
        if let Some(epochs) = self.checkpoint_epochs {
            check_count("checkpoint_epochs", epochs, 1, EPOCHS_MAX)?;
        }
        if let Some(restarts) = self.restarts {
            check_count("restarts", restarts.count, 1, RESTARTS_MAX)?;
            check_count("restart epochs", restarts.epochs, 1, EPOCHS_MAX)?;
        }
        Ok(())
    }

    /// The learning rate of one epoch.
    fn rate(&self, epoch: usize) -> f64 {
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine { floor } => {
                let done = epoch as f64 / self.epochs as f64;
                let share = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
                self.learning_rate * (floor + (1.0 - floor) * share)
            }
        }
    }
}

fn check_share(field: &str, value: f64, more: bool) -> Result<(), PhysicsError> {
    if (0.0..=1.0).contains(&value) && more {
        return Ok(());
    }
    Err(PhysicsError::OutOfRange {
        field: field.to_owned(),
        value,
        requirement: "from 0 to 1, a decay below 1",
    })
}

/// Where a training is, after each epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// Epochs done, those of restarts included.
    pub epochs_done: usize,
    /// Epochs in all, those of restarts included.
    pub epochs: usize,
    /// The mean squared error of the epoch's batches, each before its step.
    pub loss: f64,
    /// The rate of the epoch.
    pub learning_rate: f64,
    /// The norm of the epoch's last gradient, before it was shortened.
    pub gradient_norm: f64,
}

/// All that a training needs to go on where it stopped, once restarts are over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Epochs done.
    pub epoch: usize,
    /// The model's parameters.
    pub parameters: Vec<f64>,
    /// What batches change beside the parameters.
    pub statistics: Vec<f32>,
    /// The optimiser.
    pub adam: Adam,
    /// The loss before the first epoch.
    pub initial_loss: f64,
    /// The losses listed so far.
    pub losses: Vec<f64>,
    /// The best epoch's loss, parameters and statistics.
    pub best: (f64, Vec<f64>, Vec<f32>),
    /// Epochs since the loss improved.
    pub waited: usize,
}

/// Why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All epochs were done.
    Finished,
    /// The loss stopped improving.
    Stopped,
    /// The caller cancelled; the model holds the best parameters so far.
    Cancelled,
}

/// How a training went. The model holds the best parameters seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrainingReport {
    /// The mean squared error on all rows before the training.
    pub initial_loss: f64,
    /// The same after it, evaluated as at inference.
    pub final_loss: f64,
    /// Losses every tenth of the epochs.
    pub losses: Vec<f64>,
    /// Epochs of the training proper that were done.
    pub epochs: usize,
    /// Steps of the optimiser in them.
    pub steps: u64,
    /// The seed of the starting point that won, when restarts were asked for.
    pub restart_seed: Option<u64>,
    /// Why it ended.
    pub ending: Ending,
    /// The seed of the training.
    pub seed: u64,
}
