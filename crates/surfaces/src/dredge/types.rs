//! Wire shapes of the dialect. Parameters that an operation does not know are left alone, as DREDGE leaves them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A request: what to do, with what.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    pub operation: String,
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// `load_model`
#[derive(Debug, Deserialize)]
pub struct LoadModel {
    pub model_type: String,
    #[serde(default)]
    pub config: Map<String, Value>,
}

/// `inference`
#[derive(Debug, Deserialize)]
pub struct Infer {
    pub model_id: String,
    #[serde(default)]
    pub inputs: BTreeMap<String, Vec<f64>>,
}

/// `get_parameters`
#[derive(Debug, Deserialize)]
pub struct GetParameters {
    pub model_id: String,
}

/// `benchmark`
#[derive(Debug, Deserialize)]
pub struct Benchmark {
    pub model_type: String,
    #[serde(default)]
    pub config: BenchmarkConfig,
}

/// Its sizes.
#[derive(Debug, Default, Deserialize)]
pub struct BenchmarkConfig {
    pub epochs: Option<usize>,
    pub n_waves: Option<usize>,
    pub seed: Option<u64>,
}

/// `string_spectrum`
#[derive(Debug, Deserialize)]
pub struct Spectrum {
    #[serde(default = "ten")]
    pub max_modes: usize,
    #[serde(default = "ten")]
    pub dimensions: usize,
}

fn ten() -> usize {
    10
}

/// `string_parameters`
#[derive(Debug, Deserialize)]
pub struct StringParameters {
    #[serde(default = "one")]
    pub energy_scale: f64,
    #[serde(default = "tenth")]
    pub coupling_constant: f64,
}

fn one() -> f64 {
    1.0
}

fn tenth() -> f64 {
    0.1
}

/// `unified_inference`; the last five are new.
#[derive(Debug, Deserialize)]
pub struct Unified {
    pub dredge_insight: Option<String>,
    pub quasimoto_coords: Option<Vec<f64>>,
    pub string_modes: Option<Vec<i64>>,
    pub wave_model: Option<String>,
    pub network: Option<String>,
    pub time: Option<f64>,
    pub range: Option<(f64, f64)>,
    pub points: Option<usize>,
}
