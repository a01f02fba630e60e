//! One type for every science model: made from a configuration and a seed, evaluated, trained, stored, exported.

mod config;
mod evaluate;
mod onnx;
mod parameters;
mod protobuf;
mod stored;
mod training;

#[cfg(test)]
mod tests;

pub use config::ModelConfig;
pub use evaluate::{Inputs, Output, Precision};
pub use parameters::Parameter;

use crate::error::PhysicsError;
use crate::network::{FourierFeatures, Perceptron};
use crate::waves::{Ensemble, InterferenceBasis, Layout, Wave};

/// The most parameters of a model, fixed ones included: 512 MB in double precision.
pub const PARAMETERS_MAX: usize = 1 << 26;

/// The model itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Wave(Wave),
    Ensemble(Ensemble),
    Interference(InterferenceBasis),
    /// The string theory network or a SIREN.
    Network(Perceptron),
    Fourier(FourierFeatures),
}

/// A science model with what it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct ScienceModel {
    config: ModelConfig,
    seed: u64,
    body: Body,
}

impl ScienceModel {
    /// A fresh model; the same configuration and seed give the same parameters.
    ///
    /// # Errors
    /// A size out of bounds.
    pub fn create(config: ModelConfig, seed: u64) -> Result<Self, PhysicsError> {
        config.value_count()?;
        let body = match &config {
            ModelConfig::Wave { dimensions } => Body::Wave(Wave::seeded(*dimensions, seed)?),
            ModelConfig::Ensemble {
                dimensions,
                n_waves,
            } => Body::Ensemble(Ensemble::seeded(*dimensions, *n_waves, seed)?),
            ModelConfig::Interference {
                dimensions,
                num_fields,
                out_features,
            } => Body::Interference(InterferenceBasis::seeded(
                *dimensions,
                *num_fields,
                *out_features,
                seed,
            )?),
            ModelConfig::FourierFeatures {
                inputs,
                features,
                scale,
            } => Body::Fourier(FourierFeatures::seeded(*inputs, *features, *scale, seed)?),
            ModelConfig::StringNetwork { .. } | ModelConfig::Siren { .. } => {
                let shape = config
                    .shape()
                    .ok_or(PhysicsError::Empty { field: "shape" })?;
                Body::Network(Perceptron::seeded(shape, seed)?)
            }
        };
        Ok(ScienceModel { config, seed, body })
    }

    /// What the model was made from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The seed of its initial values.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        match &self.body {
            Body::Wave(wave) => wave.parameters().len(),
            Body::Ensemble(ensemble) => ensemble.parameters().len(),
            Body::Interference(basis) => basis.parameters().len(),
            Body::Network(network) => network.parameters().len(),
            Body::Fourier(features) => features.head().parameters().len(),
        }
    }

    /// The names of the inputs, in the order of a row: spatial ones and `t`; `x1..xd` for the string theory network.
    pub fn input_names(&self) -> Vec<String> {
        let columns = || {
            (1..=self.inputs())
                .map(|index| format!("x{index}"))
                .collect()
        };
        match self.config {
            ModelConfig::StringNetwork { .. } => columns(),
            // The baselines stand beside waves, and take what waves take.
            _ => Layout::new(self.inputs().saturating_sub(1))
                .map_or_else(|_| columns(), Layout::input_names),
        }
    }

    /// The number of inputs of a row.
    pub fn inputs(&self) -> usize {
        match &self.body {
            Body::Wave(wave) => wave.layout().dimensions() + 1,
            Body::Ensemble(ensemble) => ensemble.layout().dimensions() + 1,
            Body::Interference(basis) => basis.layout().dimensions() + 1,
            Body::Network(network) => network.shape().inputs,
            Body::Fourier(features) => features.inputs(),
        }
    }

    /// The number of outputs of a row.
    pub fn outputs(&self) -> usize {
        match &self.body {
            Body::Interference(basis) => basis.outputs(),
            _ => 1,
        }
    }

    /// The SHA-256 of [`ScienceModel::to_bytes`], in hexadecimal: two models with the same digest give the same results.
    pub fn digest(&self) -> String {
        platform::files::sha256_bytes(&self.to_bytes())
    }
}
