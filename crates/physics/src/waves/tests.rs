use super::*;

const K: [f64; 5] = [0.5, -1.0, 2.0, 0.25, -0.75];
const V: [f64; 5] = [0.3, 0.1, -0.2, 0.05, 0.4];
const LAMBDA: [f64; 5] = [1.5, 0.4, -0.7, 0.9, -1.1];
const X: [f64; 5] = [0.7, -0.3, 0.2, 0.1, -0.6];

/// A = 1.2, omega = 0.5, log_sigma = 0.25, phi = 0.2, epsilon = 0.1 and the given vectors.
pub(super) fn golden(k: &[f64], v: &[f64], lambda: &[f64]) -> Wave {
    let parameters = [&[1.2], k, &[0.5], v, &[0.25, 0.2, 0.1], lambda].concat();
    Wave::from_parameters(k.len(), parameters).expect("wave")
}

fn at(wave: &Wave, position: &[f64], time: f64) -> f64 {
    let time = [time];
    let columns = position
        .iter()
        .map(std::slice::from_ref)
        .chain([&time[..]])
        .collect();
    let points = Coordinates::new(wave.layout(), columns).expect("points");
    wave.evaluate(&points).expect("values")[0]
}

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-12,
        "{found} is not {expected}"
    );
}

#[test]
fn golden_values_in_double_precision() {
    near(
        at(&golden(&[2.0], &[0.3], &[1.5]), &[0.7], 0.4),
        0.097_052_351_877_960_4,
    );
    near(
        at(&golden(&K[..3], &V[..3], &LAMBDA[..3]), &X[..3], 0.4),
        0.180_108_476_693_525_25,
    );
    near(
        at(&golden(&K, &V, &LAMBDA), &X, 0.4),
        0.042_002_694_566_628_62,
    );
    let initial = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.1, 1.0];
    let wave = Wave::from_parameters(1, initial.to_vec()).expect("wave");
    near(at(&wave, &[0.5], 0.0), 0.067_878_394_643_427_03);
}

#[test]
fn the_golden_gradient_in_parameter_order() {
    let expected = [
        0.080_876_959_898_300_35,
        -0.174_743_355_019_849_1,
        0.099_853_345_725_628_04,
        0.013_656_732_666_598_854,
        0.019_802_262_366_568_336,
        0.380_473_311_536_416_84,
        0.189_312_504_316_010_5,
        -0.023_102_197_100_174_915,
    ];
    let gradient = golden(&[2.0], &[0.3], &[1.5])
        .gradient(&[0.7], 0.4)
        .expect("gradient");
    for (found, expected) in gradient.iter().zip(expected) {
        near(*found, expected);
    }
}

/// Central differences, as an oracle that shares nothing with the formulas.
fn difference(count: usize, value: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    (0..count)
        .map(|index| (value(index, STEP) - value(index, -STEP)) / (2.0 * STEP))
        .collect()
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() < 1e-8,
            "parameter {index}: {found} is not {expected}"
        );
    }
}

#[test]
fn wave_gradients_match_finite_differences() {
    for dimensions in [1, 2, 3, 5, 7] {
        let wave = Wave::seeded(dimensions, 11).expect("wave");
        let position: Vec<f64> = (0..dimensions)
            .map(|axis| 0.3 - 0.2 * axis as f64)
            .collect();
        let numeric = difference(wave.layout().count(), |index, step| {
            let mut moved = wave.clone();
            moved.parameters_mut()[index] += step;
            at(&moved, &position, 0.6)
        });
        close(&wave.gradient(&position, 0.6).expect("gradient"), &numeric);
    }
}

#[test]
fn ensemble_and_basis_gradients_match_finite_differences() {
    let (position, time) = ([0.4, -0.2, 0.1], [0.7]);
    let columns: Vec<&[f64]> = position
        .iter()
        .map(std::slice::from_ref)
        .chain([&time[..]])
        .collect();
    let ensemble = Ensemble::seeded(3, 4, 5).expect("ensemble");
    let points = Coordinates::new(ensemble.layout(), columns).expect("points");
    let numeric = difference(ensemble.parameters().len(), |index, step| {
        let mut moved = ensemble.clone();
        moved.parameters_mut()[index] += step;
        moved.evaluate(&points).expect("values")[0]
    });
    let mut gradient = vec![0.0; ensemble.parameters().len()];
    ensemble.add_gradient(&position, time[0], 1.0, &mut gradient);
    close(&gradient, &numeric);

    let basis = InterferenceBasis::seeded(3, 4, 2, 5).expect("basis");
    let weights = [0.3, -1.4];
    let numeric = difference(basis.parameters().len(), |index, step| {
        let mut moved = basis.clone();
        moved.parameters_mut()[index] += step;
        let values = moved.evaluate(&points).expect("values");
        values[0] * weights[0] + values[1] * weights[1]
    });
    let mut gradient = vec![0.0; basis.parameters().len()];
    basis.add_gradient(&position, time[0], &weights, &mut gradient);
    close(&gradient, &numeric);
}

#[test]
fn parameter_counts_and_names_are_the_published_ones() {
    let layout = |dimensions| Layout::new(dimensions).expect("layout");
    assert_eq!([1, 3, 5].map(|n| layout(n).count()), [8, 14, 20]);
    assert_eq!(
        layout(1).names(),
        [
            "A",
            "k",
            "omega",
            "v",
            "log_sigma",
            "phi",
            "epsilon",
            "lmbda"
        ]
    );
    assert_eq!(
        layout(3).names().join(" "),
        "A kx ky kz omega vx vy vz log_sigma phi epsilon lmbda_x lmbda_y lmbda_z"
    );
    assert_eq!(
        layout(5).names().join(" "),
        "A k1 k2 k3 k4 k5 omega v1 v2 v3 v4 v5 log_sigma phi epsilon \
         lmbda_1 lmbda_2 lmbda_3 lmbda_4 lmbda_5"
    );
    assert_eq!(layout(5).input_names().join(" "), "x1 x2 x3 x4 x5 t");
    for (dimensions, waves, expected) in [(1, 16, 145), (1, 8, 73), (3, 8, 121), (5, 6, 127)] {
        let ensemble = Ensemble::seeded(dimensions, waves, 0).expect("ensemble");
        assert_eq!(ensemble.parameters().len(), expected);
    }
    let basis = InterferenceBasis::seeded(1, 8, 1, 0).expect("basis");
    assert_eq!(basis.parameters().len(), 66);
    let in_groups: usize = basis
        .groups()
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    assert_eq!(in_groups, 66);
    assert!(Layout::new(0).is_err() && Layout::new(17).is_err());
    assert!(Ensemble::seeded(1, WAVES_MAX + 1, 0).is_err());
}

#[test]
fn seeds_make_models() {
    let wave = |seed| Wave::seeded(1, seed).expect("wave");
    assert_eq!(wave(3), wave(3));
    assert_ne!(wave(3), wave(4));
    let values = wave(3).parameters().to_vec();
    assert_eq!((values[0], values[4], values[5]), (1.0, 0.0, 0.0));
    assert_eq!(values[6], f64::from(0.1f32));
}

#[test]
fn columns_broadcast_and_errors_name_the_column() {
    let wave = Wave::seeded(1, 1).expect("wave");
    let layout = wave.layout();
    let named = |inputs: Vec<(&str, &[f64])>| {
        Coordinates::named(layout, inputs).map(|points| wave.evaluate(&points).expect("values"))
    };
    let values = named(vec![("x", &[0.1, 0.2, 0.3]), ("t", &[0.5])]).expect("values");
    assert_eq!(values.len(), 3);
    assert_eq!(values[1], at(&wave, &[0.2], 0.5));
    assert_eq!(
        named(vec![("x", &[0.2])]).expect("values"),
        [at(&wave, &[0.2], 0.0)]
    );
    let message = |inputs| named(inputs).expect_err("refused").to_string();
    assert_eq!(
        message(vec![("x", &[0.1, 0.2, 0.3]), ("t", &[0.5, 0.6])]),
        "broadcast `t`: it holds 2 values where 3 or 1 are needed"
    );
    assert_eq!(
        message(vec![("y", &[0.1])]),
        "find an input named `y`: this model takes x, t, each once"
    );
    assert!(message(vec![("x", &[])]).contains("`x` with 0 entries"));
    let wider = Wave::seeded(3, 1).expect("wave");
    let points = Coordinates::new(layout, vec![&[0.1][..], &[0.2][..]]).expect("points");
    assert!(wider.evaluate(&points).is_err());
}

#[test]
fn single_precision_matches_the_golden_values_and_the_reference() {
    use crate::processor::Processor;
    for (wave, n, expected) in [
        (golden(&[2.0], &[0.3], &[1.5]), 1, 0.097_052_351_877_960_4),
        (
            golden(&K[..3], &V[..3], &LAMBDA[..3]),
            3,
            0.180_108_476_693_525_25,
        ),
        (golden(&K, &V, &LAMBDA), 5, 0.042_002_694_566_628_62),
    ] {
        let columns: Vec<Vec<f32>> = X[..n]
            .iter()
            .chain([&0.4])
            .map(|x| vec![*x as f32])
            .collect();
        let points = columns.iter().map(Vec::as_slice).collect();
        let points = Coordinates::new(wave.layout(), points).expect("points");
        let found = wave
            .evaluate_single(Processor::single(), &points)
            .expect("values");
        assert!((f64::from(found[0]) - expected).abs() < 1e-5);
    }
    let ensemble = Ensemble::seeded(1, 16, 3).expect("ensemble");
    let x: Vec<f32> = (0..20_000).map(|i| i as f32 * 1e-3 - 10.0).collect();
    let points = Coordinates::new(ensemble.layout(), vec![&x[..], &[0.3]]).expect("points");
    let one = ensemble
        .evaluate_single(Processor::single(), &points)
        .expect("values");
    let two = ensemble
        .evaluate_single(Processor::new(2), &points)
        .expect("values");
    assert_eq!(one, two, "threads change no digit");
    let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let time = [f64::from(0.3f32)];
    let points = Coordinates::new(ensemble.layout(), vec![&wide[..], &time]).expect("points");
    for (found, expected) in one.iter().zip(ensemble.evaluate(&points).expect("values")) {
        assert!((f64::from(*found) - expected).abs() < 1e-5);
    }
}

#[test]
fn the_fused_sine_equals_its_expression() {
    use crate::processor::Processor;
    let found = single::fused(Processor::all(), 0.5, &[0.0, 1.0, -2.0]).expect("values");
    for (x, found) in [0.0f64, 1.0, -2.0].iter().zip(found) {
        assert!((0.5 * x.sin() + 0.5 * x - f64::from(found)).abs() < 1e-6);
    }
    assert!(single::fused(Processor::all(), f64::NAN, &[0.0]).is_err());
    assert!(single::fused(Processor::all(), 0.5, &[]).is_err());
}
