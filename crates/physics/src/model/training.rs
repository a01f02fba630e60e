//! Training any model.

use std::sync::atomic::AtomicBool;

use super::{Body, ModelConfig, ScienceModel};
use crate::device::{Compute, Device};
use crate::error::PhysicsError;
use crate::network::{FourierFeatures, Perceptron};
use crate::processor::Processor;
use crate::training::{
    Checkpoint, Data, Observer, Trainable, TrainingOptions, TrainingReport, train,
};
use crate::waves::{Ensemble, InterferenceBasis, Wave};

/// Everything of a training but the model.
struct Course<'a> {
    compute: &'a Compute,
    data: &'a Data,
    options: &'a TrainingOptions,
    cancelled: &'a AtomicBool,
    observer: &'a mut dyn Observer,
    checkpoint: Option<Checkpoint>,
}

impl Course<'_> {
    /// Trains on the processor.
    fn on_processor<M: Trainable>(
        self,
        model: &mut M,
        again: &dyn Fn(u64) -> Result<M, PhysicsError>,
    ) -> Result<(TrainingReport, Device), PhysicsError> {
        let processor: Processor = self.compute.processor;
        let context = (processor, self.cancelled, self.observer);
        let report = train(
            model,
            self.data,
            self.options,
            again,
            context,
            self.checkpoint,
        )?;
        Ok((report, Device::Cpu))
    }

    /// Trains where the model was placed.
    #[cfg(feature = "accelerator")]
    fn anywhere<M: crate::accelerator::Differentiable + Clone>(
        self,
        model: &mut M,
        again: &dyn Fn(u64) -> Result<M, PhysicsError>,
    ) -> Result<(TrainingReport, Device), PhysicsError> {
        use crate::accelerator::OnDevice;
        let Some((device, accelerator)) = &self.compute.accelerator else {
            return self.on_processor(model, again);
        };
        let there = |model| OnDevice { model, accelerator };
        let mut moved = there(model.clone());
        let again = |seed| again(seed).map(there);
        let context = (self.compute.processor, self.cancelled, self.observer);
        let checkpoint = self.checkpoint;
        let report = train(
            &mut moved,
            self.data,
            self.options,
            &again,
            context,
            checkpoint,
        );
        *model = moved.model;
        Ok((report?, *device))
    }

    /// Trains on the processor: this build has nothing else.
    #[cfg(not(feature = "accelerator"))]
    fn anywhere<M: Trainable>(
        self,
        model: &mut M,
        again: &dyn Fn(u64) -> Result<M, PhysicsError>,
    ) -> Result<(TrainingReport, Device), PhysicsError> {
        self.on_processor(model, again)
    }
}

impl ScienceModel {
    /// Trains the model in place on `data`, from its parameters or from `checkpoint`. `cancelled` is read before every step;
    /// a cancelled training keeps the best parameters so far. When a restart wins, the model's seed becomes the restart's. The
    /// device is the one that really computed; the interference basis always trains on the processor.
    ///
    /// # Errors
    /// Options out of range, data that do not fit, a model of several outputs, a loss that is not finite, or a checkpoint that
    /// could not be kept.
    pub fn train(
        &mut self,
        compute: &Compute,
        data: &Data,
        options: &TrainingOptions,
        cancelled: &AtomicBool,
        observer: &mut dyn Observer,
        checkpoint: Option<Checkpoint>,
    ) -> Result<(TrainingReport, Device), PhysicsError> {
        if self.outputs() != 1 {
            return Err(PhysicsError::NotSupported {
                what: "training a model of several outputs".to_owned(),
            });
        }
        let course = Course {
            compute,
            data,
            options,
            cancelled,
            observer,
            checkpoint,
        };
        let config = self.config.clone();
        let (report, device) = match &mut self.body {
            Body::Wave(wave) => {
                let dimensions = wave.layout().dimensions();
                course.anywhere(wave, &|seed| Wave::seeded(dimensions, seed))
            }
            Body::Ensemble(ensemble) => {
                let (dimensions, waves) = (ensemble.layout().dimensions(), ensemble.waves());
                course.anywhere(ensemble, &|seed| Ensemble::seeded(dimensions, waves, seed))
            }
            Body::Interference(basis) => {
                let (dimensions, fields) = (basis.layout().dimensions(), basis.fields());
                let again = |seed| InterferenceBasis::seeded(dimensions, fields, 1, seed);
                course.on_processor(basis, &again)
            }
            Body::Network(network) => {
                let shape = *network.shape();
                course.anywhere(network, &|seed| Perceptron::seeded(shape, seed))
            }
            Body::Fourier(features) => course.anywhere(features, &|seed| match &config {
                ModelConfig::FourierFeatures {
                    inputs,
                    features,
                    scale,
                } => FourierFeatures::seeded(*inputs, *features, *scale, seed),
                _ => Err(PhysicsError::Empty { field: "features" }),
            }),
        }?;
        if let Some(seed) = report.restart_seed {
            self.seed = seed;
        }
        Ok((report, device))
    }
}
