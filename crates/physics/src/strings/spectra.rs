//! Mass spectra that depend on the number of dimensions, unlike the linear one of [`super::Vibration`].
//!
//! Sources: the bosonic string in light-cone gauge with zeta-regularised zero-point energy, Green, Schwarz and Witten,
//! "Superstring Theory" vol. 1, section 2.3; Polchinski, "String Theory" vol. 1, equations 1.3.36 (open) and 8.3.2 and
//! 8.3.3 (circle). Only 26 dimensions keep Lorentz invariance; other numbers are allowed and said to be non-critical.

use serde::{Deserialize, Serialize};

use crate::error::{PhysicsError, check_count, check_positive};

/// The dimensions at which the bosonic string is consistent.
pub const CRITICAL_DIMENSIONS: usize = 26;
/// The highest level listed; the number of states there is about 1e125 in 26 dimensions, still a finite `f64`.
pub const LEVELS_MAX: usize = 512;
/// The largest momentum and winding number listed, either sign.
pub const QUANTA_MAX: usize = 32;

/// One mass level of the open bosonic string.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenLevel {
    /// The level `N`: the sum of the oscillators' mode numbers.
    pub level: usize,
    /// `alpha' M^2 = N - (D - 2) / 24`; below 0 is a tachyon.
    pub mass_squared: f64,
    /// The states at this level: the coefficient of `q^N` in the product over `n` of `(1 - q^n)^-(D - 2)`.
    /// Exact up to 2^53.
    pub states: f64,
}

/// The open bosonic string's levels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenBosonic {
    /// The dimensions of space and time, `D`.
    pub dimensions: usize,
    /// The zero-point constant `a = (D - 2) / 24`.
    pub zero_point: f64,
    /// Whether `D` is 26, where the theory is consistent.
    pub critical: bool,
    /// The levels, ascending.
    pub levels: Vec<OpenLevel>,
}

/// One state of the closed bosonic string with one dimension on a circle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClosedState {
    /// Quanta of momentum around the circle, `n`.
    pub momentum: i64,
    /// How often the string winds around the circle, `w`.
    pub winding: i64,
    /// Level of the right movers, `N`.
    pub right_level: i64,
    /// Level of the left movers, `Ntilde = N + n w` (level matching).
    pub left_level: i64,
    /// `M^2 = (n/R)^2 + (w R / alpha')^2 + (2 / alpha') (N + Ntilde - (D - 2) / 12)`.
    pub mass_squared: f64,
}

/// The levels 0 to `levels - 1` of the open bosonic string in `dimensions` dimensions.
///
/// # Errors
/// `dimensions` outside 2 to [`super::DIMENSIONS_MAX`], or `levels` above [`LEVELS_MAX`].
pub fn open_bosonic(dimensions: usize, levels: usize) -> Result<OpenBosonic, PhysicsError> {
    check_count("dimensions", dimensions, 2, super::DIMENSIONS_MAX)?;
    check_count("levels", levels, 1, LEVELS_MAX)?;
    let transverse = dimensions - 2;
    let zero_point = transverse as f64 / 24.0;
    let states = oscillator_states(transverse, levels);
    Ok(OpenBosonic {
        dimensions,
        zero_point,
        critical: dimensions == CRITICAL_DIMENSIONS,
        levels: states
            .into_iter()
            .enumerate()
            .map(|(level, states)| OpenLevel {
                level,
                mass_squared: level as f64 - zero_point,
                states,
            })
            .collect(),
    })
}

/// The first `count` coefficients of the product over `n >= 1` of `(1 - q^n)^-transverse`, by the recurrence
/// `m c(m) = transverse * sum over k = 1..m of sigma(k) c(m - k)`, which is the logarithmic derivative of the product
/// (`sigma` sums the divisors).
fn oscillator_states(transverse: usize, count: usize) -> Vec<f64> {
    let mut divisors = vec![0.0; count.max(1)];
    for divisor in 1..count {
        for multiple in (divisor..count).step_by(divisor) {
            divisors[multiple] += divisor as f64;
        }
    }
    let mut states = vec![1.0];
    for level in 1..count {
        let sum: f64 = (1..=level)
            .map(|step| divisors[step] * states[level - step])
            .sum();
        states.push(transverse as f64 * sum / level as f64);
    }
    states.truncate(count);
    states
}

/// What to list of the closed string on a circle.
#[derive(Debug, Clone, PartialEq)]
pub struct Circle {
    /// The dimensions of space and time, `D`.
    pub dimensions: usize,
    /// The radius of the circle, `R`, in units where the slope has its given value.
    pub radius: f64,
    /// The slope `alpha'`.
    pub slope: f64,
    /// Momentum quanta run over `-momentum..=momentum`.
    pub momentum: usize,
    /// Windings run over `-winding..=winding`.
    pub winding: usize,
    /// Levels of either movers run over `0..=level`.
    pub level: usize,
}

/// All states of the closed bosonic string that [`Circle`] asks for and level matching `Ntilde - N = n w` allows, lightest
/// first (then by momentum, winding, level). Exchanging momentum with winding and `R` with `alpha' / R` gives the same
/// masses (T-duality).
///
/// # Errors
/// Dimensions, quanta or levels out of bounds; a radius or slope that is not a finite number above 0.
pub fn closed_on_circle(circle: &Circle) -> Result<Vec<ClosedState>, PhysicsError> {
    check_count("dimensions", circle.dimensions, 3, super::DIMENSIONS_MAX)?;
    check_positive("radius", circle.radius)?;
    check_positive("slope", circle.slope)?;
    check_count("momentum", circle.momentum, 0, QUANTA_MAX)?;
    check_count("winding", circle.winding, 0, QUANTA_MAX)?;
    check_count("level", circle.level, 0, QUANTA_MAX)?;
    let vacuum = (circle.dimensions - 2) as f64 / 12.0;
    let (momentum, winding) = (circle.momentum as i64, circle.winding as i64);
    let level = circle.level as i64;
    let mut states = Vec::new();
    for n in -momentum..=momentum {
        for w in -winding..=winding {
            for right in 0..=level {
                let left = right + n * w;
                if !(0..=level).contains(&left) {
                    continue;
                }
                let moving = n as f64 / circle.radius;
                let wound = w as f64 * circle.radius / circle.slope;
                let oscillating = 2.0 / circle.slope * ((right + left) as f64 - vacuum);
                states.push(ClosedState {
                    momentum: n,
                    winding: w,
                    right_level: right,
                    left_level: left,
                    mass_squared: moving * moving + wound * wound + oscillating,
                });
            }
        }
    }
    states.sort_by(|a, b| {
        let quanta = |one: &ClosedState| (one.momentum, one.winding, one.right_level);
        a.mass_squared
            .total_cmp(&b.mass_squared)
            .then_with(|| quanta(a).cmp(&quanta(b)))
    });
    Ok(states)
}
