//! What callers hand over and get back.

use physics::ModelConfig;
use physics::device::Device;
use physics::model::Precision;
use physics::strings::coupling::Field;
use physics::strings::spectra::{Circle, ClosedState, OpenBosonic};
use physics::training::{Data, DataSet, Progress, TrainingOptions, TrainingReport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest name of a model.
pub const NAME_BYTES_MAX: usize = 64;
/// The most models of one tenant.
pub const MODELS_MAX: usize = 256;
/// The most values that a served model may have: 32 MB. Larger ones are for programs of their own.
pub const VALUES_MAX: usize = 1 << 22;
/// The most points of one inference: an answer of some 1.3 MB per output column.
pub const POINTS_MAX: usize = 1 << 16;
/// The most products of points and values in one inference: some seconds of one processor core.
pub const INFERENCE_WORK_MAX: u64 = 1 << 35;
/// The most modes of a served spectrum.
pub const SPECTRUM_MODES_MAX: usize = 100_000;
/// The most states of a served closed spectrum.
pub const CLOSED_STATES_MAX: usize = 10_000;
/// The most terms, modes times points, of a served field: a tenth of a second.
pub const FIELD_TERMS_MAX: usize = 1 << 22;
/// The longest text that is lifted.
pub const INSIGHT_CHARACTERS_MAX: usize = 1 << 16;
/// The most epochs of a training, restarts included.
pub const EPOCHS_MAX: usize = 100_000;
/// The most products of epochs, rows and values in one training: some hours of one processor core.
pub const TRAINING_WORK_MAX: u64 = 10_000_000_000_000;

/// The same for a benchmark, whose caller waits for it: about a minute.
pub const BENCHMARK_WORK_MAX: u64 = 100_000_000_000;

/// What is known of a model without its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScienceRecord {
    /// Its name, unique within the tenant.
    pub name: String,
    /// What it was made from.
    pub config: ModelConfig,
    /// The seed of its starting point.
    pub seed: u64,
    /// SHA-256 of its file, hexadecimal. Equal digests mean equal results.
    pub digest: String,
    /// Trained parameters.
    pub parameter_count: usize,
    /// The names of its inputs, in the order of a row.
    pub inputs: Vec<String>,
    /// Output columns.
    pub outputs: usize,
    /// When it was made, seconds since 1970.
    pub created_unix: u64,
    /// When its parameters last changed.
    pub updated_unix: u64,
    /// Its last training, when there was one.
    pub training: Option<TrainingSummary>,
}

/// The last training of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrainingSummary {
    /// The data: the name of a set, or `given` with the digest of the rows.
    pub data: String,
    /// How it was trained.
    pub options: TrainingOptions,
    /// Mean squared error before.
    pub initial_loss: f64,
    /// Mean squared error after.
    pub final_loss: f64,
    /// Losses every tenth of the epochs.
    #[serde(default)]
    pub losses: Vec<f64>,
    /// Epochs that were done, those of restarts not included.
    pub epochs: usize,
    /// `finished`, `stopped` (no improvement any more) or `cancelled`.
    pub ending: String,
    /// The device that computed.
    pub device: Device,
}

/// A model to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewScienceModel {
    /// Its name.
    pub name: String,
    /// What to make it from.
    pub config: ModelConfig,
    /// The seed; absent: a random one, which the record shows.
    pub seed: Option<u64>,
}

/// What to train on.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingRows {
    /// A data set that comes with Fornax.
    Named(DataSet),
    /// The caller's own columns and targets.
    Given(Data),
}

/// A training to begin.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainRequest {
    /// The model's name.
    pub model: String,
    /// What to train on.
    pub data: TrainingRows,
    /// How.
    pub options: TrainingOptions,
}

/// Where a training is.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingState {
    /// It waits for others to end.
    Queued,
    /// It runs; nothing is known before the first epoch ended.
    Running(Option<Progress>),
    /// It ended, and the model has the best parameters that were found. A cancelled training that had begun ends like this.
    Done(Box<TrainingReport>),
    /// It was cancelled before it began.
    Cancelled,
    /// It failed; the model is as it was.
    Failed(Error),
}

impl TrainingState {
    /// Whether nothing will change any more.
    pub fn is_over(&self) -> bool {
        !matches!(self, TrainingState::Queued | TrainingState::Running(_))
    }

    /// `queued`, `running`, `done`, `cancelled` or `failed`.
    pub fn name(&self) -> &'static str {
        match self {
            TrainingState::Queued => "queued",
            TrainingState::Running(_) => "running",
            TrainingState::Done(_) => "done",
            TrainingState::Cancelled => "cancelled",
            TrainingState::Failed(_) => "failed",
        }
    }
}

/// A training as its owner sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// 128 random bits, hexadecimal.
    pub id: String,
    /// The model's name.
    pub model: String,
    /// When it was asked for, seconds since 1970.
    pub created_unix: u64,
    /// Where it is.
    pub state: TrainingState,
}

/// The points of an inference.
#[derive(Debug, Clone, PartialEq)]
pub enum Points {
    /// Columns by the model's input names, all equally long or of length one. One that is left out is 0.
    Columns(Vec<(String, Vec<f64>)>),
    /// Rows, each in the order of the model's inputs.
    Rows(Vec<Vec<f64>>),
}

/// A model to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct InferRequest {
    /// The model's name.
    pub model: String,
    /// Where.
    pub points: Points,
    /// How exactly.
    pub precision: Precision,
    /// Neither take the result from the cache nor put it there.
    pub fresh: bool,
}

/// What a model gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    /// Row by row.
    pub values: Vec<f64>,
    /// Rows; for every model but a single wave, columns.
    pub shape: Vec<usize>,
    /// The device that computed.
    pub device: Device,
    /// The model's digest.
    pub digest: String,
    /// Whether the result was kept from an equal call.
    #[serde(skip)]
    pub cached: bool,
}

/// Which spectrum.
#[derive(Debug, Clone, PartialEq)]
pub enum SpectrumRequest {
    /// `n / (2 length)` for the modes 1 to `modes`, whatever the dimensions: the compatible one.
    Linear {
        /// How many.
        modes: usize,
        /// The dimensions, which are only echoed.
        dimensions: usize,
        /// The string's length.
        length: f64,
    },
    /// The open bosonic string's levels in so many dimensions.
    OpenBosonic {
        /// How many.
        levels: usize,
        /// The dimensions of space and time.
        dimensions: usize,
    },
    /// The closed bosonic string with one dimension on a circle.
    ClosedOnCircle(Circle),
}

/// A spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spectrum {
    /// Energies of the modes, ascending.
    Linear(Vec<f64>),
    /// Levels with masses and numbers of states.
    OpenBosonic(OpenBosonic),
    /// States, lightest first.
    ClosedOnCircle(Vec<ClosedState>),
}

/// A lifted text.
#[derive(Debug, Clone, PartialEq)]
pub struct Lifted {
    /// SHA-256 of the text's UTF-8, hexadecimal.
    pub id: String,
    /// One standardised value per character.
    pub vector: Vec<f64>,
    /// The unit vector of the dimensions that were asked for.
    pub folded: Option<Vec<f32>>,
}

/// One call of the unified inference.
#[derive(Debug, Clone, PartialEq)]
pub struct UnifiedRequest {
    /// The text to lift; may be empty.
    pub insight: String,
    /// Coordinates for the coupling and for the wave model.
    pub coordinates: Vec<f64>,
    /// The modes of the string.
    pub modes: Vec<i64>,
    /// The time at which the wave model is evaluated.
    pub time: f64,
    /// A wave, ensemble or interference model to evaluate at the coordinates.
    pub wave_model: Option<String>,
    /// A string theory network to evaluate on coordinates, modes and insight together.
    pub network: Option<String>,
    /// The first and the last position of the requested field.
    pub range: (f64, f64),
    /// Points of the requested field.
    pub points: usize,
    /// Neither take the result from the cache nor put it there.
    pub fresh: bool,
}

impl Default for UnifiedRequest {
    /// The compatible defaults.
    fn default() -> Self {
        UnifiedRequest {
            insight: String::new(),
            coordinates: vec![0.5],
            modes: vec![1, 2, 3],
            time: 0.0,
            wave_model: None,
            network: None,
            range: (0.0, 1.0),
            points: 100,
            fresh: false,
        }
    }
}

/// The answer of the unified inference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unified {
    /// The sum of the modes' energies times the mean absolute coordinate.
    pub coupled_amplitude: f64,
    /// The compatible field: modes 1, 2 and 3 over the whole string at 100 points, whatever was asked.
    pub unified_field: Field,
    /// The field that was asked for; absent when no mode was given, since a field of no mode is none.
    pub requested_field: Option<Field>,
    /// The lifted insight, one value per character; empty for an empty text.
    pub insight_vector: Vec<f64>,
    /// What the wave model gave.
    pub wave: Option<ModelOutput>,
    /// What the network gave.
    pub network: Option<ModelOutput>,
    /// The device of the last model that computed; without one, the processor.
    pub device: Device,
    /// Whether the result was kept from an equal call.
    #[serde(skip)]
    pub cached: bool,
}

/// What one model of a unified inference was given and gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelOutput {
    /// The model's name.
    pub model: String,
    /// Its digest.
    pub digest: String,
    /// The rows that it was given, one after another.
    pub rows: Vec<f64>,
    /// Its outputs.
    pub values: Vec<f64>,
}

/// A benchmark: a fresh model trained on the published chirp, and thrown away.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkRequest {
    /// What to make.
    pub config: ModelConfig,
    /// The seed; absent: a random one.
    pub seed: Option<u64>,
    /// What to train on.
    pub data: DataSet,
    /// How.
    pub options: TrainingOptions,
}

/// How a benchmark went.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    /// The training.
    pub report: TrainingReport,
    /// Trained parameters of the model.
    pub parameter_count: usize,
    /// The seed that was used.
    pub seed: u64,
    /// The device that computed.
    pub device: Device,
}
