use kernels::dispatch::Level;

use super::*;
use crate::processor::Processor;

fn shape(dimensions: usize, hidden: usize, layers: usize, batch_norm: bool) -> Shape {
    StringNetworkOptions {
        dimensions,
        hidden,
        layers,
        batch_norm,
    }
    .shape()
}

#[test]
fn parameter_counts_are_the_published_ones() {
    let count = |d, h, l, b| shape(d, h, l, b).parameter_count();
    assert_eq!(
        StringNetworkOptions::default().shape().parameter_count(),
        4_929
    );
    assert_eq!(count(10, 64, 1, false), 769);
    assert_eq!(count(10, 128, 5, true), 68_865);
    assert_eq!(count(10, 64, 10, false), 38_209);
    assert_eq!(shape(10, 64, 15, false).layers, 10);
    assert_eq!(shape(10, 64, 0, false).layers, 1);
    let names = shape(3, 4, 1, true);
    let in_groups: usize = names
        .groups()
        .iter()
        .map(|(_, s)| s.iter().product::<usize>())
        .sum();
    assert_eq!(in_groups, names.parameter_count());
}

fn close(what: &str, found: impl IntoIterator<Item = f64>, expected: &serde_json::Value) {
    let expected = expected.as_array().expect("array");
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let expected = expected.as_f64().expect("number");
        assert!(
            (found - expected).abs() < 2e-6 * expected.abs().max(1.0),
            "{what} {index}: {found} is not {expected}"
        );
    }
}

fn wide(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|value| f64::from(*value))
}

#[test]
fn networks_match_pytorch_on_the_same_weights() {
    let cases = include_str!("../../testdata/networks.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(cases).expect("fixture");
    assert_eq!(cases.len(), 3);
    for (case, level) in cases
        .iter()
        .flat_map(|case| [Level::best(), Level::Scalar].map(|level| (case, level)))
    {
        let size = |name: &str| case[name].as_u64().expect("size") as usize;
        let numbers = |name: &str| -> Vec<f32> {
            let values = case[name].as_array().expect("array").iter();
            values
                .map(|one| one.as_f64().expect("number") as f32)
                .collect()
        };
        let batch_norm = case["batch_norm"].as_bool().expect("flag");
        let shape = shape(
            size("dimensions"),
            size("hidden"),
            size("layers"),
            batch_norm,
        );
        let mut network = Perceptron::seeded(shape, 1).expect("network");
        network
            .parameters_mut()
            .copy_from_slice(&numbers("parameters"));
        let (inputs, targets) = (numbers("inputs"), numbers("targets"));
        let before = network.clone();
        let outputs = network.evaluate_training(level, &inputs);
        close(
            "training outputs",
            wide(&outputs),
            &case["training_outputs"],
        );
        network = before;
        let mut gradient = vec![0.0; shape.parameter_count()];
        let loss = network.add_gradient(level, &inputs, &targets, &mut gradient);
        assert!((loss - case["loss"].as_f64().expect("loss")).abs() < 1e-6);
        close("gradient", gradient, &case["gradient"]);
        close(
            "statistics",
            wide(network.statistics()),
            &case["statistics"],
        );
        let processor = Processor { level, threads: 1 };
        let outputs = network.evaluate(processor, &inputs).expect("outputs");
        close("outputs", wide(&outputs), &case["outputs"]);
    }
}

#[test]
fn sine_network_gradients_match_finite_differences() {
    let shape = Shape {
        inputs: 2,
        hidden: 8,
        layers: 2,
        outputs: 1,
        batch_norm: false,
        activation: Activation::Sine { frequency: 3.0 },
    };
    let network = Perceptron::seeded(shape, 4).expect("network");
    let inputs = [0.1, -0.4, 0.7, 0.2, -0.9, 0.5];
    let targets = [0.3, -0.2, 0.8];
    let mut gradient = vec![0.0; shape.parameter_count()];
    network
        .clone()
        .add_gradient(Level::best(), &inputs, &targets, &mut gradient);
    for (index, found) in gradient.iter().enumerate() {
        let loss = |step: f32| {
            let mut moved = network.clone();
            moved.parameters_mut()[index] += step;
            let mut ignored = vec![0.0; shape.parameter_count()];
            moved.add_gradient(Level::best(), &inputs, &targets, &mut ignored)
        };
        let expected = (loss(1e-2) - loss(-1e-2)) / 2e-2;
        assert!(
            (found - expected).abs() < 3e-3,
            "{index}: {found} is not {expected}"
        );
    }
}

#[test]
fn a_row_in_a_batch_equals_the_row_alone() {
    for network in [shape(10, 64, 2, false), shape(7, 33, 10, true)] {
        let network = Perceptron::seeded(network, 9).expect("network");
        let width = network.shape().inputs;
        let inputs: Vec<f32> = (0..5_000 * width)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let batch = network
            .evaluate(Processor::new(4), &inputs)
            .expect("outputs");
        assert_eq!(batch.len(), 5_000);
        for row in [0, 1, 95, 96, 4_999] {
            let alone = network
                .evaluate(Processor::single(), &inputs[row * width..(row + 1) * width])
                .expect("output");
            assert_eq!(alone[0], batch[row]);
        }
        assert!(
            network
                .evaluate(Processor::single(), &inputs[..width + 1])
                .is_err()
        );
        assert!(network.evaluate(Processor::single(), &[]).is_err());
    }
}

#[test]
fn fourier_features_are_sines_and_cosines_of_the_fixed_matrix() {
    let features = FourierFeatures::seeded(2, 5, 10.0, 3).expect("features");
    let x = [0.3f32, -0.8];
    let found = features.evaluate(Processor::single(), &x).expect("output")[0];
    let parameters = features.head().parameters();
    let mut expected = f64::from(parameters[10]);
    for index in 0..5 {
        let angle = f64::from(
            x[0] * features.frequencies()[index] + x[1] * features.frequencies()[5 + index],
        );
        expected += f64::from(parameters[index]) * angle.sin();
        expected += f64::from(parameters[5 + index]) * angle.cos();
    }
    assert!((f64::from(found) - expected).abs() < 1e-5);
    assert!(FourierFeatures::seeded(0, 5, 10.0, 3).is_err());
    assert!(FourierFeatures::seeded(2, 5, 0.0, 3).is_err());
    assert!(FourierFeatures::from_parameters(2, vec![0.0; 3], vec![0.0; 3]).is_err());
}

#[test]
fn sizes_are_bounded() {
    for wrong in [
        shape(0, 64, 2, false),
        shape(10, 0, 2, false),
        shape(10, HIDDEN_MAX + 1, 2, false),
    ] {
        assert!(Perceptron::seeded(wrong, 1).is_err());
    }
    let right = shape(2, 3, 1, true);
    let network = |variance: f32| {
        let statistics = vec![0.0, 0.0, 0.0, variance, 1.0, 1.0];
        Perceptron::from_parameters(right, vec![0.1; right.parameter_count()], statistics)
    };
    assert!(network(1.0).is_ok() && network(-1.0).is_err() && network(f32::NAN).is_err());
}
