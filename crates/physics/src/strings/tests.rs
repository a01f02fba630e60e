use super::coupling::FieldRequest;
use super::spectra::{Circle, closed_on_circle, open_bosonic};
use super::*;

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-12 * expected.abs().max(1.0),
        "{found} is not {expected}"
    );
}

#[test]
fn modes_and_their_errors_are_the_compatible_ones() {
    let string = Vibration::default();
    assert_eq!(string.mode(1, 0.0), Ok(0.0));
    near(string.mode(1, 0.5).expect("mode"), 1.0);
    assert!(string.mode(1, 1.0).expect("mode").abs() < 1e-10);
    let text = |result: Result<f64, PhysicsError>| result.expect_err("refused").to_string();
    assert_eq!(text(string.mode(0, 0.5)), "Mode number must be >= 1");
    for position in [-0.1, 1.1, f64::NAN] {
        assert_eq!(
            text(string.mode(1, position)),
            "Position must be between 0 and 1"
        );
    }
}

#[test]
fn the_linear_spectrum_ignores_dimensions_and_is_bounded() {
    let string = Vibration::default();
    let spectrum = string.spectrum(10).expect("spectrum");
    assert_eq!(spectrum, [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0]);
    let other = Vibration::new(26, 1.0).expect("string");
    assert_eq!(other.spectrum(10).expect("spectrum"), spectrum);
    for length in [0.125, 1.0, 3.0, 0.7, 1e-308] {
        let string = Vibration::new(10, length).expect("string");
        for (index, energy) in string.spectrum(1_000).expect("spectrum").iter().enumerate() {
            assert_eq!(*energy, string.energy(index as i64 + 1));
        }
    }
    assert!(string.spectrum(MODES_MAX + 1).is_err());
    assert!(Vibration::new(0, 1.0).is_err() && Vibration::new(10, 0.0).is_err());
}

#[test]
fn kaluza_klein_needs_a_radius() {
    let tower = Vibration::default().compactify(1.0).expect("tower");
    assert_eq!(tower.kaluza_klein_modes.len(), 10);
    assert_eq!(tower.kaluza_klein_modes[9], 10.0);
    assert_eq!(
        (tower.effective_dimensions, tower.hidden_dimensions),
        (4, 6)
    );
    for radius in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Vibration::default().compactify(radius).is_err());
    }
}

#[test]
fn string_parameters_match_the_published_ones() {
    let found = parameters(1.0, 0.1).expect("parameters");
    assert_eq!(found.string_length, 5.110_240_698_832_101e-36);
    assert_eq!(found.string_tension, 1.591_549_430_918_953_5);
    for coupling in [0.0, -0.1, f64::NAN] {
        assert!(parameters(1.0, coupling).is_err());
    }
}

#[test]
fn coupled_amplitudes_match_the_worked_examples() {
    let amplitude = |modes: &[i64], coordinates: &[f64]| {
        Vibration::default()
            .coupled_amplitude(modes, coordinates)
            .expect("amplitude")
    };
    assert_eq!(amplitude(&[1, 2, 3], &[0.5, 0.5, 0.5]), 1.5);
    assert_eq!(amplitude(&[1], &[]), 0.5);
    assert_eq!(amplitude(&[5, 7], &[-2.0, 1.0]), 9.0);
    assert_eq!(amplitude(&[], &[3.0]), 0.0);
}

#[test]
fn the_default_field_matches_the_golden_values() {
    let string = Vibration::default();
    let field = string.field(&FieldRequest::default()).expect("field");
    let values = &field.field_amplitudes;
    for (found, expected) in values.iter().zip([
        0.0,
        0.063_402_632_152_938_27,
        0.126_422_539_196_908_02,
        0.188_679_948_168_674_17,
    ]) {
        near(*found, expected);
    }
    near(values[21], 0.833_200_849_966_221_7);
    near(values[57], -0.080_721_509_252_709_08);
    near(values[50], -0.010_240_381_669_066_934);
    near(values[99], 8.16e-17);
    near(values.iter().sum(), 28.004_217_320_165_942);
    assert_eq!(field.x_coordinates[99], 1.0);
}

#[test]
fn a_field_follows_its_request() {
    let string = Vibration::default();
    let request = FieldRequest {
        modes: vec![2],
        range: (0.25, 0.75),
        points: 3,
    };
    let field = string.field(&request).expect("field");
    assert_eq!(field.x_coordinates, [0.25, 0.5, 0.75]);
    near(field.field_amplitudes[0], 1.0);
    near(field.field_amplitudes[2], -1.0);
    let one = FieldRequest {
        points: 1,
        ..request.clone()
    };
    assert_eq!(string.field(&one).expect("field").x_coordinates, [0.25]);
    for wrong in [
        FieldRequest {
            points: 0,
            ..request.clone()
        },
        FieldRequest {
            modes: vec![],
            ..request.clone()
        },
        FieldRequest {
            modes: vec![0],
            ..request.clone()
        },
        FieldRequest {
            range: (0.0, 1.5),
            ..request.clone()
        },
        FieldRequest {
            points: coupling::POINTS_MAX,
            modes: vec![1; 65],
            ..request
        },
    ] {
        assert!(string.field(&wrong).is_err());
    }
}

#[test]
fn the_open_string_has_its_tachyon_photon_and_counts() {
    let found = open_bosonic(26, 4).expect("spectrum");
    assert!(found.critical && found.zero_point == 1.0);
    let masses: Vec<f64> = found.levels.iter().map(|one| one.mass_squared).collect();
    assert_eq!(masses, [-1.0, 0.0, 1.0, 2.0]);
    // The expansion of the inverse 24th power of the Dedekind product (OEIS A006922).
    let states: Vec<f64> = found.levels.iter().map(|one| one.states).collect();
    assert_eq!(states, [1.0, 24.0, 324.0, 3200.0]);
    // One transverse direction counts partitions.
    let partitions = open_bosonic(3, 7).expect("spectrum");
    let states: Vec<f64> = partitions.levels.iter().map(|one| one.states).collect();
    assert_eq!(states, [1.0, 1.0, 2.0, 3.0, 5.0, 7.0, 11.0]);
    assert!(open_bosonic(1, 4).is_err());
    let largest = open_bosonic(26, spectra::LEVELS_MAX).expect("spectrum");
    assert!(largest.levels.iter().all(|one| one.states.is_finite()));
}

#[test]
fn closed_masses_are_the_same_on_the_dual_circle() {
    let circle = Circle {
        dimensions: 26,
        radius: 1.7,
        slope: 1.0,
        momentum: 2,
        winding: 2,
        level: 3,
    };
    let states = closed_on_circle(&circle).expect("states");
    // Lightest: no momentum, no winding, no oscillator: 2 / alpha' * (0 - 2).
    assert_eq!((states[0].mass_squared, states[0].momentum), (-4.0, 0));
    for state in &states {
        assert_eq!(
            state.left_level - state.right_level,
            state.momentum * state.winding
        );
    }
    let dual = Circle {
        radius: 1.0 / 1.7,
        ..circle
    };
    let masses = |states: &[spectra::ClosedState]| -> Vec<f64> {
        states.iter().map(|one| one.mass_squared).collect()
    };
    let dual = closed_on_circle(&dual).expect("states");
    for (one, other) in masses(&states).iter().zip(masses(&dual)) {
        near(*one, other);
    }
}
