use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::network::{Activation, FourierFeatures, Perceptron, Shape, StringNetworkOptions};
use crate::processor::Processor;
use crate::waves::{Ensemble, InterferenceBasis, Wave};

fn options(epochs: usize) -> TrainingOptions {
    TrainingOptions {
        epochs,
        ..TrainingOptions::default()
    }
}

/// Trains without restarts or company.
fn fit<M: Trainable>(model: &mut M, data: &Data, options: &TrainingOptions) -> TrainingReport {
    let again = |_| unreachable!("no restarts");
    let cancelled = AtomicBool::new(false);
    let context = (
        Processor::single(),
        &cancelled,
        &mut Silent as &mut dyn Observer,
    );
    train(model, data, options, &again, context, None).expect("trained")
}

/// Trains, and checks that the loss falls below `share` of its start and that every parameter moved.
fn improves<M: Trainable>(mut model: M, data: &Data, options: &TrainingOptions, share: f64) {
    let before = model.read();
    let report = fit(&mut model, data, options);
    let (first, last) = (report.initial_loss, report.final_loss);
    assert!(last < share * first, "{last} of {first}");
    for (index, (before, after)) in before.iter().zip(model.read()).enumerate() {
        assert!(*before != after, "parameter {index} did not move");
    }
}

#[test]
fn every_kind_of_model_learns_with_all_its_parameters() {
    let chirp = DataSet::TravellingChirp.generate();
    improves(Wave::seeded(1, 3).expect("wave"), &chirp, &options(60), 0.9);
    improves(
        Ensemble::seeded(1, 8, 3).expect("ensemble"),
        &chirp,
        &options(60),
        0.5,
    );
    let basis = InterferenceBasis::seeded(1, 4, 1, 3).expect("basis");
    improves(basis, &chirp, &options(20), 0.99);
    let packet = DataSet::TravellingPacket4D.generate();
    improves(
        Ensemble::seeded(3, 8, 3).expect("ensemble"),
        &packet,
        &options(40),
        0.5,
    );
    let packet = DataSet::TravellingPacket6D.generate();
    improves(
        Ensemble::seeded(5, 6, 3).expect("ensemble"),
        &packet,
        &options(40),
        0.5,
    );
    let slow = TrainingOptions {
        learning_rate: 1e-3,
        batch_rows: Some(500),
        gradient_norm_max: Some(1.0),
        ..options(10)
    };
    let sines = Shape {
        inputs: 2,
        hidden: 32,
        layers: 2,
        outputs: 1,
        batch_norm: false,
        activation: Activation::Sine { frequency: 30.0 },
    };
    improves(
        Perceptron::seeded(sines, 1).expect("network"),
        &chirp,
        &slow,
        0.9,
    );
    improves(
        FourierFeatures::seeded(2, 32, 2.0, 1).expect("features"),
        &chirp,
        &slow,
        0.9,
    );
    let normalised = StringNetworkOptions {
        dimensions: 2,
        hidden: 16,
        layers: 2,
        batch_norm: true,
    };
    improves(
        Perceptron::seeded(normalised.shape(), 1).expect("network"),
        &chirp,
        &slow,
        0.9,
    );
}

#[test]
fn without_time_the_frequency_and_velocity_have_no_gradient() {
    let data = DataSet::GlitchyChirp.generate();
    assert_eq!(data.rows(), 1_000);
    let mut ensemble = Ensemble::seeded(1, 8, 1).expect("ensemble");
    let mut gradient = vec![0.0; 73];
    Trainable::add_gradient(&mut ensemble, Processor::single(), &data, &mut gradient)
        .expect("loss");
    for wave in gradient[..64].chunks_exact(8) {
        assert_eq!((wave[2], wave[3]), (0.0, 0.0));
        assert_ne!(wave[1], 0.0);
    }
}

#[test]
fn eight_waves_beat_the_published_loss_on_the_travelling_chirp() {
    let data = DataSet::TravellingChirp.generate();
    let again = |seed| Ensemble::seeded(1, 8, seed);
    let mut ensemble = again(1).expect("ensemble");
    let cancelled = AtomicBool::new(false);
    let context = (
        Processor::single(),
        &cancelled,
        &mut Silent as &mut dyn Observer,
    );
    let options = TrainingOptions::thorough();
    let report = train(&mut ensemble, &data, &options, &again, context, None).expect("trained");
    assert!(report.final_loss < 0.007, "{}", report.final_loss);
    assert!(report.restart_seed.is_some());
}

/// Keeps every checkpoint and cancels after some epochs.
struct Keeper<'a> {
    checkpoints: Vec<Checkpoint>,
    epochs: Vec<usize>,
    cancel_at: usize,
    cancelled: &'a AtomicBool,
}

impl Observer for Keeper<'_> {
    fn progress(&mut self, progress: &Progress) {
        self.epochs.push(progress.epochs_done);
        if progress.epochs_done == self.cancel_at {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), PhysicsError> {
        self.checkpoints.push(checkpoint.clone());
        Ok(())
    }
}

#[test]
fn a_resumed_training_takes_the_steps_of_the_uninterrupted_one() {
    let data = DataSet::TravellingChirp.generate();
    let options = TrainingOptions {
        batch_rows: Some(300),
        checkpoint_epochs: Some(5),
        schedule: Schedule::Cosine { floor: 0.1 },
        seed: 9,
        ..options(12)
    };
    let network = StringNetworkOptions {
        dimensions: 2,
        hidden: 8,
        layers: 1,
        batch_norm: true,
    };
    let mut whole = Perceptron::seeded(network.shape(), 5).expect("network");
    let mut second = whole.clone();
    let report = fit(&mut whole, &data, &options);

    let cancelled = AtomicBool::new(false);
    let mut keeper = Keeper {
        checkpoints: Vec::new(),
        epochs: Vec::new(),
        cancel_at: 7,
        cancelled: &cancelled,
    };
    let again = |_| unreachable!("no restarts");
    let context = (
        Processor::single(),
        &cancelled,
        &mut keeper as &mut dyn Observer,
    );
    let part = train(&mut second, &data, &options, &again, context, None).expect("trained");
    assert_eq!((part.ending, part.epochs), (Ending::Cancelled, 7));
    assert_eq!(keeper.epochs, [1, 2, 3, 4, 5, 6, 7]);
    let text = serde_json::to_string(&keeper.checkpoints[0]).expect("written");
    let checkpoint: Checkpoint = serde_json::from_str(&text).expect("read");
    assert_eq!(checkpoint.epoch, 5);
    let cancelled = AtomicBool::new(false);
    let context = (
        Processor::single(),
        &cancelled,
        &mut Silent as &mut dyn Observer,
    );
    let resumed = train(
        &mut second,
        &data,
        &options,
        &again,
        context,
        Some(checkpoint),
    );
    assert_eq!(resumed.expect("trained").final_loss, report.final_loss);
    assert_eq!(second, whole);
}

#[test]
fn the_same_seed_trains_the_same_model() {
    let data = DataSet::TravellingChirp.generate();
    let trained = |seed, threads| {
        let options = TrainingOptions {
            batch_rows: Some(512),
            seed,
            ..options(5)
        };
        let mut model = Ensemble::seeded(1, 4, 2).expect("ensemble");
        let cancelled = AtomicBool::new(false);
        let context = (
            Processor::new(threads),
            &cancelled,
            &mut Silent as &mut dyn Observer,
        );
        let again = |_| unreachable!("no restarts");
        train(&mut model, &data, &options, &again, context, None).expect("trained");
        model
    };
    assert_eq!(trained(1, 1), trained(1, 4));
    assert_ne!(trained(1, 1), trained(2, 1));
}

#[test]
fn a_training_that_does_not_improve_stops_early() {
    let data = DataSet::TravellingChirp.generate();
    let mut model = Ensemble::seeded(1, 4, 2).expect("ensemble");
    let options = TrainingOptions {
        early_stop: Some(EarlyStop {
            patience: 3,
            improvement_min: 1.0,
        }),
        ..options(100)
    };
    let report = fit(&mut model, &data, &options);
    assert_eq!((report.ending, report.epochs), (Ending::Stopped, 4));
    assert!(report.final_loss <= report.initial_loss);
}

#[test]
fn options_and_data_are_checked() {
    let base = TrainingOptions::default;
    for wrong in [
        TrainingOptions {
            epochs: 0,
            ..base()
        },
        TrainingOptions {
            learning_rate: 0.0,
            ..base()
        },
        TrainingOptions {
            learning_rate: f64::NAN,
            ..base()
        },
        TrainingOptions {
            batch_rows: Some(0),
            ..base()
        },
        TrainingOptions {
            gradient_norm_max: Some(-1.0),
            ..base()
        },
        TrainingOptions {
            schedule: Schedule::Cosine { floor: 2.0 },
            ..base()
        },
        TrainingOptions {
            adam: AdamOptions {
                beta1: 1.0,
                ..AdamOptions::default()
            },
            ..base()
        },
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
    assert!(serde_json::from_str::<TrainingOptions>(r#"{"epoch":3}"#).is_err());
    assert!(Data::new(vec![vec![1.0, 2.0]], vec![1.0]).is_err());
    assert!(Data::new(vec![vec![f32::NAN]], vec![1.0]).is_err());
    assert!(Data::new(vec![], vec![1.0]).is_err());
    assert!(DataSet::parse("chirp").is_err());
    assert_eq!(DataSet::parse("glitchy-chirp"), Ok(DataSet::GlitchyChirp));
}

#[test]
fn the_glitchy_chirp_is_the_published_curve() {
    let data = DataSet::GlitchyChirp.generate();
    // x_0 = -10, x_525 = -10 + 20 * 525 / 999, where the glitch is on.
    let chirp = |x: f64| (0.5 * x * x).sin() * (-0.1 * x * x).exp();
    let x = -10.0 + 20.0 * 525.0 / 999.0;
    assert!((f64::from(data.targets()[0]) - chirp(-10.0)).abs() < 1e-7);
    let expected = chirp(x) + 0.5 * (20.0 * x).sin();
    assert!((f64::from(data.targets()[525]) - expected).abs() < 1e-7);
    assert!(data.columns()[1].iter().all(|t| *t == 0.0));
}
