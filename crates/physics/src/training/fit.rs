//! What the trainer needs of a model, and how each kind of model gives it.

use super::data::Data;
use crate::error::PhysicsError;
use crate::network::{FourierFeatures, Perceptron};
use crate::processor::Processor;
use crate::waves::{Coordinates, Ensemble, InterferenceBasis, Wave};

/// A model with one output column that gradients can improve.
pub trait Trainable {
    /// The columns of its inputs.
    fn columns(&self) -> usize;
    /// The least rows of a batch.
    fn rows_min(&self) -> usize {
        1
    }
    /// All trained parameters.
    fn read(&self) -> Vec<f64>;
    /// Takes all trained parameters, as many as [`Trainable::read`] gives.
    fn write(&mut self, parameters: &[f64]);
    /// What batches change beside the parameters, such as running means.
    fn statistics(&self) -> Vec<f32> {
        Vec::new()
    }
    /// Takes what [`Trainable::statistics`] gave.
    fn write_statistics(&mut self, _statistics: &[f32]) {}
    /// The outputs, one per row.
    ///
    /// # Errors
    /// Data of other columns than the model's.
    fn predict(&self, processor: Processor, data: &Data) -> Result<Vec<f64>, PhysicsError>;
    /// The mean squared error of a batch; its derivatives by every parameter are added to `gradient`.
    ///
    /// # Errors
    /// Data of other columns than the model's.
    fn add_gradient(
        &mut self,
        processor: Processor,
        batch: &Data,
        gradient: &mut [f64],
    ) -> Result<f64, PhysicsError>;
}

fn narrow(parameters: &[f64]) -> Vec<f32> {
    parameters.iter().map(|one| *one as f32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|one| f64::from(*one)).collect()
}

fn check_columns(data: &Data, expected: usize) -> Result<(), PhysicsError> {
    if data.columns().len() == expected {
        return Ok(());
    }
    Err(PhysicsError::Shape {
        field: "columns".to_owned(),
        found: data.columns().len(),
        expected,
    })
}

/// The value and gradient of an ensemble through the kernels; `gradient` also holds the head's derivatives.
fn add_wave_gradient(
    processor: Processor,
    ensemble: kernels::waves::Ensemble<'_>,
    batch: &Data,
    gradient: &mut [f64],
) -> f64 {
    let columns: Vec<&[f32]> = batch.columns().iter().map(Vec::as_slice).collect();
    let mut weights = vec![0.0; batch.rows()];
    kernels::waves::evaluate(processor.level, ensemble, &columns, &mut weights);
    let share = 1.0 / batch.rows() as f64;
    let mut loss = 0.0;
    for (weight, target) in weights.iter_mut().zip(batch.targets()) {
        let error = f64::from(*weight - target);
        loss += error * error;
        *weight = (2.0 * error * share) as f32;
    }
    kernels::waves::add_gradient(processor.level, ensemble, &columns, &weights, gradient);
    loss * share
}

/// The inputs and parameters of models made of waves: one column per axis and one for time, parameters as they are.
macro_rules! of_waves {
    () => {
        fn columns(&self) -> usize {
            self.layout().dimensions() + 1
        }

        fn read(&self) -> Vec<f64> {
            self.parameters().to_vec()
        }

        fn write(&mut self, parameters: &[f64]) {
            self.parameters_mut().copy_from_slice(parameters);
        }
    };
}

/// The outputs of waves by the kernels, in single precision.
macro_rules! predicted_by_kernel {
    () => {
        fn predict(&self, processor: Processor, data: &Data) -> Result<Vec<f64>, PhysicsError> {
            let columns = data.columns().iter().map(Vec::as_slice).collect();
            let points = Coordinates::new(self.layout(), columns)?;
            Ok(wide(&self.evaluate_single(processor, &points)?))
        }
    };
}

impl Trainable for Wave {
    of_waves!();

    predicted_by_kernel!();

    fn add_gradient(
        &mut self,
        processor: Processor,
        batch: &Data,
        gradient: &mut [f64],
    ) -> Result<f64, PhysicsError> {
        check_columns(batch, self.columns())?;
        let waves = narrow(self.parameters());
        let ensemble = kernels::waves::Ensemble {
            dimensions: self.layout().dimensions(),
            waves: &waves,
            weights: &[1.0],
            bias: 0.0,
        };
        // The head of one wave is not trained: its two derivatives are left behind.
        let mut all = vec![0.0; waves.len() + 2];
        let loss = add_wave_gradient(processor, ensemble, batch, &mut all);
        for (into, value) in gradient.iter_mut().zip(all) {
            *into += value;
        }
        Ok(loss)
    }
}

impl Trainable for Ensemble {
    of_waves!();

    predicted_by_kernel!();

    fn add_gradient(
        &mut self,
        processor: Processor,
        batch: &Data,
        gradient: &mut [f64],
    ) -> Result<f64, PhysicsError> {
        check_columns(batch, self.columns())?;
        let parameters = narrow(self.parameters());
        let ensemble = self.as_kernel(&parameters);
        Ok(add_wave_gradient(processor, ensemble, batch, gradient))
    }
}

impl Trainable for InterferenceBasis {
    of_waves!();

    fn predict(&self, _: Processor, data: &Data) -> Result<Vec<f64>, PhysicsError> {
        let columns: Vec<Vec<f64>> = data.columns().iter().map(|one| wide(one)).collect();
        let columns = columns.iter().map(Vec::as_slice).collect();
        let values = self.evaluate(&Coordinates::new(self.layout(), columns)?)?;
        Ok(values.into_iter().step_by(self.outputs()).collect())
    }

    /// Only the first output is compared with the target.
    fn add_gradient(
        &mut self,
        processor: Processor,
        batch: &Data,
        gradient: &mut [f64],
    ) -> Result<f64, PhysicsError> {
        let values = self.predict(processor, batch)?;
        let share = 1.0 / batch.rows() as f64;
        let mut weights = vec![0.0; self.outputs()];
        let mut position = vec![0.0; self.layout().dimensions()];
        let (time, axes) = match batch.columns().split_last() {
            Some(parts) => parts,
            None => return Ok(0.0),
        };
        let mut loss = 0.0;
        for (row, (value, target)) in values.iter().zip(batch.targets()).enumerate() {
            let error = value - f64::from(*target);
            loss += error * error;
            weights[0] = 2.0 * error * share;
            for (into, axis) in position.iter_mut().zip(axes) {
                *into = f64::from(axis[row]);
            }
            InterferenceBasis::add_gradient(
                self,
                &position,
                f64::from(time[row]),
                &weights,
                gradient,
            );
        }
        Ok(loss * share)
    }
}

impl Trainable for Perceptron {
    fn columns(&self) -> usize {
        self.shape().inputs
    }

    fn rows_min(&self) -> usize {
        Perceptron::rows_min(self)
    }

    fn read(&self) -> Vec<f64> {
        wide(self.parameters())
    }

    fn write(&mut self, parameters: &[f64]) {
        self.parameters_mut().copy_from_slice(&narrow(parameters));
    }

    fn statistics(&self) -> Vec<f32> {
        Perceptron::statistics(self).to_vec()
    }

    fn write_statistics(&mut self, statistics: &[f32]) {
        self.statistics_mut().copy_from_slice(statistics);
    }

    fn predict(&self, processor: Processor, data: &Data) -> Result<Vec<f64>, PhysicsError> {
        check_columns(data, self.columns())?;
        Ok(wide(&self.evaluate(processor, &data.by_rows())?))
    }

    fn add_gradient(
        &mut self,
        processor: Processor,
        batch: &Data,
        gradient: &mut [f64],
    ) -> Result<f64, PhysicsError> {
        check_columns(batch, self.columns())?;
        let inputs = batch.by_rows();
        Ok(Perceptron::add_gradient(
            self,
            processor.level,
            &inputs,
            batch.targets(),
            gradient,
        ))
    }
}

impl Trainable for FourierFeatures {
    fn columns(&self) -> usize {
        self.inputs()
    }

    fn read(&self) -> Vec<f64> {
        wide(self.head().parameters())
    }

    fn write(&mut self, parameters: &[f64]) {
        self.head_mut().write(parameters);
    }

    fn predict(&self, processor: Processor, data: &Data) -> Result<Vec<f64>, PhysicsError> {
        check_columns(data, self.columns())?;
        Ok(wide(&self.evaluate(processor, &data.by_rows())?))
    }

    fn add_gradient(
        &mut self,
        processor: Processor,
        batch: &Data,
        gradient: &mut [f64],
    ) -> Result<f64, PhysicsError> {
        check_columns(batch, self.columns())?;
        let features = self.features(processor, &batch.by_rows());
        let head = self.head_mut();
        Ok(head.add_gradient(processor.level, &features, batch.targets(), gradient))
    }
}
