//! The training loop.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    Adam, Checkpoint, Data, Ending, LOSSES, Progress, Trainable, TrainingOptions, TrainingReport,
};
use crate::error::{PhysicsError, check_count};
use crate::processor::Processor;
use crate::random::{RESTARTS, Random, SHUFFLES};

/// Who follows a training.
pub trait Observer {
    /// After each epoch.
    fn progress(&mut self, _progress: &Progress) {}
    /// Every so many epochs, as the options ask.
    ///
    /// # Errors
    /// Whatever keeps the checkpoint from being kept; it ends the training.
    fn checkpoint(&mut self, _checkpoint: &Checkpoint) -> Result<(), PhysicsError> {
        Ok(())
    }
}

/// Nobody follows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Everything of a training but the model.
struct Course<'a> {
    processor: Processor,
    data: &'a Data,
    options: &'a TrainingOptions,
    cancelled: &'a AtomicBool,
    /// Epochs of restarts before this course, and epochs in all.
    before: usize,
    total: usize,
}

/// Trains `model` on `data`, from the start or from a checkpoint. `again` makes a fresh model from a seed, for restarts.
/// `cancelled` is read before every step.
///
/// # Errors
/// Options out of range, data that do not fit the model, a loss that is not finite, or a checkpoint that could not be kept.
pub fn train<M: Trainable>(
    model: &mut M,
    data: &Data,
    options: &TrainingOptions,
    again: &dyn Fn(u64) -> Result<M, PhysicsError>,
    context: (Processor, &AtomicBool, &mut dyn Observer),
    from: Option<Checkpoint>,
) -> Result<TrainingReport, PhysicsError> {
    options.check()?;
    check_count("rows", data.rows(), model.rows_min(), super::data::ROWS_MAX)?;
    let (processor, cancelled, observer) = context;
    let restarts = options.restarts.filter(|_| from.is_none());
    let before = restarts.map_or(0, |one| one.count.saturating_mul(one.epochs));
    let mut course = Course {
        processor,
        data,
        options,
        cancelled,
        before: 0,
        total: before + options.epochs,
    };
    let initial_loss = course.loss(model)?;
    let mut restart_seed = None;
    if let Some(restarts) = restarts {
        let short = TrainingOptions {
            epochs: restarts.epochs,
            checkpoint_epochs: None,
            early_stop: None,
            ..options.clone()
        };
        let mut seeds = Random::new(options.seed, RESTARTS);
        let mut best: Option<(f64, u64, M)> = None;
        for index in 0..restarts.count {
            let seed = seeds.word();
            let mut candidate = again(seed)?;
            let course = Course {
                options: &short,
                before: index * restarts.epochs,
                ..course
            };
            let (ending, _) = match course.run(&mut candidate, observer, None) {
                // A starting point from which the loss overflows is only a bad one.
                Err(PhysicsError::Diverged { .. }) => continue,
                other => other?,
            };
            let loss = course.loss(&candidate)?;
            if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
                best = Some((loss, seed, candidate));
            }
            if ending == Ending::Cancelled {
                break;
            }
        }
        if let Some((_, seed, candidate)) = best {
            *model = candidate;
            restart_seed = Some(seed);
        }
        course.before = before;
    }
    let from = from.map(|mut checkpoint| {
        model.write(&checkpoint.parameters);
        model.write_statistics(&checkpoint.statistics);
        checkpoint.losses.truncate(2 * LOSSES);
        checkpoint
    });
    let (ending, state) = course.run(model, observer, from)?;
    Ok(TrainingReport {
        initial_loss: if restart_seed.is_some() {
            initial_loss
        } else {
            state.initial_loss
        },
        final_loss: course.loss(model)?,
        losses: state.losses,
        epochs: state.epoch,
        steps: state.adam.steps,
        restart_seed,
        ending,
        seed: options.seed,
    })
}

impl Course<'_> {
    /// The mean squared error on all rows, as at inference.
    fn loss<M: Trainable>(&self, model: &M) -> Result<f64, PhysicsError> {
        let values = model.predict(self.processor, self.data)?;
        let errors = values.iter().zip(self.data.targets());
        let sum: f64 = errors
            .map(|(value, target)| (value - f64::from(*target)).powi(2))
            .sum();
        Ok(sum / self.data.rows() as f64)
    }

    fn start<M: Trainable>(&self, model: &M) -> Result<Checkpoint, PhysicsError> {
        let parameters = model.read();
        let loss = self.loss(model)?;
        Ok(Checkpoint {
            epoch: 0,
            adam: Adam::new(parameters.len()),
            statistics: model.statistics(),
            initial_loss: loss,
            losses: Vec::new(),
            best: (f64::INFINITY, parameters.clone(), model.statistics()),
            parameters,
            waited: 0,
        })
    }

    /// Trains to the end of the options' epochs, and leaves the best parameters in the model.
    fn run<M: Trainable>(
        &self,
        model: &mut M,
        observer: &mut dyn Observer,
        from: Option<Checkpoint>,
    ) -> Result<(Ending, Checkpoint), PhysicsError> {
        let mut state = match from {
            Some(checkpoint) => self.accept(model, checkpoint)?,
            None => self.start(model)?,
        };
        let every = (self.options.epochs / LOSSES).max(1);
        let mut ending = Ending::Finished;
        while state.epoch < self.options.epochs {
            let before = (state.parameters.clone(), model.statistics());
            let Some((loss, gradient_norm)) = self.epoch(model, &mut state)? else {
                ending = Ending::Cancelled;
                break;
            };
            if state.epoch.is_multiple_of(every) {
                state.losses.push(loss);
            }
            let needed = self
                .options
                .early_stop
                .map_or(0.0, |stop| stop.improvement_min);
            state.waited = if loss < state.best.0 - needed {
                0
            } else {
                state.waited + 1
            };
            if loss < state.best.0 {
                state.best = (loss, before.0, before.1);
            }
            let learning_rate = self.options.rate(state.epoch);
            state.epoch += 1;
            observer.progress(&Progress {
                epochs_done: self.before + state.epoch,
                epochs: self.total,
                loss,
                learning_rate,
                gradient_norm,
            });
            if self
                .options
                .checkpoint_epochs
                .is_some_and(|every| state.epoch.is_multiple_of(every))
            {
                state.statistics = model.statistics();
                observer.checkpoint(&state)?;
            }
            if self
                .options
                .early_stop
                .is_some_and(|stop| state.waited >= stop.patience)
            {
                ending = Ending::Stopped;
                break;
            }
        }
        self.keep_best(model, &mut state)?;
        Ok((ending, state))
    }

    /// A checkpoint that fits the model.
    fn accept<M: Trainable>(
        &self,
        model: &M,
        checkpoint: Checkpoint,
    ) -> Result<Checkpoint, PhysicsError> {
        let expected = model.read().len();
        for found in [
            checkpoint.parameters.len(),
            checkpoint.adam.first.len(),
            checkpoint.adam.second.len(),
            checkpoint.best.1.len(),
        ] {
            if found != expected {
                return Err(PhysicsError::Shape {
                    field: "checkpoint".to_owned(),
                    found,
                    expected,
                });
            }
        }
        Ok(checkpoint)
    }

    /// One pass over the data; the mean loss and the last gradient's norm, or nothing when it was cancelled.
    fn epoch<M: Trainable>(
        &self,
        model: &mut M,
        state: &mut Checkpoint,
    ) -> Result<Option<(f64, f64)>, PhysicsError> {
        let rows = self.data.rows();
        let batch_rows = self
            .options
            .batch_rows
            .unwrap_or(rows)
            .max(model.rows_min())
            .min(rows);
        let mut order: Vec<usize> = Vec::new();
        if batch_rows < rows {
            order = (0..rows).collect();
            Random::new(self.options.seed, SHUFFLES + state.epoch as u64).shuffle(&mut order);
        }
        let rate = self.options.rate(state.epoch);
        let mut gradient = vec![0.0; state.parameters.len()];
        let (mut sum, mut seen, mut norm) = (0.0, 0usize, 0.0);
        let mut start = 0;
        while start < rows {
            if self.cancelled.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let count = batch_rows.min(rows - start);
            // Too few rows for a normalisation at the epoch's end: they come elsewhere in the next shuffle.
            if count < model.rows_min() {
                break;
            }
            gradient.fill(0.0);
            let selected;
            let batch = if order.is_empty() {
                self.data
            } else {
                selected = self.data.select(&order[start..start + count]);
                &selected
            };
            let loss = model.add_gradient(self.processor, batch, &mut gradient)?;
            norm = gradient.iter().map(|one| one * one).sum::<f64>().sqrt();
            if !loss.is_finite() || !norm.is_finite() {
                return Err(PhysicsError::Diverged {
                    epochs: state.epoch,
                });
            }
            if let Some(limit) = self.options.gradient_norm_max
                && norm > limit
            {
                gradient.iter_mut().for_each(|one| *one *= limit / norm);
            }
            state
                .adam
                .step(self.options.adam, rate, &mut state.parameters, &gradient);
            model.write(&state.parameters);
            sum += loss * count as f64;
            seen += count;
            start += count;
        }
        Ok(Some((sum / seen.max(1) as f64, norm)))
    }

    /// Of the last parameters and the best epoch's, leaves those in the model whose loss on all rows is lower.
    fn keep_best<M: Trainable>(
        &self,
        model: &mut M,
        state: &mut Checkpoint,
    ) -> Result<(), PhysicsError> {
        let last = self.loss(model)?;
        let statistics = model.statistics();
        model.write(&state.best.1);
        model.write_statistics(&state.best.2);
        let best = self.loss(model)?;
        if last <= best {
            model.write(&state.parameters);
            model.write_statistics(&statistics);
        }
        Ok(())
    }
}
