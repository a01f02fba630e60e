//! Models on graphics processors, through candle: the same formulas as tensor operations, whose derivatives the framework
//! works out. Built with the crate's features `cuda` or `metal`; with `accelerator` alone on the framework's own processor
//! device, which is what the tests compare with this crate's kernels.

use candle_core::{D, Tensor, Var};

use crate::device::Device;
use crate::error::PhysicsError;
use crate::network::{Activation, FourierFeatures, Perceptron};
use crate::processor::Processor;
use crate::training::{Data, Trainable};
use crate::waves::{Ensemble, Layout, Wave};

impl From<candle_core::Error> for PhysicsError {
    fn from(error: candle_core::Error) -> Self {
        PhysicsError::Accelerator {
            reason: error.to_string(),
        }
    }
}

/// The normalisation's constants, as in `network::normalisation`.
const EPSILON: f64 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// Whether the framework was built for `device` and the machine has one.
pub fn is_available(device: Device) -> bool {
    match device {
        Device::Cpu => true,
        _ => Accelerator::open(device).is_ok(),
    }
}

/// An open device.
#[derive(Debug, Clone)]
pub struct Accelerator {
    device: candle_core::Device,
}

impl Accelerator {
    /// Opens the first device of a kind; [`Device::Cpu`] is the framework's own processor device.
    ///
    /// # Errors
    /// The framework was built without it, or the machine has none.
    pub fn open(device: Device) -> Result<Self, PhysicsError> {
        let device = match device {
            Device::Cpu => candle_core::Device::Cpu,
            Device::Cuda => candle_core::Device::new_cuda(0)?,
            Device::Metal => candle_core::Device::new_metal(0)?,
        };
        Ok(Accelerator { device })
    }

    fn tensor(&self, values: &[f32], shape: &[usize]) -> Result<Tensor, PhysicsError> {
        Ok(Tensor::from_slice(values, shape, &self.device)?)
    }

    /// The model's output for every row of `inputs`.
    ///
    /// # Errors
    /// A number of values that is no whole number of rows; the framework's failure, such as too little memory.
    pub fn evaluate<M: Differentiable>(
        &self,
        model: &M,
        inputs: &[f32],
    ) -> Result<Vec<f32>, PhysicsError> {
        let inputs = self.rows(inputs, model.columns())?;
        let mut groups = Vec::new();
        for (values, shape) in model.groups() {
            groups.push(self.tensor(&values, &shape)?);
        }
        let output = model.forward(self, &groups, &inputs, None)?;
        Ok(output.flatten_all()?.to_vec1()?)
    }

    fn rows(&self, inputs: &[f32], width: usize) -> Result<Tensor, PhysicsError> {
        let rows = inputs.len() / width;
        if rows == 0 || rows * width != inputs.len() {
            return Err(PhysicsError::Shape {
                field: "inputs".to_owned(),
                found: inputs.len(),
                expected: (rows + 1) * width,
            });
        }
        self.tensor(inputs, &[rows, width])
    }
}

/// The mean and the unbiased variance of each normalised layer of one training batch.
type BatchStatistics = Vec<(Vec<f32>, Vec<f32>)>;

/// A model that the framework can compute and differentiate.
pub trait Differentiable: Trainable {
    /// The trained values with their shapes, in the order of [`Trainable::read`].
    fn groups(&self) -> Vec<(Vec<f32>, Vec<usize>)>;
    /// The output for rows of inputs, `rows` by 1, from the groups as tensors. With a place for batch statistics it computes in
    /// training mode and leaves them there.
    ///
    /// # Errors
    /// The framework's.
    fn forward(
        &self,
        accelerator: &Accelerator,
        groups: &[Tensor],
        inputs: &Tensor,
        training: Option<&mut BatchStatistics>,
    ) -> Result<Tensor, PhysicsError>;
}

fn cut(values: &[f32], shapes: Vec<Vec<usize>>) -> Vec<(Vec<f32>, Vec<usize>)> {
    let mut rest = values;
    let mut groups = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let (first, behind) = rest.split_at(shape.iter().product());
        groups.push((first.to_vec(), shape));
        rest = behind;
    }
    groups
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|one| *one as f32).collect()
}

impl Differentiable for Perceptron {
    fn groups(&self) -> Vec<(Vec<f32>, Vec<usize>)> {
        let shapes = self.shape().groups().into_iter().map(|(_, shape)| shape);
        cut(self.parameters(), shapes.collect())
    }

    fn forward(
        &self,
        accelerator: &Accelerator,
        groups: &[Tensor],
        inputs: &Tensor,
        mut training: Option<&mut BatchStatistics>,
    ) -> Result<Tensor, PhysicsError> {
        let mut groups = groups.iter();
        let mut statistics = self.statistics();
        let mut next = || {
            groups.next().ok_or(PhysicsError::Empty {
                field: "parameters",
            })
        };
        let mut value = inputs.clone();
        for index in 0..=self.shape().layers {
            let weight = next()?;
            value = value.matmul(&weight.t()?)?.broadcast_add(next()?)?;
            if index == self.shape().layers {
                break;
            }
            if self.shape().batch_norm {
                let (scale, shift) = (next()?, next()?);
                let width = self.shape().hidden;
                let (own, rest) = statistics.split_at(2 * width);
                statistics = rest;
                let (mean, variance) = match training.as_deref_mut() {
                    Some(batch) => batch_statistics(&value, batch)?,
                    None => (
                        accelerator.tensor(&own[..width], &[1, width])?,
                        accelerator.tensor(&own[width..], &[1, width])?,
                    ),
                };
                let spread = (variance + EPSILON)?.sqrt()?;
                value = value.broadcast_sub(&mean)?.broadcast_div(&spread)?;
                value = value.broadcast_mul(scale)?.broadcast_add(shift)?;
            }
            value = match self.shape().activation {
                Activation::Tangent => value.tanh()?,
                Activation::Sine { frequency } => (value * frequency)?.sin()?,
            };
        }
        Ok(value)
    }
}

/// The mean and the biased variance of each column; the mean and the unbiased one go to `batch`.
fn batch_statistics(
    value: &Tensor,
    batch: &mut BatchStatistics,
) -> Result<(Tensor, Tensor), PhysicsError> {
    let rows = value.dim(0)?;
    let mean = value.mean_keepdim(0)?;
    let variance = value.broadcast_sub(&mean)?.sqr()?.mean_keepdim(0)?;
    let unbiased = (&variance * (rows as f64 / (rows.max(2) - 1) as f64))?;
    let flat = |tensor: &Tensor| tensor.detach().flatten_all()?.to_vec1::<f32>();
    batch.push((flat(&mean)?, flat(&unbiased)?));
    Ok((mean, variance))
}

impl Differentiable for FourierFeatures {
    fn groups(&self) -> Vec<(Vec<f32>, Vec<usize>)> {
        self.head().groups()
    }

    fn forward(
        &self,
        accelerator: &Accelerator,
        groups: &[Tensor],
        inputs: &Tensor,
        training: Option<&mut BatchStatistics>,
    ) -> Result<Tensor, PhysicsError> {
        let shape = [self.inputs(), self.count()];
        let angles = inputs.matmul(&accelerator.tensor(self.frequencies(), &shape)?)?;
        let features = Tensor::cat(&[angles.sin()?, angles.cos()?], D::Minus1)?;
        self.head()
            .forward(accelerator, groups, &features, training)
    }
}

impl Differentiable for Ensemble {
    fn groups(&self) -> Vec<(Vec<f32>, Vec<usize>)> {
        let shapes = vec![
            vec![self.waves(), self.layout().count()],
            vec![self.waves(), 1],
            vec![1],
        ];
        cut(&narrow(self.parameters()), shapes)
    }

    fn forward(
        &self,
        _: &Accelerator,
        groups: &[Tensor],
        inputs: &Tensor,
        _: Option<&mut BatchStatistics>,
    ) -> Result<Tensor, PhysicsError> {
        let [waves, weights, bias] = groups else {
            return Err(PhysicsError::Empty {
                field: "parameters",
            });
        };
        let values = wave_values(self.layout(), waves, inputs)?;
        Ok(values.matmul(weights)?.broadcast_add(bias)?)
    }
}

impl Differentiable for Wave {
    fn groups(&self) -> Vec<(Vec<f32>, Vec<usize>)> {
        vec![(narrow(self.parameters()), vec![1, self.layout().count()])]
    }

    fn forward(
        &self,
        _: &Accelerator,
        groups: &[Tensor],
        inputs: &Tensor,
        _: Option<&mut BatchStatistics>,
    ) -> Result<Tensor, PhysicsError> {
        let [wave] = groups else {
            return Err(PhysicsError::Empty {
                field: "parameters",
            });
        };
        wave_values(self.layout(), wave, inputs)
    }
}

/// `rows` by `waves` values of waves, whose parameters are the rows of `waves`.
fn wave_values(layout: Layout, waves: &Tensor, inputs: &Tensor) -> Result<Tensor, PhysicsError> {
    let n = layout.dimensions();
    let turned = waves.t()?.contiguous()?;
    let rows = |range: std::ops::Range<usize>| turned.narrow(0, range.start, range.len());
    let one = |index: usize| rows(index..index + 1);
    let position = inputs.narrow(1, 0, n)?.contiguous()?;
    let time = inputs.narrow(1, n, 1)?.contiguous()?;
    let turning = position.matmul(&rows(layout.wavenumbers())?)?;
    let phase = (turning - time.matmul(&one(layout.frequency())?)?)?;
    let mut squares = None;
    for (axis, velocity) in layout.velocities().enumerate() {
        let x = position.narrow(1, axis, 1)?;
        let moved = time.matmul(&one(velocity)?)?;
        let square = x.broadcast_sub(&moved)?.sqr()?;
        squares = Some(match squares {
            None => square,
            Some(sum) => (sum + square)?,
        });
    }
    let squares = squares.ok_or(PhysicsError::Empty {
        field: "dimensions",
    })?;
    let narrowness = (one(layout.log_width())? * -2.0)?.exp()?;
    let envelope = (squares.broadcast_mul(&narrowness)? * -0.5)?.exp()?;
    let modulation = position.matmul(&rows(layout.modulation())?)?.cos()?;
    let offset = modulation
        .broadcast_mul(&one(layout.depth())?)?
        .broadcast_add(&one(layout.offset())?)?;
    let unit = ((phase.cos()? * envelope)? * offset.sin()?)?;
    Ok(unit.broadcast_mul(&one(layout.amplitude())?)?)
}

/// A model whose gradients an accelerator computes; the optimiser stays on the processor.
pub struct OnDevice<'a, M> {
    /// The model; trained in place.
    pub model: M,
    /// Where it computes.
    pub accelerator: &'a Accelerator,
}

impl<M: Differentiable> Trainable for OnDevice<'_, M> {
    fn columns(&self) -> usize {
        self.model.columns()
    }

    fn rows_min(&self) -> usize {
        self.model.rows_min()
    }

    fn read(&self) -> Vec<f64> {
        self.model.read()
    }

    fn write(&mut self, parameters: &[f64]) {
        self.model.write(parameters);
    }

    fn statistics(&self) -> Vec<f32> {
        self.model.statistics()
    }

    fn write_statistics(&mut self, statistics: &[f32]) {
        self.model.write_statistics(statistics);
    }

    fn predict(&self, _: Processor, data: &Data) -> Result<Vec<f64>, PhysicsError> {
        let values = self.accelerator.evaluate(&self.model, &data.by_rows())?;
        Ok(values.into_iter().map(f64::from).collect())
    }

    fn add_gradient(
        &mut self,
        _: Processor,
        batch: &Data,
        gradient: &mut [f64],
    ) -> Result<f64, PhysicsError> {
        let inputs = self
            .accelerator
            .rows(&batch.by_rows(), self.model.columns())?;
        let targets = self
            .accelerator
            .tensor(batch.targets(), &[batch.rows(), 1])?;
        let mut variables = Vec::new();
        for (values, shape) in self.model.groups() {
            variables.push(Var::from_tensor(
                &self.accelerator.tensor(&values, &shape)?,
            )?);
        }
        let groups: Vec<Tensor> = variables
            .iter()
            .map(|one| one.as_tensor().clone())
            .collect();
        let mut statistics = BatchStatistics::new();
        let place = Some(&mut statistics);
        let output = self
            .model
            .forward(self.accelerator, &groups, &inputs, place)?;
        let loss = (output - targets)?.sqr()?.mean_all()?;
        let derivatives = loss.backward()?;
        let mut place = 0;
        for variable in &variables {
            let count = variable.elem_count();
            if let Some(by) = derivatives.get(variable) {
                let by: Vec<f32> = by.flatten_all()?.to_vec1()?;
                for (into, value) in gradient[place..place + count].iter_mut().zip(by) {
                    *into += f64::from(value);
                }
            }
            place += count;
        }
        if !statistics.is_empty() {
            let batch = statistics
                .iter()
                .flat_map(|(mean, variance)| mean.iter().chain(variance));
            let mut running = self.model.statistics();
            for (kept, new) in running.iter_mut().zip(batch) {
                *kept = (1.0 - MOMENTUM) * *kept + MOMENTUM * new;
            }
            self.model.write_statistics(&running);
        }
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, StringNetworkOptions};
    use crate::training::DataSet;

    /// Outputs, loss, gradient and statistics of one batch, here and on the framework's processor device.
    fn agrees<M: Differentiable + Clone>(model: M, data: &Data) {
        let accelerator = Accelerator::open(Device::Cpu).expect("device");
        let processor = Processor::single();
        let mut there = OnDevice {
            model: model.clone(),
            accelerator: &accelerator,
        };
        let mut here = model;
        let outputs = here.predict(processor, data).expect("outputs");
        for (one, other) in outputs
            .iter()
            .zip(there.predict(processor, data).expect("outputs"))
        {
            assert!((one - other).abs() < 2e-5, "{one} is not {other}");
        }
        let count = here.read().len();
        let (mut first, mut second) = (vec![0.0; count], vec![0.0; count]);
        let loss = here
            .add_gradient(processor, data, &mut first)
            .expect("loss");
        let other = there
            .add_gradient(processor, data, &mut second)
            .expect("loss");
        assert!((loss - other).abs() < 1e-5 * loss.max(1.0));
        let largest = first.iter().fold(1.0f64, |most, one| most.max(one.abs()));
        for (index, (one, other)) in first.iter().zip(&second).enumerate() {
            assert!(
                (one - other).abs() < 1e-4 * largest,
                "{index}: {one} is not {other}"
            );
        }
        for (one, other) in here.statistics().iter().zip(there.statistics()) {
            assert!((one - other).abs() < 1e-5);
        }
    }

    #[test]
    fn the_framework_and_our_kernels_agree() {
        let chirp = DataSet::TravellingChirp.generate();
        agrees(Wave::seeded(1, 2).expect("wave"), &chirp);
        agrees(Ensemble::seeded(1, 8, 2).expect("ensemble"), &chirp);
        let packet = DataSet::TravellingPacket4D.generate();
        agrees(Ensemble::seeded(3, 4, 2).expect("ensemble"), &packet);
        agrees(
            FourierFeatures::seeded(2, 16, 2.0, 2).expect("features"),
            &chirp,
        );
        for batch_norm in [false, true] {
            let options = StringNetworkOptions {
                dimensions: 2,
                hidden: 16,
                layers: 3,
                batch_norm,
            };
            agrees(
                Perceptron::seeded(options.shape(), 2).expect("network"),
                &chirp,
            );
        }
        let sines = Shape {
            activation: Activation::Sine { frequency: 5.0 },
            ..StringNetworkOptions {
                dimensions: 2,
                ..StringNetworkOptions::default()
            }
            .shape()
        };
        agrees(Perceptron::seeded(sines, 2).expect("network"), &chirp);
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        for device in [Device::Cuda, Device::Metal] {
            if !is_available(device) {
                assert!(Accelerator::open(device).is_err());
            }
        }
    }
}
