//! Quasimoto waves in any number of spatial dimensions, their ensembles, and the complex interference basis.
//!
//! One wave is `psi = A cos(theta) E sin(q)` with
//!
//! ```text
//! theta  = sum k_i x_i - omega t           phase
//! E      = exp(-1/2 sum u_i^2)             envelope, u_i = (x_i - v_i t) / sigma, sigma = exp(log_sigma)
//! q      = phi + epsilon cos(Lambda)       modulation, Lambda = sum lmbda_i x_i
//! ```
//!
//! and has `3 n + 5` parameters in `n` spatial dimensions. The names, their order and the initial values are DREDGE's, whose
//! 1D, 4D and 6D waves are `n` = 1, 3 and 5 here (time is the further dimension in its names).
//!
//! Two precisions: `f64` in plain Rust, the reference; `f32` through `kernels::waves`, vectorised, for batches.

pub mod coordinates;
pub mod ensemble;
pub mod interference;
pub mod single;

#[cfg(test)]
mod tests;

pub use coordinates::Coordinates;
pub use ensemble::Ensemble;
pub use interference::InterferenceBasis;

use crate::error::{PhysicsError, check_count, check_finite};
use crate::random::Random;

/// The most spatial dimensions of a wave.
pub const DIMENSIONS_MAX: usize = 16;
/// The most waves of an ensemble or fields of a basis.
pub const WAVES_MAX: usize = 4_096;

/// The modulation depth that a new wave starts with.
const INITIAL_EPSILON: f64 = 0.1;

/// Where each parameter of a wave in `dimensions` spatial dimensions stands: the registration order of DREDGE.
///
/// ```text
/// A | k_1..k_n | omega | v_1..v_n | log_sigma | phi | epsilon | lmbda_1..lmbda_n
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    dimensions: usize,
}

impl Layout {
    /// The layout for `dimensions` spatial dimensions.
    ///
    /// # Errors
    /// `dimensions` outside 1 to [`DIMENSIONS_MAX`].
    pub fn new(dimensions: usize) -> Result<Self, PhysicsError> {
        check_count("dimensions", dimensions, 1, DIMENSIONS_MAX)?;
        Ok(Layout { dimensions })
    }

    /// The number of spatial dimensions, `n`.
    pub fn dimensions(self) -> usize {
        self.dimensions
    }

    /// The number of parameters, `3 n + 5`.
    pub fn count(self) -> usize {
        3 * self.dimensions + 5
    }

    /// The amplitude `A`.
    pub fn amplitude(self) -> usize {
        0
    }

    /// The wavenumbers `k_i`.
    pub fn wavenumbers(self) -> std::ops::Range<usize> {
        1..1 + self.dimensions
    }

    /// The angular frequency `omega`.
    pub fn frequency(self) -> usize {
        1 + self.dimensions
    }

    /// The velocities `v_i` of the envelope.
    pub fn velocities(self) -> std::ops::Range<usize> {
        2 + self.dimensions..2 + 2 * self.dimensions
    }

    /// The logarithm of the envelope's width.
    pub fn log_width(self) -> usize {
        2 + 2 * self.dimensions
    }

    /// The offset `phi` of the modulation.
    pub fn offset(self) -> usize {
        3 + 2 * self.dimensions
    }

    /// The depth `epsilon` of the modulation.
    pub fn depth(self) -> usize {
        4 + 2 * self.dimensions
    }

    /// The wavenumbers `lmbda_i` of the modulation.
    pub fn modulation(self) -> std::ops::Range<usize> {
        5 + 2 * self.dimensions..5 + 3 * self.dimensions
    }

    /// The parameters' names in order: those of DREDGE for one, three and five dimensions; `k1..kn`, `v1..vn`,
    /// `lmbda_1..lmbda_n` (as its five) for others.
    pub fn names(self) -> Vec<String> {
        let suffixes = |separator: &str| -> Vec<String> {
            match self.dimensions {
                1 => vec![String::new()],
                3 => ["x", "y", "z"]
                    .map(|axis| format!("{separator}{axis}"))
                    .to_vec(),
                count => (1..=count)
                    .map(|axis| format!("{separator}{axis}"))
                    .collect(),
            }
        };
        let named = |name: &'static str, separator| {
            suffixes(separator)
                .into_iter()
                .map(move |suffix| format!("{name}{suffix}"))
        };
        let mut names = vec!["A".to_owned()];
        names.extend(named("k", ""));
        names.push("omega".to_owned());
        names.extend(named("v", ""));
        names.extend(["log_sigma", "phi", "epsilon"].map(str::to_owned));
        names.extend(named("lmbda", "_"));
        names
    }

    /// The names of the inputs in order: `x, t`; `x, y, z, t`; `x1..xn, t` for other numbers of dimensions.
    pub fn input_names(self) -> Vec<String> {
        let mut names: Vec<String> = match self.dimensions {
            1 => vec!["x".to_owned()],
            3 => ["x", "y", "z"].map(str::to_owned).to_vec(),
            count => (1..=count).map(|axis| format!("x{axis}")).collect(),
        };
        names.push("t".to_owned());
        names
    }

    /// Appends the initial values: `A` 1, width 1, `phi` 0, `epsilon` 0.1, all others from a standard normal in the order
    /// of the layout, rounded to `f32` so that both precisions hold the same model.
    pub(crate) fn initialise(self, random: &mut Random, into: &mut Vec<f64>) {
        let start = into.len();
        into.resize(start + self.count(), 0.0);
        let values = &mut into[start..];
        values[self.amplitude()] = 1.0;
        let drawn = (self.wavenumbers())
            .chain([self.frequency()])
            .chain(self.velocities())
            .chain(self.modulation());
        for index in drawn {
            values[index] = f64::from(random.normal() as f32);
        }
        values[self.depth()] = f64::from(INITIAL_EPSILON as f32);
    }
}

/// One Quasimoto wave.
#[derive(Debug, Clone, PartialEq)]
pub struct Wave {
    layout: Layout,
    parameters: Vec<f64>,
}

impl Wave {
    /// A wave with DREDGE's initial values, drawn from `seed`.
    ///
    /// # Errors
    /// `dimensions` out of bounds.
    pub fn seeded(dimensions: usize, seed: u64) -> Result<Self, PhysicsError> {
        let layout = Layout::new(dimensions)?;
        let mut parameters = Vec::new();
        layout.initialise(
            &mut Random::new(seed, crate::random::INITIAL_VALUES),
            &mut parameters,
        );
        Ok(Wave { layout, parameters })
    }

    /// A wave with the given parameters, in the order of [`Layout`].
    ///
    /// # Errors
    /// `dimensions` out of bounds, another number of parameters than `3 n + 5`, or one that is not finite.
    pub fn from_parameters(dimensions: usize, parameters: Vec<f64>) -> Result<Self, PhysicsError> {
        let layout = Layout::new(dimensions)?;
        check_parameters(&parameters, layout.count())?;
        Ok(Wave { layout, parameters })
    }

    /// Where each parameter stands.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The parameters, in the order of [`Layout`].
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// The parameters to change; their number and order stay.
    pub fn parameters_mut(&mut self) -> &mut [f64] {
        &mut self.parameters
    }

    /// The wave at every point, one value per row.
    ///
    /// # Errors
    /// Coordinates of another number of dimensions.
    pub fn evaluate(&self, points: &Coordinates<'_, f64>) -> Result<Vec<f64>, PhysicsError> {
        points.check(self.layout)?;
        let mut position = vec![0.0; self.layout.dimensions()];
        Ok((0..points.count())
            .map(|row| {
                let time = points.read(row, &mut position);
                psi(self.layout, &self.parameters, &position, time)
            })
            .collect())
    }

    /// The derivative of the wave by each parameter at one point, in the order of [`Layout`].
    ///
    /// # Errors
    /// A position of another number of dimensions.
    pub fn gradient(&self, position: &[f64], time: f64) -> Result<Vec<f64>, PhysicsError> {
        let expected = self.layout.dimensions();
        if position.len() != expected {
            return Err(PhysicsError::Shape {
                field: "position".to_owned(),
                found: position.len(),
                expected,
            });
        }
        let mut gradient = vec![0.0; self.layout.count()];
        add_gradient(
            self.layout,
            &self.parameters,
            (position, time),
            1.0,
            &mut gradient,
        );
        Ok(gradient)
    }
}

/// Checks the number of `parameters` and that each is finite.
pub(crate) fn check_parameters(parameters: &[f64], expected: usize) -> Result<(), PhysicsError> {
    if parameters.len() != expected {
        return Err(PhysicsError::Shape {
            field: "parameters".to_owned(),
            found: parameters.len(),
            expected,
        });
    }
    parameters
        .iter()
        .try_for_each(|value| check_finite("parameters", *value))
}

/// The factors of one wave at one point that both the value and the gradient need.
struct Factors {
    sine: f64,
    cosine: f64,
    envelope: f64,
    width: f64,
    /// `sum u_i^2`.
    squares: f64,
    offset_sine: f64,
    offset_cosine: f64,
    modulation_sine: f64,
    modulation_cosine: f64,
}

impl Factors {
    fn new(layout: Layout, parameters: &[f64], position: &[f64], time: f64) -> Self {
        let along = |range: std::ops::Range<usize>| -> f64 {
            parameters[range]
                .iter()
                .zip(position)
                .map(|(one, x)| one * x)
                .sum()
        };
        let phase = along(layout.wavenumbers()) - parameters[layout.frequency()] * time;
        let width = parameters[layout.log_width()].exp();
        let squares: f64 = parameters[layout.velocities()]
            .iter()
            .zip(position)
            .map(|(velocity, x)| ((x - velocity * time) / width).powi(2))
            .sum();
        let (modulation_sine, modulation_cosine) = along(layout.modulation()).sin_cos();
        let offset = parameters[layout.offset()] + parameters[layout.depth()] * modulation_cosine;
        let (offset_sine, offset_cosine) = offset.sin_cos();
        let (sine, cosine) = phase.sin_cos();
        Factors {
            sine,
            cosine,
            envelope: (-0.5 * squares).exp(),
            width,
            squares,
            offset_sine,
            offset_cosine,
            modulation_sine,
            modulation_cosine,
        }
    }
}

/// The value of a wave at one point.
pub(crate) fn psi(layout: Layout, parameters: &[f64], position: &[f64], time: f64) -> f64 {
    let factors = Factors::new(layout, parameters, position, time);
    parameters[layout.amplitude()] * factors.cosine * factors.envelope * factors.offset_sine
}

/// Adds `weight` times the wave's derivatives to `gradient` and returns the wave's value.
pub(crate) fn add_gradient(
    layout: Layout,
    parameters: &[f64],
    (position, time): (&[f64], f64),
    weight: f64,
    gradient: &mut [f64],
) -> f64 {
    let factors = Factors::new(layout, parameters, position, time);
    let amplitude = parameters[layout.amplitude()];
    let depth = parameters[layout.depth()];
    let unit = factors.cosine * factors.envelope * factors.offset_sine;
    let value = amplitude * unit;
    // By the phase theta, with its sign: d psi / d k_i = x_i by_phase, d psi / d omega = -t by_phase.
    let by_phase = -amplitude * factors.sine * factors.envelope * factors.offset_sine * weight;
    let by_offset = amplitude * factors.cosine * factors.envelope * factors.offset_cosine * weight;
    gradient[layout.amplitude()] += unit * weight;
    gradient[layout.frequency()] -= time * by_phase;
    gradient[layout.log_width()] += value * factors.squares * weight;
    gradient[layout.offset()] += by_offset;
    gradient[layout.depth()] += by_offset * factors.modulation_cosine;
    let rows = (layout.wavenumbers())
        .zip(layout.velocities())
        .zip(layout.modulation());
    for (x, ((wavenumber, velocity), modulation)) in position.iter().zip(rows) {
        gradient[wavenumber] += x * by_phase;
        let distance = (x - parameters[velocity] * time) / factors.width;
        gradient[velocity] += value * distance * time / factors.width * weight;
        gradient[modulation] -= by_offset * depth * x * factors.modulation_sine;
    }
    value
}
