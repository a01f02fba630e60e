//! What a model is made from: its kind and sizes.

use serde::{Deserialize, Serialize};

use crate::error::{PhysicsError, check_count};
use crate::network::{Activation, INPUTS_MAX, Shape, StringNetworkOptions};
use crate::waves::{InterferenceBasis, Layout, WAVES_MAX};

/// Spatial dimensions, waves per ensemble and the like, with DREDGE's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelConfig {
    /// One Quasimoto wave.
    Wave {
        /// Spatial dimensions.
        #[serde(default = "one")]
        dimensions: usize,
    },
    /// Waves and an affine head.
    Ensemble {
        /// Spatial dimensions.
        #[serde(default = "one")]
        dimensions: usize,
        /// Waves.
        #[serde(default = "sixteen")]
        n_waves: usize,
    },
    /// The complex interference basis.
    Interference {
        /// Spatial dimensions.
        #[serde(default = "one")]
        dimensions: usize,
        /// Complex fields.
        #[serde(default = "eight")]
        num_fields: usize,
        /// Output columns.
        #[serde(default = "one")]
        out_features: usize,
    },
    /// The string theory network.
    StringNetwork {
        /// Inputs.
        #[serde(default = "ten")]
        dimensions: usize,
        /// Neurons per hidden layer.
        #[serde(default = "sixty_four")]
        hidden_size: usize,
        /// Hidden layers, clamped to 1..=10.
        #[serde(default = "two")]
        num_layers: usize,
        /// Whether hidden layers are normalised over the batch.
        #[serde(default)]
        use_batch_norm: bool,
    },
    /// A sinusoidal representation network, a baseline.
    Siren {
        /// Inputs.
        #[serde(default = "two")]
        inputs: usize,
        /// Neurons per hidden layer.
        #[serde(default = "sixty_four")]
        hidden_size: usize,
        /// Hidden layers.
        #[serde(default = "two")]
        num_layers: usize,
        /// The factor inside the sines.
        #[serde(default = "thirty")]
        frequency: f64,
    },
    /// Random Fourier features, a baseline.
    FourierFeatures {
        /// Inputs.
        #[serde(default = "two")]
        inputs: usize,
        /// Frequencies.
        #[serde(default = "two_hundred_fifty_six")]
        features: usize,
        /// Their deviation.
        #[serde(default = "ten_as_scale")]
        scale: f64,
    },
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn eight() -> usize {
    8
}

fn ten() -> usize {
    10
}

fn sixteen() -> usize {
    16
}

fn sixty_four() -> usize {
    64
}

fn two_hundred_fifty_six() -> usize {
    256
}

fn thirty() -> f64 {
    30.0
}

fn ten_as_scale() -> f64 {
    10.0
}

impl ModelConfig {
    /// The configuration that DREDGE's `load_model` means by a model type: `quasimoto_1d`, `quasimoto_4d`, `quasimoto_6d`,
    /// `quasimoto_ensemble` (with `n_waves`) and `string_theory` (with `dimensions`, `hidden_size`, `num_layers` and
    /// `use_batch_norm`, all of which count here). Absent values have the defaults.
    ///
    /// # Errors
    /// Another model type.
    pub fn compatible(
        model_type: &str,
        config: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, PhysicsError> {
        let number = |name: &str, default: usize| -> Result<usize, PhysicsError> {
            let Some(value) = config.get(name) else {
                return Ok(default);
            };
            let number = value
                .as_u64()
                .and_then(|number| usize::try_from(number).ok());
            number.ok_or_else(|| PhysicsError::OutOfRange {
                field: name.to_owned(),
                value: value.as_f64().unwrap_or(f64::NAN),
                requirement: "a whole number",
            })
        };
        match model_type {
            "quasimoto_1d" => Ok(ModelConfig::Wave { dimensions: 1 }),
            "quasimoto_4d" => Ok(ModelConfig::Wave { dimensions: 3 }),
            "quasimoto_6d" => Ok(ModelConfig::Wave { dimensions: 5 }),
            "quasimoto_ensemble" => Ok(ModelConfig::Ensemble {
                dimensions: 1,
                n_waves: number("n_waves", 16)?,
            }),
            "string_theory" => Ok(ModelConfig::StringNetwork {
                dimensions: number("dimensions", 10)?,
                hidden_size: number("hidden_size", 64)?,
                num_layers: number("num_layers", 2)?,
                use_batch_norm: config
                    .get("use_batch_norm")
                    .and_then(serde_json::Value::as_bool)
                    .unwrap_or(false),
            }),
            _ => Err(PhysicsError::UnknownName {
                what: "a model type",
                name: model_type.to_owned(),
                expected: "quasimoto_1d, quasimoto_4d, quasimoto_6d, quasimoto_ensemble, string_theory",
            }),
        }
    }

    /// The name of the kind, as configurations write it.
    pub fn kind(&self) -> &'static str {
        match self {
            ModelConfig::Wave { .. } => "wave",
            ModelConfig::Ensemble { .. } => "ensemble",
            ModelConfig::Interference { .. } => "interference",
            ModelConfig::StringNetwork { .. } => "string_network",
            ModelConfig::Siren { .. } => "siren",
            ModelConfig::FourierFeatures { .. } => "fourier_features",
        }
    }

    /// The number of values that such a model keeps, fixed ones included, without making it.
    ///
    /// # Errors
    /// A size out of bounds, or more than [`super::PARAMETERS_MAX`] values.
    pub fn value_count(&self) -> Result<usize, PhysicsError> {
        let count = match *self {
            ModelConfig::Wave { dimensions } => Layout::new(dimensions)?.count(),
            ModelConfig::Ensemble {
                dimensions,
                n_waves,
            } => {
                check_count("n_waves", n_waves, 1, WAVES_MAX)?;
                n_waves * (Layout::new(dimensions)?.count() + 1) + 1
            }
            ModelConfig::Interference {
                dimensions,
                num_fields,
                out_features,
            } => InterferenceBasis::parameter_count(dimensions, num_fields, out_features)?,
            ModelConfig::FourierFeatures {
                inputs, features, ..
            } => {
                check_count("inputs", inputs, 1, INPUTS_MAX)?;
                check_count("features", features, 1, INPUTS_MAX)?;
                2 * features + 1 + inputs * features
            }
            ModelConfig::StringNetwork { .. } | ModelConfig::Siren { .. } => {
                let shape = self.shape().ok_or(PhysicsError::Empty { field: "shape" })?;
                shape.check()?;
                shape.parameter_count() + shape.statistics_count()
            }
        };
        check_count("parameters", count, 1, super::PARAMETERS_MAX)?;
        Ok(count)
    }

    /// The shape of the network, for the kinds that are one.
    pub(super) fn shape(&self) -> Option<Shape> {
        match *self {
            ModelConfig::StringNetwork {
                dimensions,
                hidden_size: hidden,
                num_layers: layers,
                use_batch_norm: batch_norm,
            } => Some(
                StringNetworkOptions {
                    dimensions,
                    hidden,
                    layers,
                    batch_norm,
                }
                .shape(),
            ),
            ModelConfig::Siren {
                inputs,
                hidden_size: hidden,
                num_layers: layers,
                frequency,
            } => Some(Shape {
                inputs,
                hidden,
                layers,
                outputs: 1,
                batch_norm: false,
                activation: Activation::Sine { frequency },
            }),
            _ => None,
        }
    }
}
