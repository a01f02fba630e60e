//! Complex waves under one shared normalised envelope, joined linearly: what interferes are their real and imaginary parts.
//!
//! ```text
//! sigma_i = max(exp(log_sigma_i), 1e-3)                z_i = (x_i - v_i t) / sigma_i
//! E       = exp(-1/2 sum z_i^2) / (prod sigma_i (2 pi)^(n/2))
//! psi_j   = A_j exp(i (k_j.x - omega_j t)) E sin(phi_j + epsilon_j cos(lmbda_j.x))
//! y       = W [Re psi_1 .. Re psi_m, Im psi_1 .. Im psi_m]      no bias
//! ```

use super::{Coordinates, Layout, WAVES_MAX, check_parameters};
use crate::error::{PhysicsError, check_count};
use crate::random::{INITIAL_VALUES, Random};

/// The narrowest envelope.
const WIDTH_MIN: f64 = 1e-3;
/// The most output columns.
pub const OUTPUTS_MAX: usize = 256;

/// A basis of interfering complex waves.
///
/// Parameters in order: `log_sigma` (n), `v` (n); per field `A`, `k` (n), `omega`, `phi`, `epsilon`, `lmbda` (n); the mixing
/// matrix `W`, `outputs` rows of `2 * fields`.
#[derive(Debug, Clone, PartialEq)]
pub struct InterferenceBasis {
    layout: Layout,
    fields: usize,
    outputs: usize,
    parameters: Vec<f64>,
}

/// One field's factors at one point.
struct Field {
    sine: f64,
    cosine: f64,
    /// `E sin(q)`.
    unit: f64,
    /// `E cos(q)`.
    offset_unit: f64,
    modulation_sine: f64,
    modulation_cosine: f64,
}

impl InterferenceBasis {
    /// A basis with DREDGE's initial values and a mixing matrix drawn as PyTorch draws its linear layers, from `seed`.
    ///
    /// # Errors
    /// Dimensions, fields or outputs out of bounds.
    pub fn seeded(
        dimensions: usize,
        fields: usize,
        outputs: usize,
        seed: u64,
    ) -> Result<Self, PhysicsError> {
        let count = Self::parameter_count(dimensions, fields, outputs)?;
        let mut basis = InterferenceBasis {
            layout: Layout::new(dimensions)?,
            fields,
            outputs,
            parameters: vec![0.0; count],
        };
        let mut random = Random::new(seed, INITIAL_VALUES);
        for index in dimensions..2 * dimensions {
            basis.parameters[index] = f64::from(random.normal() as f32);
        }
        for field in 0..fields {
            let start = basis.field_start(field);
            let values = &mut basis.parameters[start..start + 2 * dimensions + 4];
            values[0] = 1.0;
            values[dimensions + 3] = f64::from(0.1f32);
            for index in (1..=dimensions + 1).chain(dimensions + 4..2 * dimensions + 4) {
                values[index] = f64::from(random.normal() as f32);
            }
        }
        let bound = 1.0 / (2.0 * fields as f64).sqrt();
        let mixing = basis.field_start(fields);
        for value in &mut basis.parameters[mixing..] {
            *value = f64::from(random.between(-bound, bound) as f32);
        }
        Ok(basis)
    }

    /// A basis with the given parameters.
    ///
    /// # Errors
    /// Dimensions, fields or outputs out of bounds, another number of parameters, or one that is not finite.
    pub fn from_parameters(
        dimensions: usize,
        fields: usize,
        outputs: usize,
        parameters: Vec<f64>,
    ) -> Result<Self, PhysicsError> {
        let expected = Self::parameter_count(dimensions, fields, outputs)?;
        check_parameters(&parameters, expected)?;
        Ok(InterferenceBasis {
            layout: Layout::new(dimensions)?,
            fields,
            outputs,
            parameters,
        })
    }

    /// The number of parameters of such a basis.
    ///
    /// # Errors
    /// Dimensions, fields or outputs out of bounds.
    pub fn parameter_count(
        dimensions: usize,
        fields: usize,
        outputs: usize,
    ) -> Result<usize, PhysicsError> {
        Layout::new(dimensions)?;
        check_count("num_fields", fields, 1, WAVES_MAX)?;
        check_count("out_features", outputs, 1, OUTPUTS_MAX)?;
        Ok(2 * dimensions + fields * (2 * dimensions + 4) + outputs * 2 * fields)
    }

    /// The layout whose inputs the basis takes.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of complex fields.
    pub fn fields(&self) -> usize {
        self.fields
    }

    /// The number of output columns.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// All parameters, in the order of the type's description.
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// The parameters to change; their number and order stay.
    pub fn parameters_mut(&mut self) -> &mut [f64] {
        &mut self.parameters
    }

    /// The names and shapes of the parameters' groups, in order.
    pub fn groups(&self) -> Vec<(String, Vec<usize>)> {
        let n = self.layout.dimensions();
        let mut groups = vec![("log_sigma".to_owned(), vec![n]), ("v".to_owned(), vec![n])];
        for field in 0..self.fields {
            let shapes: [(&str, Vec<usize>); 6] = [
                ("A", vec![]),
                ("k", vec![n]),
                ("omega", vec![]),
                ("phi", vec![]),
                ("epsilon", vec![]),
                ("lmbda", vec![n]),
            ];
            groups.extend(
                shapes
                    .into_iter()
                    .map(|(name, shape)| (format!("fields.{field}.{name}"), shape)),
            );
        }
        groups.push((
            "mixing.weight".to_owned(),
            vec![self.outputs, 2 * self.fields],
        ));
        groups
    }

    fn field_start(&self, field: usize) -> usize {
        let n = self.layout.dimensions();
        2 * n + field * (2 * n + 4)
    }

    /// `z_i`, `sigma_i` and the normalised envelope at one point.
    fn envelope(&self, position: &[f64], time: f64) -> (Vec<(f64, f64)>, f64) {
        let n = self.layout.dimensions();
        let (log_widths, velocities) = self.parameters[..2 * n].split_at(n);
        let scaled: Vec<(f64, f64)> = position
            .iter()
            .zip(log_widths.iter().zip(velocities))
            .map(|(x, (log_width, velocity))| {
                let width = log_width.exp().max(WIDTH_MIN);
                ((x - velocity * time) / width, width)
            })
            .collect();
        let squares: f64 = scaled.iter().map(|(z, _)| z * z).sum();
        let widths: f64 = scaled.iter().map(|(_, width)| width).product();
        let norm = widths * std::f64::consts::TAU.powf(n as f64 / 2.0);
        (scaled, (-0.5 * squares).exp() / norm)
    }

    fn field(&self, field: usize, position: &[f64], time: f64, envelope: f64) -> Field {
        let n = self.layout.dimensions();
        let values = &self.parameters[self.field_start(field)..];
        let along = |start: usize| -> f64 {
            values[start..start + n]
                .iter()
                .zip(position)
                .map(|(one, x)| one * x)
                .sum()
        };
        let (sine, cosine) = (along(1) - values[n + 1] * time).sin_cos();
        let (modulation_sine, modulation_cosine) = along(n + 4).sin_cos();
        let (offset_sine, offset_cosine) =
            (values[n + 2] + values[n + 3] * modulation_cosine).sin_cos();
        Field {
            sine,
            cosine,
            unit: envelope * offset_sine,
            offset_unit: envelope * offset_cosine,
            modulation_sine,
            modulation_cosine,
        }
    }

    /// The outputs at every point: `points * outputs` values, row by row.
    ///
    /// # Errors
    /// Coordinates of another number of dimensions.
    pub fn evaluate(&self, points: &Coordinates<'_, f64>) -> Result<Vec<f64>, PhysicsError> {
        points.check(self.layout)?;
        let mut position = vec![0.0; self.layout.dimensions()];
        let mixing = &self.parameters[self.field_start(self.fields)..];
        let mut parts = vec![0.0; 2 * self.fields];
        let mut values = Vec::with_capacity(points.count() * self.outputs);
        for row in 0..points.count() {
            let time = points.read(row, &mut position);
            let (_, envelope) = self.envelope(&position, time);
            for index in 0..self.fields {
                let field = self.field(index, &position, time, envelope);
                let amplitude = self.parameters[self.field_start(index)];
                parts[index] = amplitude * field.unit * field.cosine;
                parts[self.fields + index] = amplitude * field.unit * field.sine;
            }
            values.extend(
                mixing
                    .chunks_exact(2 * self.fields)
                    .map(|weights| -> f64 { weights.iter().zip(&parts).map(|(w, p)| w * p).sum() }),
            );
        }
        Ok(values)
    }

    /// Adds the derivative of `sum over outputs of weights[o] * y_o`, by each parameter and at one point, to `gradient`.
    ///
    /// # Panics
    /// When the position, the weights or the gradient has another length than the model's.
    pub fn add_gradient(&self, position: &[f64], time: f64, weights: &[f64], gradient: &mut [f64]) {
        let n = self.layout.dimensions();
        assert_eq!(position.len(), n);
        assert_eq!(weights.len(), self.outputs);
        assert_eq!(gradient.len(), self.parameters.len());
        let (scaled, envelope) = self.envelope(position, time);
        let mixing = self.field_start(self.fields);
        // The derivative by log E, which all fields share.
        let mut by_envelope = 0.0;
        for index in 0..self.fields {
            let start = self.field_start(index);
            let field = self.field(index, position, time, envelope);
            let amplitude = self.parameters[start];
            let (mut by_real, mut by_imaginary) = (0.0, 0.0);
            for (output, weight) in weights.iter().enumerate() {
                let row = mixing + output * 2 * self.fields;
                by_real += weight * self.parameters[row + index];
                by_imaginary += weight * self.parameters[row + self.fields + index];
                gradient[row + index] += weight * amplitude * field.unit * field.cosine;
                gradient[row + self.fields + index] += weight * amplitude * field.unit * field.sine;
            }
            let sum = by_real * field.cosine + by_imaginary * field.sine;
            let turn = by_imaginary * field.cosine - by_real * field.sine;
            let by_phase = amplitude * field.unit * turn;
            let by_offset = amplitude * field.offset_unit * sum;
            by_envelope += amplitude * field.unit * sum;
            let depth = self.parameters[start + n + 3];
            let into = &mut gradient[start..start + 2 * n + 4];
            into[0] += field.unit * sum;
            into[n + 1] -= time * by_phase;
            into[n + 2] += by_offset;
            into[n + 3] += by_offset * field.modulation_cosine;
            for (axis, x) in position.iter().enumerate() {
                into[1 + axis] += x * by_phase;
                into[n + 4 + axis] -= by_offset * depth * x * field.modulation_sine;
            }
        }
        for (axis, (z, width)) in scaled.iter().enumerate() {
            // A clamped width passes no derivative on.
            if *width > WIDTH_MIN {
                gradient[axis] += by_envelope * (z * z - 1.0);
            }
            gradient[n + axis] += by_envelope * z * time / width;
        }
    }
}
