//! Several waves at the same coordinates, joined by one affine head: `y = bias + sum_j weight_j psi_j`.

use super::{Coordinates, Layout, WAVES_MAX, add_gradient, check_parameters, psi};
use crate::error::{PhysicsError, check_count};
use crate::random::{INITIAL_VALUES, Random};

/// An ensemble of waves; its output has one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    layout: Layout,
    waves: usize,
    /// The waves' parameters one wave after another, then the head's weights, then its bias.
    parameters: Vec<f64>,
}

impl Ensemble {
    /// `waves` waves with DREDGE's initial values and a head drawn as PyTorch draws its linear layers, from `seed`.
    ///
    /// # Errors
    /// Dimensions or waves out of bounds.
    pub fn seeded(dimensions: usize, waves: usize, seed: u64) -> Result<Self, PhysicsError> {
        let layout = Layout::new(dimensions)?;
        check_count("n_waves", waves, 1, WAVES_MAX)?;
        let mut random = Random::new(seed, INITIAL_VALUES);
        let mut parameters = Vec::new();
        for _ in 0..waves {
            layout.initialise(&mut random, &mut parameters);
        }
        let bound = 1.0 / (waves as f64).sqrt();
        parameters.extend((0..=waves).map(|_| f64::from(random.between(-bound, bound) as f32)));
        Ok(Ensemble {
            layout,
            waves,
            parameters,
        })
    }

    /// An ensemble with the given parameters: the waves' one after another, the head's weights, its bias.
    ///
    /// # Errors
    /// Dimensions or waves out of bounds, another number of parameters, or one that is not finite.
    pub fn from_parameters(
        dimensions: usize,
        waves: usize,
        parameters: Vec<f64>,
    ) -> Result<Self, PhysicsError> {
        let layout = Layout::new(dimensions)?;
        check_count("n_waves", waves, 1, WAVES_MAX)?;
        check_parameters(&parameters, waves * layout.count() + waves + 1)?;
        Ok(Ensemble {
            layout,
            waves,
            parameters,
        })
    }

    /// The layout of each wave.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of waves.
    pub fn waves(&self) -> usize {
        self.waves
    }

    /// All parameters, as [`Ensemble::from_parameters`] takes them.
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// The parameters to change; their number and order stay.
    pub fn parameters_mut(&mut self) -> &mut [f64] {
        &mut self.parameters
    }

    /// Where the head's weights begin; the bias is the last parameter.
    pub(crate) fn head(&self) -> usize {
        self.waves * self.layout.count()
    }

    /// The ensemble at every point, one value per row.
    ///
    /// # Errors
    /// Coordinates of another number of dimensions.
    pub fn evaluate(&self, points: &Coordinates<'_, f64>) -> Result<Vec<f64>, PhysicsError> {
        points.check(self.layout)?;
        let mut position = vec![0.0; self.layout.dimensions()];
        let (waves, head) = self.parameters.split_at(self.head());
        Ok((0..points.count())
            .map(|row| {
                let time = points.read(row, &mut position);
                let waves = waves.chunks_exact(self.layout.count());
                let sum: f64 = waves
                    .zip(head)
                    .map(|(wave, weight)| weight * psi(self.layout, wave, &position, time))
                    .sum();
                sum + head[self.waves]
            })
            .collect())
    }

    /// Adds `weight` times the derivative of the output by each parameter, at one point, to `gradient`.
    ///
    /// # Panics
    /// When the position or the gradient has another length than the model's.
    pub fn add_gradient(&self, position: &[f64], time: f64, weight: f64, gradient: &mut [f64]) {
        assert_eq!(position.len(), self.layout.dimensions());
        assert_eq!(gradient.len(), self.parameters.len());
        let (waves, head) = self.parameters.split_at(self.head());
        let (wave_gradients, head_gradient) = gradient.split_at_mut(self.head());
        let count = self.layout.count();
        let rows = waves
            .chunks_exact(count)
            .zip(wave_gradients.chunks_exact_mut(count));
        for ((wave, into), (share, by_share)) in rows.zip(head.iter().zip(head_gradient.iter_mut()))
        {
            let value = add_gradient(self.layout, wave, (position, time), weight * share, into);
            *by_share += weight * value;
        }
        head_gradient[self.waves] += weight;
    }
}
