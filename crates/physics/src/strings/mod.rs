//! Vibrating strings: modes, spectra, Kaluza-Klein towers, the parameters of a string, and the coupled field.
//!
//! [`Vibration`] and [`parameters`] keep the formulas and the error texts that existing clients compare. Its spectrum is
//! linear in the mode and knows nothing of the number of dimensions; the spectra that do are in [`spectra`], named for what
//! they are.

pub mod coupling;
pub mod spectra;

#[cfg(test)]
mod tests;

use crate::error::{PhysicsError, check_count, check_positive};

/// The most modes of one spectrum: 8 MB of energies.
pub const MODES_MAX: usize = 1 << 20;
/// The most dimensions of a string model.
pub const DIMENSIONS_MAX: usize = 1_024;
/// The Planck length in metres, at the precision of the compatible behaviour (CODATA 2018: 1.616255e-35).
pub const PLANCK_LENGTH: f64 = 1.616e-35;
/// Bits of the fraction of an `f64`; all zero in a power of two.
const MANTISSA_BITS: u32 = 52;
/// The levels of a Kaluza-Klein tower that are listed.
const KALUZA_KLEIN_LEVELS: u32 = 10;
/// Space and time as seen at low energies.
const EFFECTIVE_DIMENSIONS: usize = 4;

/// A string fixed at both ends, in units where Planck's constant is 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Vibration {
    dimensions: usize,
    length: f64,
}

/// What is left when the dimensions beyond four are rolled up to circles of one radius.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Compactification {
    /// The radius of the circles.
    pub compactification_radius: f64,
    /// Masses `n / radius` of the first ten levels (Kaluza 1921, Klein 1926; Planck's constant and light speed 1).
    pub kaluza_klein_modes: Vec<f64>,
    /// Dimensions that stay large.
    pub effective_dimensions: usize,
    /// Dimensions rolled up.
    pub hidden_dimensions: usize,
}

/// The scales that follow from a coupling.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Parameters {
    /// `PLANCK_LENGTH * sqrt(coupling)`, metres.
    pub string_length: f64,
    /// `1 / (2 pi coupling)`, the tension with the coupling in the place of the slope (dimensionless).
    pub string_tension: f64,
    /// The coupling that was given.
    pub coupling_constant: f64,
    /// The energy scale that was given, GeV; no formula uses it.
    pub energy_scale: f64,
    /// [`PLANCK_LENGTH`].
    pub planck_length: f64,
}

impl Default for Vibration {
    /// Ten dimensions, length 1.
    fn default() -> Self {
        Vibration {
            dimensions: 10,
            length: 1.0,
        }
    }
}

impl Vibration {
    /// A string of `length` in `dimensions` dimensions.
    ///
    /// # Errors
    /// `dimensions` outside 1 to [`DIMENSIONS_MAX`], or a length that is not a finite number above 0.
    pub fn new(dimensions: usize, length: f64) -> Result<Self, PhysicsError> {
        check_count("dimensions", dimensions, 1, DIMENSIONS_MAX)?;
        check_positive("length", length)?;
        Ok(Vibration { dimensions, length })
    }

    /// The dimensions of the space that the string moves in.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The length of the string.
    pub fn length(&self) -> f64 {
        self.length
    }

    /// The displacement `sin(n pi x)` of mode `n` at the fraction `x` of the string; `x` is not divided by the length.
    ///
    /// # Errors
    /// A mode below 1, or a position outside 0 to 1.
    pub fn mode(&self, number: i64, position: f64) -> Result<f64, PhysicsError> {
        if number < 1 {
            return Err(PhysicsError::ModeBelowOne);
        }
        if !(0.0..=1.0).contains(&position) {
            return Err(PhysicsError::PositionOutsideString);
        }
        Ok((number as f64 * std::f64::consts::PI * position).sin())
    }

    /// The energy `n / (2 length)` of mode `n`. Any whole number is taken, as existing clients expect.
    pub fn energy(&self, number: i64) -> f64 {
        number as f64 / (2.0 * self.length)
    }

    /// The energies of modes 1 to `modes`: linear, whatever the dimensions.
    ///
    /// # Errors
    /// More than [`MODES_MAX`] modes.
    pub fn spectrum(&self, modes: usize) -> Result<Vec<f64>, PhysicsError> {
        check_count("max_modes", modes, 0, MODES_MAX)?;
        // The bound keeps every mode within `i32`, whose conversion the compiler vectorises.
        let numbers = (1..=modes as i32).map(f64::from);
        let double = 2.0 * self.length;
        let inverse = 1.0 / double;
        // A power of two divides exactly, and so does the product with its inverse, at a fifth of the cost.
        if double.to_bits().trailing_zeros() >= MANTISSA_BITS && inverse.is_normal() {
            return Ok(numbers.map(|number| number * inverse).collect());
        }
        Ok(numbers.map(|number| number / double).collect())
    }

    /// The Kaluza-Klein tower of circles of `radius`.
    ///
    /// # Errors
    /// A radius that is not a finite number above 0.
    pub fn compactify(&self, radius: f64) -> Result<Compactification, PhysicsError> {
        check_positive("radius", radius)?;
        Ok(Compactification {
            compactification_radius: radius,
            kaluza_klein_modes: (1..=KALUZA_KLEIN_LEVELS)
                .map(|level| f64::from(level) / radius)
                .collect(),
            effective_dimensions: EFFECTIVE_DIMENSIONS,
            hidden_dimensions: self.dimensions.saturating_sub(EFFECTIVE_DIMENSIONS),
        })
    }
}

/// The scales of a string with the given coupling; `energy_scale` (GeV) is passed on.
///
/// # Errors
/// A coupling that is not a finite number above 0, or an energy scale that is not finite.
pub fn parameters(energy_scale: f64, coupling: f64) -> Result<Parameters, PhysicsError> {
    check_positive("coupling_constant", coupling)?;
    crate::error::check_finite("energy_scale", energy_scale)?;
    Ok(Parameters {
        string_length: PLANCK_LENGTH * coupling.sqrt(),
        string_tension: 1.0 / (2.0 * std::f64::consts::PI * coupling),
        coupling_constant: coupling,
        energy_scale,
        planck_length: PLANCK_LENGTH,
    })
}
