use super::*;

/// Every level of this processor but the twin's.
fn levels() -> Vec<Level> {
    let mut levels = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            levels.push(Level::Avx2);
        }
        if std::arch::is_x86_feature_detected!("avx512f") {
            levels.push(Level::Avx512);
        }
    }
    #[cfg(target_arch = "aarch64")]
    levels.push(Level::Neon);
    levels
}

/// Numbers from -1 to 1 that look random (a multiplicative congruential sequence).
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Checks an in-place function against the exact value of each `f32`, in double precision.
fn check(
    name: &str,
    apply: fn(Level, &mut [f32]),
    exact: fn(f64) -> f64,
    arguments: &[f32],
    (absolute, relative): (f64, f64),
) {
    for level in levels() {
        let mut values = arguments.to_vec();
        apply(level, &mut values);
        for (x, found) in arguments.iter().zip(&values) {
            let expected = exact(f64::from(*x));
            let error = (f64::from(*found) - expected).abs();
            assert!(
                error <= absolute + relative * expected.abs(),
                "{level:?}: {name}({x}) is {found}, not {expected}"
            );
        }
    }
}

#[test]
fn functions_keep_their_stated_errors() {
    let wide: Vec<f32> = [1.0, 3.0, 30.0, 1e3, 9e4, 1e7]
        .iter()
        .flat_map(|scale| numbers(1_003, 5).into_iter().map(move |one| one * scale))
        .collect();
    check("sin", sine, f64::sin, &wide, (2e-7, 0.0));
    check("cos", cosine, f64::cos, &wide, (2e-7, 0.0));
    let quarters: Vec<f32> = (-200..=200)
        .map(|step| step as f32 * std::f32::consts::FRAC_PI_2)
        .collect();
    check("sin", sine, f64::sin, &quarters, (2e-7, 0.0));
    check("cos", cosine, f64::cos, &quarters, (2e-7, 0.0));
    let falling: Vec<f32> = numbers(4_001, 9)
        .iter()
        .map(|one| -one.abs() * 87.0)
        .collect();
    check("exp", exponential, f64::exp, &falling, (0.0, 3e-7));
    let tangents: Vec<f32> = [1e-3, 0.7, 3.0, 12.0, 1e30]
        .iter()
        .flat_map(|scale| numbers(1_003, 7).into_iter().map(move |one| one * scale))
        .collect();
    check("tanh", tangent, f64::tanh, &tangents, (0.0, 4e-7));
}

#[test]
fn functions_end_as_the_twins_do_at_the_edges() {
    for level in levels() {
        let mut values = [0.0, -0.0, -88.5, -1e9, f32::NEG_INFINITY];
        exponential(level, &mut values);
        assert_eq!(values, [1.0, 1.0, 0.0, 0.0, 0.0]);
        let mut values = [f32::INFINITY, f32::NEG_INFINITY, 0.0, f32::NAN];
        tangent(level, &mut values);
        assert_eq!(values[..3], [1.0, -1.0, 0.0]);
        assert!(values[3].is_nan());
        for function in [sine, cosine] {
            let mut values = [f32::INFINITY, f32::NAN];
            function(level, &mut values);
            assert!(values.iter().all(|one| one.is_nan()));
        }
        let mut values = [f32::NAN];
        exponential(level, &mut values);
        assert!(values[0].is_nan());
    }
}

/// An ensemble of `waves` waves, and columns of `rows` rows, time of length one when `still`.
fn example(
    n: usize,
    waves: usize,
    rows: usize,
    still: bool,
) -> (Vec<f32>, Vec<f32>, Vec<Vec<f32>>) {
    let parameters: Vec<f32> = numbers(waves * (3 * n + 5), 3)
        .iter()
        .map(|one| one * 2.0)
        .collect();
    let columns = (0..=n)
        .map(|index| {
            let count = if still && index == n { 1 } else { rows };
            numbers(count, 20 + index as u64)
                .iter()
                .map(|one| one * 3.0)
                .collect()
        })
        .collect();
    (parameters, numbers(waves, 4), columns)
}

#[test]
fn ensembles_match_the_twin() {
    for (n, waves, rows) in [
        (1, 1, 1),
        (1, 8, 5_003),
        (3, 8, 100),
        (5, 6, 33),
        (16, 2, 17),
    ] {
        let (parameters, weights, columns) = example(n, waves, rows, rows % 2 == 0);
        let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
        let ensemble = Ensemble {
            dimensions: n,
            waves: &parameters,
            weights: &weights,
            bias: 0.25,
        };
        let mut expected = vec![0.0; rows];
        evaluate(Level::Scalar, ensemble, &columns, &mut expected);
        let row_weights = numbers(rows, 8);
        let count = parameters.len() + waves + 1;
        let mut by_twin = vec![0.0; count];
        add_gradient(
            Level::Scalar,
            ensemble,
            &columns,
            &row_weights,
            &mut by_twin,
        );
        let largest = by_twin.iter().fold(1.0f64, |most, one| most.max(one.abs()));
        for level in levels() {
            let mut found = vec![0.0; rows];
            evaluate(level, ensemble, &columns, &mut found);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{level:?} {n}: {found} {expected}"
                );
            }
            let mut gradient = vec![0.0; count];
            add_gradient(level, ensemble, &columns, &row_weights, &mut gradient);
            for (index, (found, expected)) in gradient.iter().zip(&by_twin).enumerate() {
                assert!(
                    (found - expected).abs() < 2e-6 * largest * (rows as f64).sqrt(),
                    "{level:?} {n} parameter {index}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let (parameters, weights, columns) = example(1, 4, 37, false);
    let ensemble = Ensemble {
        dimensions: 1,
        waves: &parameters,
        weights: &weights,
        bias: 0.0,
    };
    // One argument far outside the vector reduction must not change how its neighbours are computed.
    let mut x = columns[0].clone();
    for level in levels() {
        let mut before = vec![0.0; 37];
        evaluate(level, ensemble, &[&x, &columns[1]], &mut before);
        x[3] = 1e8;
        let mut after = vec![0.0; 37];
        evaluate(level, ensemble, &[&x, &columns[1]], &mut after);
        for row in 0..37 {
            let mut alone = [0.0];
            evaluate(
                level,
                ensemble,
                &[&x[row..=row], &columns[1][row..=row]],
                &mut alone,
            );
            assert_eq!(alone[0], after[row]);
            assert!(row == 3 || before[row] == after[row]);
        }
        x[3] = columns[0][3];
    }
}

#[test]
fn the_fused_sine_equals_the_expression() {
    let x: Vec<f32> = numbers(1_001, 2).iter().map(|one| one * 20.0).collect();
    for level in levels().into_iter().chain([Level::Scalar]) {
        let mut found = vec![0.0; x.len()];
        fused(level, 0.3, &x, &mut found);
        for (x, found) in x.iter().zip(&found) {
            let expected = 0.3 * f64::from(*x).sin() + 0.7 * f64::from(*x);
            assert!((f64::from(*found) - expected).abs() < 1e-5);
        }
    }
}
