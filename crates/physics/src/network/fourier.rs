//! Random Fourier features (Rahimi and Recht, NeurIPS 2007; Tancik et al., NeurIPS 2020): a fixed random matrix, its sines and
//! cosines, and one trained affine layer.

use super::perceptron::{Activation, Perceptron, Shape};
use super::{INPUTS_MAX, ROWS_MAX};
use crate::error::{PhysicsError, check_count, check_finite, check_positive};
use crate::processor::Processor;
use crate::random::Random;

/// The most frequencies; each gives a sine and a cosine.
pub const FREQUENCIES_MAX: usize = 1 << 16;
/// The stream of the fixed matrix, apart from that of the trained layer.
const FREQUENCY_STREAM: u64 = 3;

/// The features `[sin(x B), cos(x B)]` and the layer behind them.
#[derive(Debug, Clone, PartialEq)]
pub struct FourierFeatures {
    inputs: usize,
    /// `inputs` rows of frequencies; not trained.
    frequencies: Vec<f32>,
    head: Perceptron,
}

impl FourierFeatures {
    /// `count` frequencies for `inputs` inputs, normal with deviation `scale` and without a factor of 2 pi, from `seed`.
    ///
    /// # Errors
    /// A size out of bounds or a scale that is not a finite number above 0.
    pub fn seeded(
        inputs: usize,
        count: usize,
        scale: f64,
        seed: u64,
    ) -> Result<Self, PhysicsError> {
        check_count("inputs", inputs, 1, INPUTS_MAX)?;
        check_count("features", count, 1, INPUTS_MAX / 2)?;
        check_count("inputs times features", inputs * count, 1, FREQUENCIES_MAX)?;
        check_positive("scale", scale)?;
        let mut random = Random::new(seed, FREQUENCY_STREAM);
        let frequencies = (0..inputs * count)
            .map(|_| (random.normal() * scale) as f32)
            .collect();
        Ok(FourierFeatures {
            inputs,
            frequencies,
            head: Perceptron::seeded(head_shape(count), seed)?,
        })
    }

    /// Features with the given frequencies (`inputs` rows) and the head's parameters (weights, then bias).
    ///
    /// # Errors
    /// A size out of bounds, sizes that do not fit each other, or a value that is not finite.
    pub fn from_parameters(
        inputs: usize,
        frequencies: Vec<f32>,
        parameters: Vec<f32>,
    ) -> Result<Self, PhysicsError> {
        check_count("inputs", inputs, 1, INPUTS_MAX)?;
        check_count("frequencies", frequencies.len(), inputs, FREQUENCIES_MAX)?;
        for value in &frequencies {
            check_finite("frequencies", f64::from(*value))?;
        }
        let count = frequencies.len() / inputs;
        check_count("features", count, 1, INPUTS_MAX / 2)?;
        if count * inputs != frequencies.len() {
            return Err(PhysicsError::Shape {
                field: "frequencies".to_owned(),
                found: frequencies.len(),
                expected: count * inputs,
            });
        }
        Ok(FourierFeatures {
            inputs,
            frequencies,
            head: Perceptron::from_parameters(head_shape(count), parameters, Vec::new())?,
        })
    }

    /// Columns of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Frequencies per input.
    pub fn count(&self) -> usize {
        self.frequencies.len() / self.inputs
    }

    /// The fixed matrix, `inputs` rows.
    pub fn frequencies(&self) -> &[f32] {
        &self.frequencies
    }

    /// The trained layer.
    pub fn head(&self) -> &Perceptron {
        &self.head
    }

    /// The trained layer, to change.
    pub fn head_mut(&mut self) -> &mut Perceptron {
        &mut self.head
    }

    /// The sines and cosines for whole rows of `inputs`.
    pub(crate) fn features(&self, processor: Processor, inputs: &[f32]) -> Vec<f32> {
        let count = self.count();
        let rows = inputs.len() / self.inputs;
        let mut features = vec![0.0; rows * 2 * count];
        let (inputs_of, level) = (inputs.chunks_exact(self.inputs), processor.level);
        for (row, x) in features.chunks_exact_mut(2 * count).zip(inputs_of) {
            let (sines, cosines) = row.split_at_mut(count);
            for (x, frequencies) in x.iter().zip(self.frequencies.chunks_exact(count)) {
                for (sum, frequency) in sines.iter_mut().zip(frequencies) {
                    *sum += x * frequency;
                }
            }
            cosines.copy_from_slice(sines);
            kernels::waves::sine(level, sines);
            kernels::waves::cosine(level, cosines);
        }
        features
    }

    /// The outputs for every row of `inputs`.
    ///
    /// # Errors
    /// No row, more than [`ROWS_MAX`], or a number of values that is no whole number of rows.
    pub fn evaluate(&self, processor: Processor, inputs: &[f32]) -> Result<Vec<f32>, PhysicsError> {
        check_count("rows", inputs.len().div_ceil(self.inputs), 1, ROWS_MAX)?;
        if !inputs.len().is_multiple_of(self.inputs) {
            return Err(PhysicsError::Shape {
                field: "inputs".to_owned(),
                found: inputs.len(),
                expected: inputs.len().next_multiple_of(self.inputs),
            });
        }
        let mut values = Vec::with_capacity(inputs.len() / self.inputs);
        // Blocks bound the memory of the features, which are much wider than the inputs.
        for block in inputs.chunks(4_096 * self.inputs) {
            values.extend(
                self.head
                    .evaluate(processor, &self.features(processor, block))?,
            );
        }
        Ok(values)
    }
}

fn head_shape(count: usize) -> Shape {
    Shape {
        inputs: 2 * count,
        hidden: 1,
        layers: 0,
        outputs: 1,
        batch_norm: false,
        activation: Activation::Tangent,
    }
}
