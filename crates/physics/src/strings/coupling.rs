//! The string's modes coupled to Quasimoto coordinates, and the field that the modes make together.

use serde::{Deserialize, Serialize};

use super::Vibration;
use crate::error::{PhysicsError, check_count, check_finite};

/// The most modes of one coupling or field.
pub const MODES_MAX: usize = 4_096;
/// The most points of one field.
pub const POINTS_MAX: usize = 1 << 20;
/// The most sines of one field, modes times points: about a second of one processor core.
pub const TERMS_MAX: usize = 1 << 26;

/// The shape of a field: which modes, over which part of the string, at how many points.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRequest {
    /// The modes that add up, each at least 1.
    pub modes: Vec<i64>,
    /// The first and the last position, both from 0 to 1.
    pub range: (f64, f64),
    /// The number of points, ends included; one point is the start of the range.
    pub points: usize,
}

impl Default for FieldRequest {
    /// Modes 1, 2 and 3 over the whole string at 100 points: the compatible default.
    fn default() -> Self {
        FieldRequest {
            modes: vec![1, 2, 3],
            range: (0.0, 1.0),
            points: 100,
        }
    }
}

/// The mean of the modes' displacements along the string.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Field {
    /// The positions.
    pub x_coordinates: Vec<f64>,
    /// The displacement at each.
    pub field_amplitudes: Vec<f64>,
    /// The dimensions of the string.
    pub dimensions: usize,
}

impl Vibration {
    /// The sum of the modes' energies times the mean of the coordinates' absolute values; without coordinates that factor
    /// is 1, without modes the result is 0.
    ///
    /// # Errors
    /// More modes or coordinates than the bounds, or a coordinate that is not finite.
    pub fn coupled_amplitude(
        &self,
        modes: &[i64],
        coordinates: &[f64],
    ) -> Result<f64, PhysicsError> {
        check_count("string_modes", modes.len(), 0, MODES_MAX)?;
        check_count("quasimoto_coords", coordinates.len(), 0, POINTS_MAX)?;
        for coordinate in coordinates {
            check_finite("quasimoto_coords", *coordinate)?;
        }
        let energy: f64 = modes.iter().map(|mode| self.energy(*mode)).sum();
        if coordinates.is_empty() {
            return Ok(energy);
        }
        let sum: f64 = coordinates.iter().map(|one| one.abs()).sum();
        Ok(energy * (sum / coordinates.len() as f64))
    }

    /// The field of the requested modes over the requested points.
    ///
    /// # Errors
    /// No mode or a mode below 1, a position outside the string, or more terms than [`TERMS_MAX`].
    pub fn field(&self, request: &FieldRequest) -> Result<Field, PhysicsError> {
        let FieldRequest {
            modes,
            range: (first, last),
            points,
        } = request;
        check_count("modes", modes.len(), 1, MODES_MAX)?;
        check_count("num_points", *points, 1, POINTS_MAX)?;
        check_count("modes times num_points", modes.len() * points, 1, TERMS_MAX)?;
        let steps = (points - 1).max(1) as f64;
        let mut positions = Vec::with_capacity(*points);
        let mut amplitudes = Vec::with_capacity(*points);
        for index in 0..*points {
            let position = first + (last - first) * index as f64 / steps;
            let mut sum = 0.0;
            for mode in modes {
                sum += self.mode(*mode, position)?;
            }
            positions.push(position);
            amplitudes.push(sum / modes.len() as f64);
        }
        Ok(Field {
            x_coordinates: positions,
            field_amplitudes: amplitudes,
            dimensions: self.dimensions(),
        })
    }
}
