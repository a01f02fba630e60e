//! What a network is: its shape, its parameters in one flat row, and their initial values.

use std::sync::OnceLock;

use super::forward::Prepared;
use super::{HIDDEN_MAX, INPUTS_MAX, LAYERS_MAX};
use crate::error::{PhysicsError, check_count, check_positive};
use crate::random::{INITIAL_VALUES, Random};

/// What follows a hidden layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `tanh(z)`.
    Tangent,
    /// `sin(frequency z)`: a sinusoidal representation network (Sitzmann et al., NeurIPS 2020), usually with 30.
    Sine {
        /// The factor inside the sine.
        frequency: f64,
    },
}

/// The shape of a network: `layers` hidden layers of `hidden` neurons between `inputs` and `outputs`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Columns of the input.
    pub inputs: usize,
    /// Neurons per hidden layer.
    pub hidden: usize,
    /// Hidden layers; 0 leaves one affine layer.
    pub layers: usize,
    /// Columns of the output.
    pub outputs: usize,
    /// Whether each hidden layer is normalised over the batch.
    pub batch_norm: bool,
    /// What follows each hidden layer.
    pub activation: Activation,
}

/// Where one layer's parameters stand in the flat row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    /// `outputs` rows of `inputs`.
    pub weight: usize,
    pub bias: usize,
    /// The scale of the normalisation, its shift behind it; none for the last layer.
    pub norm: Option<usize>,
    /// Where the layer's running mean stands among the statistics, its variance behind it.
    pub statistics: usize,
}

impl Shape {
    /// Checks every size.
    ///
    /// # Errors
    /// A size or the sines' factor out of bounds.
    pub fn check(&self) -> Result<(), PhysicsError> {
        check_count("inputs", self.inputs, 1, INPUTS_MAX)?;
        check_count("hidden_size", self.hidden, 1, HIDDEN_MAX)?;
        check_count("num_layers", self.layers, 0, LAYERS_MAX)?;
        check_count("outputs", self.outputs, 1, INPUTS_MAX)?;
        if let Activation::Sine { frequency } = self.activation {
            check_positive("frequency", frequency)?;
        }
        Ok(())
    }

    /// The layers in order, hidden ones first.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let (mut place, mut statistics) = (0, 0);
        (0..=self.layers)
            .map(|index| {
                let hidden = index < self.layers;
                let inputs = if index == 0 { self.inputs } else { self.hidden };
                let outputs = if hidden { self.hidden } else { self.outputs };
                let normalised = hidden && self.batch_norm;
                let weight = place;
                let bias = weight + inputs * outputs;
                place = bias + outputs;
                let layer = Layer {
                    inputs,
                    outputs,
                    weight,
                    bias,
                    norm: normalised.then_some(place),
                    statistics,
                };
                if normalised {
                    place += 2 * outputs;
                    statistics += 2 * outputs;
                }
                layer
            })
            .collect()
    }

    /// The number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        self.layers()
            .last()
            .map_or(0, |layer| layer.bias + layer.outputs)
    }

    /// The running means and variances of all normalisations.
    pub fn statistics_count(&self) -> usize {
        if self.batch_norm {
            2 * self.layers * self.hidden
        } else {
            0
        }
    }

    /// The names and shapes of the parameters' groups, in the order of the flat row.
    pub fn groups(&self) -> Vec<(String, Vec<usize>)> {
        let mut groups = Vec::new();
        for (index, layer) in self.layers().iter().enumerate() {
            groups.push((
                format!("layers.{index}.weight"),
                vec![layer.outputs, layer.inputs],
            ));
            groups.push((format!("layers.{index}.bias"), vec![layer.outputs]));
            if layer.norm.is_some() {
                groups.push((format!("layers.{index}.norm.weight"), vec![layer.outputs]));
                groups.push((format!("layers.{index}.norm.bias"), vec![layer.outputs]));
            }
        }
        groups
    }

    /// The names and shapes of the statistics' groups, in order.
    pub fn statistics_groups(&self) -> Vec<(String, Vec<usize>)> {
        let normalised = if self.batch_norm { self.layers } else { 0 };
        (0..normalised)
            .flat_map(|index| {
                ["running_mean", "running_var"]
                    .map(|name| (format!("layers.{index}.norm.{name}"), vec![self.hidden]))
            })
            .collect()
    }
}

/// A network.
#[derive(Debug)]
pub struct Perceptron {
    pub(super) shape: Shape,
    /// In the order of [`Shape::groups`].
    pub(super) parameters: Vec<f32>,
    /// In the order of [`Shape::statistics_groups`].
    pub(super) statistics: Vec<f32>,
    /// The weights as the forward pass reads them; emptied by every change.
    pub(super) prepared: OnceLock<Prepared>,
}

impl Clone for Perceptron {
    fn clone(&self) -> Self {
        Perceptron {
            shape: self.shape,
            parameters: self.parameters.clone(),
            statistics: self.statistics.clone(),
            prepared: OnceLock::new(),
        }
    }
}

impl PartialEq for Perceptron {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
            && self.parameters == other.parameters
            && self.statistics == other.statistics
    }
}

impl Perceptron {
    /// A network with the framework's default initial values, drawn from `seed`: weights and biases uniform within
    /// `1 / sqrt(inputs)`; for sines the first layer's weights within `1 / inputs`, later ones within
    /// `sqrt(6 / inputs) / frequency` (Sitzmann et al., section 3.2); normalisations 1 and 0.
    ///
    /// # Errors
    /// A size out of bounds.
    pub fn seeded(shape: Shape, seed: u64) -> Result<Self, PhysicsError> {
        shape.check()?;
        let mut random = Random::new(seed, INITIAL_VALUES);
        let mut parameters = vec![0.0; shape.parameter_count()];
        let mut statistics = vec![0.0; shape.statistics_count()];
        for (index, layer) in shape.layers().into_iter().enumerate() {
            let inputs = layer.inputs as f64;
            let plain = 1.0 / inputs.sqrt();
            let bound = match shape.activation {
                Activation::Tangent => plain,
                Activation::Sine { .. } if index == 0 => 1.0 / inputs,
                Activation::Sine { frequency } => (6.0 / inputs).sqrt() / frequency,
            };
            for value in &mut parameters[layer.weight..layer.bias] {
                *value = random.between(-bound, bound) as f32;
            }
            for value in &mut parameters[layer.bias..layer.bias + layer.outputs] {
                *value = random.between(-plain, plain) as f32;
            }
            if let Some(norm) = layer.norm {
                parameters[norm..norm + layer.outputs].fill(1.0);
                let variance = layer.statistics + layer.outputs;
                statistics[variance..variance + layer.outputs].fill(1.0);
            }
        }
        Ok(Perceptron {
            shape,
            parameters,
            statistics,
            prepared: OnceLock::new(),
        })
    }

    /// A network with the given parameters and statistics.
    ///
    /// # Errors
    /// A size out of bounds, another number of values than the shape's, one that is not finite, or a variance below 0.
    pub fn from_parameters(
        shape: Shape,
        parameters: Vec<f32>,
        statistics: Vec<f32>,
    ) -> Result<Self, PhysicsError> {
        shape.check()?;
        for (field, values, expected) in [
            ("parameters", &parameters, shape.parameter_count()),
            ("statistics", &statistics, shape.statistics_count()),
        ] {
            if values.len() != expected {
                return Err(PhysicsError::Shape {
                    field: field.to_owned(),
                    found: values.len(),
                    expected,
                });
            }
            for value in values {
                crate::error::check_finite(field, f64::from(*value))?;
            }
        }
        for layer in shape.layers() {
            if layer.norm.is_none() {
                continue;
            }
            let start = layer.statistics + layer.outputs;
            let variances = &statistics[start..start + layer.outputs];
            if let Some(value) = variances.iter().find(|value| **value < 0.0) {
                return Err(PhysicsError::OutOfRange {
                    field: "running_var".to_owned(),
                    value: f64::from(*value),
                    requirement: "not below 0",
                });
            }
        }
        Ok(Perceptron {
            shape,
            parameters,
            statistics,
            prepared: OnceLock::new(),
        })
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The trained parameters, in the order of [`Shape::groups`].
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The parameters to change; their number and order stay.
    pub fn parameters_mut(&mut self) -> &mut [f32] {
        self.prepared = OnceLock::new();
        &mut self.parameters
    }

    /// The running means and variances, in the order of [`Shape::statistics_groups`].
    pub fn statistics(&self) -> &[f32] {
        &self.statistics
    }

    /// The statistics to change; their number and order stay.
    pub fn statistics_mut(&mut self) -> &mut [f32] {
        self.prepared = OnceLock::new();
        &mut self.statistics
    }
}
