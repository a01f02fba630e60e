//! Inference: rows in blocks that stay in the first caches, layer after layer, with normalisations folded into the weights.

use kernels::dense::{PADDING, Product, Start, multiply};
use kernels::dispatch::Level;

use super::ROWS_MAX;
use super::normalisation::EPSILON;
use super::perceptron::{Activation, Perceptron};
use crate::error::{PhysicsError, check_count};
use crate::processor::Processor;

/// Rows per block: a multiple of the kernel's 6 rows. Two buffers of 96 rows of 64 neurons take 48 KB.
const ROWS: usize = 96;
/// Multiplications that are worth a thread of their own: about 50 microseconds of one core, the price of starting a thread.
const WORK_PER_THREAD: usize = 1 << 21;

/// One layer as the forward pass reads it.
#[derive(Debug)]
struct PreparedLayer {
    inputs: usize,
    /// The number of outputs, padded.
    columns: usize,
    /// `inputs` rows of `columns`: transposed, normalisation folded in.
    weight: Vec<f32>,
    /// `columns` values.
    bias: Vec<f32>,
}

/// All layers as the forward pass reads them.
#[derive(Debug)]
pub(super) struct Prepared {
    layers: Vec<PreparedLayer>,
    widest: usize,
}

/// `count` rounded up to the kernels' padding.
pub(super) fn padded(count: usize) -> usize {
    count.next_multiple_of(PADDING)
}

/// Applies the activation to whole rows in place; padding stays 0, as both activations keep 0.
pub(super) fn activate(level: Level, activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Tangent => kernels::waves::tangent(level, values),
        Activation::Sine { frequency } => {
            let frequency = frequency as f32;
            values.iter_mut().for_each(|value| *value *= frequency);
            kernels::waves::sine(level, values);
        }
    }
}

impl Prepared {
    fn new(network: &Perceptron) -> Self {
        let layers: Vec<PreparedLayer> = network
            .shape
            .layers()
            .into_iter()
            .map(|layer| {
                let columns = padded(layer.outputs);
                let mut weight = vec![0.0; layer.inputs * columns];
                let mut bias = vec![0.0; columns];
                for output in 0..layer.outputs {
                    let (mut scale, mut shift) = (1.0, 0.0);
                    let mut mean = 0.0;
                    if let Some(norm) = layer.norm {
                        let statistics = &network.statistics[layer.statistics..];
                        let variance = f64::from(statistics[layer.outputs + output]);
                        let spread = (variance + f64::from(EPSILON)).sqrt();
                        scale = f64::from(network.parameters[norm + output]) / spread;
                        shift = f64::from(network.parameters[norm + layer.outputs + output]);
                        mean = f64::from(statistics[output]);
                    }
                    let own = f64::from(network.parameters[layer.bias + output]);
                    bias[output] = ((own - mean) * scale + shift) as f32;
                    for input in 0..layer.inputs {
                        let value =
                            network.parameters[layer.weight + output * layer.inputs + input];
                        weight[input * columns + output] = (f64::from(value) * scale) as f32;
                    }
                }
                PreparedLayer {
                    inputs: layer.inputs,
                    columns,
                    weight,
                    bias,
                }
            })
            .collect();
        let widest = layers.iter().map(|layer| layer.columns).max().unwrap_or(0);
        Prepared { layers, widest }
    }

    /// The multiplications of one row.
    fn work(&self) -> usize {
        let works = self.layers.iter().map(|layer| layer.inputs * layer.columns);
        works.sum::<usize>().max(1)
    }

    fn evaluate(
        &self,
        level: Level,
        activation: Activation,
        inputs: &[f32],
        outputs: usize,
        into: &mut [f32],
    ) {
        let width = self.layers[0].inputs;
        let mut buffers = [
            vec![0.0; ROWS.min(into.len() / outputs) * self.widest],
            vec![0.0; ROWS.min(into.len() / outputs) * self.widest],
        ];
        let blocks = inputs
            .chunks(ROWS * width)
            .zip(into.chunks_mut(ROWS * outputs));
        for (inputs, into) in blocks {
            let rows = inputs.len() / width;
            let [from, to] = &mut buffers;
            let (mut from, mut to) = (from, to);
            for (index, layer) in self.layers.iter().enumerate() {
                let (left, left_row) = if index == 0 {
                    (inputs, width)
                } else {
                    (&from[..], self.layers[index - 1].columns)
                };
                let product = Product {
                    rows,
                    inner: layer.inputs,
                    columns: layer.columns,
                    left,
                    left_row,
                    left_inner: 1,
                    right: &layer.weight,
                    right_row: layer.columns,
                };
                multiply(level, product, Start::Row(&layer.bias), to, layer.columns);
                if index + 1 < self.layers.len() {
                    activate(level, activation, &mut to[..rows * layer.columns]);
                }
                std::mem::swap(&mut from, &mut to);
            }
            let columns = self.layers[self.layers.len() - 1].columns;
            let rows = into.chunks_exact_mut(outputs).zip(from.chunks(columns));
            for (into, row) in rows {
                into.copy_from_slice(&row[..outputs]);
            }
        }
    }
}

impl Perceptron {
    /// The outputs for every row of `inputs`, row by row: normalisations use their running statistics, so that a row does not
    /// depend on the others.
    ///
    /// # Errors
    /// No row, more than [`ROWS_MAX`], or a number of values that is no whole number of rows.
    pub fn evaluate(&self, processor: Processor, inputs: &[f32]) -> Result<Vec<f32>, PhysicsError> {
        let width = self.shape.inputs;
        let rows = inputs.len() / width;
        check_count("rows", inputs.len().div_ceil(width), 1, ROWS_MAX)?;
        if rows * width != inputs.len() {
            return Err(PhysicsError::Shape {
                field: "inputs".to_owned(),
                found: inputs.len(),
                expected: (rows + 1) * width,
            });
        }
        let outputs = self.shape.outputs;
        let prepared = self.prepared.get_or_init(|| Prepared::new(self));
        let mut values = vec![0.0; rows * outputs];
        let rows_min = (WORK_PER_THREAD / prepared.work()).max(1);
        processor.split(&mut values, outputs, rows_min, |start, part| {
            let rows = part.len() / outputs;
            let inputs = &inputs[start * width..(start + rows) * width];
            prepared.evaluate(
                processor.level,
                self.shape.activation,
                inputs,
                outputs,
                part,
            );
        });
        Ok(values)
    }
}
