//! Training: the forward pass with batch statistics, and the derivatives of the mean squared error by every parameter.

use kernels::dense::{Product, Start, multiply};
use kernels::dispatch::Level;

use super::forward::{activate, padded};
use super::normalisation::{self, Normalised};
use super::perceptron::{Activation, Layer, Perceptron};

/// What one layer leaves for the way back; all rows are padded.
struct Kept {
    /// The layer's inputs.
    inputs: Vec<f32>,
    /// What went into the activation, where its derivative needs that (a sine's).
    before: Vec<f32>,
    /// What came out of the activation.
    after: Vec<f32>,
    normalised: Option<Normalised>,
}

impl Perceptron {
    /// Whether a batch of one row can be trained on: a normalisation needs two.
    pub fn rows_min(&self) -> usize {
        if self.shape.batch_norm { 2 } else { 1 }
    }

    /// The outputs in training mode for `inputs`, whole rows: batch statistics normalise and move the running ones.
    ///
    /// # Panics
    /// When `inputs` holds no whole number of rows, or fewer than [`Perceptron::rows_min`].
    pub fn evaluate_training(&mut self, level: Level, inputs: &[f32]) -> Vec<f32> {
        let (values, _) = self.forward_training(level, inputs);
        let (count, outputs) = (padded(self.shape.outputs), self.shape.outputs);
        values
            .chunks_exact(count)
            .flat_map(|row| row[..outputs].iter().copied())
            .collect()
    }

    fn forward_training(&mut self, level: Level, inputs: &[f32]) -> (Vec<f32>, Vec<Kept>) {
        let width = self.shape.inputs;
        let rows = inputs.len() / width;
        assert_eq!(rows * width, inputs.len(), "whole rows");
        assert!(rows >= self.rows_min(), "a normalisation needs two rows");
        self.prepared = std::sync::OnceLock::new();
        let layers = self.shape.layers();
        let mut values = vec![0.0; rows * padded(width)];
        for (row, from) in values
            .chunks_exact_mut(padded(width))
            .zip(inputs.chunks_exact(width))
        {
            row[..width].copy_from_slice(from);
        }
        let mut kept = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let inputs = values;
            values = self.affine(level, layer, &inputs, rows);
            let mut one = Kept {
                inputs,
                before: Vec::new(),
                after: Vec::new(),
                normalised: None,
            };
            if let Some(norm) = layer.norm {
                let (scale, shift) =
                    self.parameters[norm..norm + 2 * layer.outputs].split_at(layer.outputs);
                let running = layer.statistics..layer.statistics + 2 * layer.outputs;
                one.normalised = Some(normalisation::forward(
                    &mut values,
                    padded(layer.outputs),
                    (scale, shift),
                    &mut self.statistics[running],
                ));
            }
            if index + 1 < layers.len() {
                if matches!(self.shape.activation, Activation::Sine { .. }) {
                    one.before.clone_from(&values);
                }
                activate(level, self.shape.activation, &mut values);
                one.after.clone_from(&values);
            }
            kept.push(one);
        }
        (values, kept)
    }

    /// `inputs * weight^T + bias`, rows padded.
    fn affine(&self, level: Level, layer: &Layer, inputs: &[f32], rows: usize) -> Vec<f32> {
        let columns = padded(layer.outputs);
        let mut transposed = vec![0.0; layer.inputs * columns];
        let weight = &self.parameters[layer.weight..layer.bias];
        for (output, row) in weight.chunks_exact(layer.inputs).enumerate() {
            for (input, value) in row.iter().enumerate() {
                transposed[input * columns + output] = *value;
            }
        }
        let mut bias = vec![0.0; columns];
        bias[..layer.outputs]
            .copy_from_slice(&self.parameters[layer.bias..layer.bias + layer.outputs]);
        let product = Product {
            rows,
            inner: layer.inputs,
            columns,
            left: inputs,
            left_row: padded(layer.inputs),
            left_inner: 1,
            right: &transposed,
            right_row: columns,
        };
        let mut values = vec![0.0; rows * columns];
        multiply(level, product, Start::Row(&bias), &mut values, columns);
        values
    }

    /// The mean squared error against `targets` in training mode; its derivatives by every parameter are added to `gradient`.
    ///
    /// # Panics
    /// When the inputs hold no whole number of rows, fewer than [`Perceptron::rows_min`], or the targets or the gradient have
    /// another length than the model's.
    pub fn add_gradient(
        &mut self,
        level: Level,
        inputs: &[f32],
        targets: &[f32],
        gradient: &mut [f64],
    ) -> f64 {
        let outputs = self.shape.outputs;
        let rows = inputs.len() / self.shape.inputs;
        assert_eq!(targets.len(), rows * outputs);
        assert_eq!(gradient.len(), self.parameters.len());
        let (mut values, kept) = self.forward_training(level, inputs);
        let columns = padded(outputs);
        let share = 1.0 / targets.len() as f64;
        let mut loss = 0.0;
        for (row, targets) in values
            .chunks_exact_mut(columns)
            .zip(targets.chunks_exact(outputs))
        {
            for (value, target) in row.iter_mut().zip(targets) {
                let error = f64::from(*value - target);
                loss += error * error;
                *value = (2.0 * error * share) as f32;
            }
            row[outputs..].fill(0.0);
        }
        let layers = self.shape.layers();
        for (index, (layer, kept)) in layers.iter().zip(&kept).enumerate().rev() {
            if index + 1 < layers.len() {
                by_activation(level, self.shape.activation, kept, &mut values);
            }
            if let (Some(norm), Some(normalised)) = (layer.norm, &kept.normalised) {
                let scale = &self.parameters[norm..norm + layer.outputs];
                let stride = padded(layer.outputs);
                let (by_scale, by_shift) =
                    normalisation::backward(&mut values, stride, scale, normalised);
                for (into, value) in gradient[norm..]
                    .iter_mut()
                    .zip(by_scale.iter().chain(&by_shift))
                {
                    *into += value;
                }
            }
            self.add_layer_gradient(level, layer, &kept.inputs, &values, gradient);
            if index > 0 {
                values = self.by_inputs(level, layer, &values);
            }
        }
        loss * share
    }

    /// Adds the derivatives by one layer's weight and bias, given those by its outputs.
    fn add_layer_gradient(
        &self,
        level: Level,
        layer: &Layer,
        inputs: &[f32],
        by_outputs: &[f32],
        gradient: &mut [f64],
    ) {
        let (stride, width) = (padded(layer.outputs), padded(layer.inputs));
        let product = Product {
            rows: layer.outputs,
            inner: by_outputs.len() / stride,
            columns: width,
            left: by_outputs,
            left_row: 1,
            left_inner: stride,
            right: inputs,
            right_row: width,
        };
        let mut by_weight = vec![0.0; layer.outputs * width];
        multiply(level, product, Start::Zero, &mut by_weight, width);
        let into = gradient[layer.weight..layer.bias].chunks_exact_mut(layer.inputs);
        for (into, row) in into.zip(by_weight.chunks_exact(width)) {
            for (into, value) in into.iter_mut().zip(row) {
                *into += f64::from(*value);
            }
        }
        for row in by_outputs.chunks_exact(stride) {
            for (into, value) in gradient[layer.bias..layer.bias + layer.outputs]
                .iter_mut()
                .zip(row)
            {
                *into += f64::from(*value);
            }
        }
    }

    /// The derivatives by one layer's inputs, given those by its outputs.
    fn by_inputs(&self, level: Level, layer: &Layer, by_outputs: &[f32]) -> Vec<f32> {
        let (stride, width) = (padded(layer.outputs), padded(layer.inputs));
        let mut weight = vec![0.0; layer.outputs * width];
        let from = self.parameters[layer.weight..layer.bias].chunks_exact(layer.inputs);
        for (row, from) in weight.chunks_exact_mut(width).zip(from) {
            row[..layer.inputs].copy_from_slice(from);
        }
        let rows = by_outputs.len() / stride;
        let product = Product {
            rows,
            inner: layer.outputs,
            columns: width,
            left: by_outputs,
            left_row: stride,
            left_inner: 1,
            right: &weight,
            right_row: width,
        };
        let mut values = vec![0.0; rows * width];
        multiply(level, product, Start::Zero, &mut values, width);
        values
    }
}

/// Multiplies the derivatives by the activation's outputs with the activation's own.
fn by_activation(level: Level, activation: Activation, kept: &Kept, values: &mut [f32]) {
    match activation {
        Activation::Tangent => {
            for (value, after) in values.iter_mut().zip(&kept.after) {
                *value *= 1.0 - after * after;
            }
        }
        Activation::Sine { frequency } => {
            let frequency = frequency as f32;
            let mut slopes: Vec<f32> = kept.before.iter().map(|one| one * frequency).collect();
            kernels::waves::cosine(level, &mut slopes);
            for (value, slope) in values.iter_mut().zip(slopes) {
                *value *= frequency * slope;
            }
        }
    }
}
