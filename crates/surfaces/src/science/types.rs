//! Wire shapes of the science models and of the cache.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::science::{
    Field, ModelConfig, Precision, TrainingOptions, TrainingProgress, TrainingReport,
    TrainingSummary,
};

/// A model to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    /// Its name: up to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// `{"type": "wave" | "ensemble" | …, …}`.
    pub config: ModelConfig,
    /// What its starting point is drawn from; random, and told, when absent.
    pub seed: Option<u64>,
}

/// A model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelReply {
    pub name: String,
    pub config: ModelConfig,
    pub seed: u64,
    pub digest: String,
    pub parameter_count: usize,
    pub inputs: Vec<String>,
    pub outputs: usize,
    pub created_unix: u64,
    pub updated_unix: u64,
    pub training: Option<TrainingSummary>,
}

/// All models.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelsReply {
    pub models: Vec<ModelReply>,
}

/// One parameter.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ParameterReply {
    pub name: String,
    pub shape: Vec<usize>,
    pub trained: bool,
    pub values: Vec<f64>,
}

/// All parameters of a model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ParametersReply {
    pub model: String,
    pub digest: String,
    pub parameter_count: usize,
    pub parameters: Vec<ParameterReply>,
}

/// Points: columns by name, or rows in the model's order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InferBody {
    /// Name of the model.
    pub model: String,
    /// Columns by the names of its inputs; one that is left out is 0. Give this or `rows`.
    pub inputs: Option<BTreeMap<String, Vec<f64>>>,
    /// Rows in the order of its inputs. Give this or `inputs`.
    pub rows: Option<Vec<Vec<f64>>>,
    /// `single` (f32) or `double` (f64).
    #[serde(default)]
    pub precision: Precision,
}

/// What a model gave: values row by row, and their shape.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InferReply {
    pub model: String,
    pub digest: String,
    pub values: Vec<f64>,
    pub shape: Vec<usize>,
    pub device: &'static str,
    pub cached: bool,
}

/// A training to begin: `data` is the name of a data set, or columns with targets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainBody {
    /// Name of the model.
    pub model: String,
    /// `glitchy-chirp`, `travelling-chirp`, or columns and targets.
    pub data: DataBody,
    /// How to train.
    #[serde(default)]
    pub options: TrainingOptions,
}

/// What to train on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DataBody {
    /// `glitchy-chirp`, `travelling-chirp`, …
    Named(String),
    /// The caller's own.
    Given(GivenData),
}

/// Columns in the order of the model's inputs, and one target per row.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenData {
    pub columns: Vec<Vec<f32>>,
    pub targets: Vec<f32>,
}

/// Where a training is.
#[derive(Debug, Serialize)]
pub struct TrainingReply {
    pub id: String,
    pub model: String,
    pub created_unix: u64,
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<TrainingProgress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<TrainingReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// All trainings.
#[derive(Debug, Serialize)]
pub struct TrainingsReply {
    pub trainings: Vec<TrainingReply>,
}

/// Which spectrum.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SpectrumBody {
    Linear {
        #[serde(default = "ten")]
        modes: usize,
        #[serde(default = "ten")]
        dimensions: usize,
        #[serde(default = "one")]
        length: f64,
    },
    OpenBosonic {
        #[serde(default = "ten")]
        levels: usize,
        #[serde(default = "critical")]
        dimensions: usize,
    },
    ClosedOnCircle {
        #[serde(default = "critical")]
        dimensions: usize,
        radius: f64,
        #[serde(default = "one")]
        slope: f64,
        #[serde(default = "two")]
        momentum: usize,
        #[serde(default = "two")]
        winding: usize,
        #[serde(default = "two")]
        level: usize,
    },
}

fn one() -> f64 {
    1.0
}

fn two() -> usize {
    2
}

fn ten() -> usize {
    10
}

/// The bosonic string's dimensions.
fn critical() -> usize {
    26
}

/// A spectrum under the name of its kind.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SpectrumReply {
    #[serde(flatten)]
    #[schemars(with = "service::science::Spectrum")]
    pub spectrum: Value,
    pub cached: bool,
}

/// The scales of a string.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StringParametersBody {
    /// GeV; only echoed.
    #[serde(default = "one")]
    pub energy_scale: f64,
    /// Above 0.
    #[serde(default = "tenth")]
    pub coupling_constant: f64,
}

fn tenth() -> f64 {
    0.1
}

/// Circles to roll dimensions up to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactificationBody {
    /// Dimensions in all.
    #[serde(default = "ten")]
    pub dimensions: usize,
    /// Radius of the circles, above 0.
    pub radius: f64,
}

/// A text to lift.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftBody {
    /// The text.
    pub insight_text: String,
    /// Also the unit vector of this length, by which texts compare.
    pub dimensions: Option<usize>,
}

/// A lifted text.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LiftReply {
    /// SHA-256 of the text.
    pub id: String,
    pub vector: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folded: Option<Vec<f32>>,
}

/// One unified inference; everything may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnifiedBody {
    /// A text to lift.
    pub dredge_insight: Option<String>,
    /// Coordinates for the coupling and for the wave model; 0.5 when absent.
    pub quasimoto_coords: Option<Vec<f64>>,
    /// Modes of the string; 1, 2 and 3 when absent.
    pub string_modes: Option<Vec<i64>>,
    /// When the wave model is evaluated; 0 when absent.
    pub time: Option<f64>,
    /// A wave, ensemble or interference model to evaluate at the coordinates.
    pub wave_model: Option<String>,
    /// A string theory network to evaluate on coordinates, modes and insight together.
    pub network: Option<String>,
    /// First and last position of the requested field; 0 to 1 when absent.
    pub range: Option<(f64, f64)>,
    /// Points of the requested field; 100 when absent.
    pub points: Option<usize>,
}

/// Its answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UnifiedReply {
    pub dredge_insight: String,
    pub quasimoto_coordinates: Vec<f64>,
    pub string_modes: Vec<i64>,
    pub coupled_amplitude: f64,
    pub unified_field: Field,
    pub requested_field: Option<Field>,
    pub insight_vector: Vec<f64>,
    pub wave: Option<ModelOutputReply>,
    pub network: Option<ModelOutputReply>,
    pub device: &'static str,
    pub cached: bool,
}

/// What one model of it gave.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelOutputReply {
    pub model: String,
    pub digest: String,
    pub rows: Vec<f64>,
    pub values: Vec<f64>,
}

/// The result cache.
#[derive(Debug, Serialize)]
pub struct CacheReply {
    /// False when nothing is kept; then nothing else is there.
    pub enabled: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub state: Option<CacheState>,
}

/// What it holds and did since the start.
#[derive(Debug, Serialize)]
pub struct CacheState {
    pub memory_entries: u64,
    pub memory_bytes: u64,
    pub disk_entries: u64,
    pub disk_bytes: u64,
    pub disk_damaged: u64,
    /// `off`, `up` or `down`.
    pub redis: &'static str,
    pub kinds: BTreeMap<String, CacheKind>,
}

/// Counters of one kind of result.
#[derive(Debug, Serialize)]
pub struct CacheKind {
    pub hits: u64,
    pub memory_hits: u64,
    pub disk_hits: u64,
    pub remote_hits: u64,
    pub misses: u64,
    /// Hits by lookups; null before the first lookup.
    pub hit_ratio: Option<f64>,
    pub joined: u64,
    pub stores: u64,
    pub stored_bytes: u64,
    pub evictions: u64,
    pub expirations: u64,
}

/// How much was dropped.
#[derive(Debug, Serialize)]
pub struct CacheClearedReply {
    pub cleared: u64,
}

/// What `DELETE /fornax/v1/cache` is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearQuery {
    #[serde(default)]
    pub prefix: String,
}
