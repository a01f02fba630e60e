//! Waves and ensembles in single precision, vectorised, for batches; and the fused sine.

use super::{Coordinates, Ensemble, Wave};
use crate::error::{PhysicsError, check_count, check_finite};
use crate::processor::Processor;

/// The least points per wave that are worth a thread of their own: about 50 microseconds of one processor core, the price of
/// starting a thread.
const POINTS_PER_THREAD: usize = 8_192;

impl Wave {
    /// The wave at every point in single precision, one value per row.
    ///
    /// # Errors
    /// Coordinates of another number of dimensions.
    pub fn evaluate_single(
        &self,
        processor: Processor,
        points: &Coordinates<'_, f32>,
    ) -> Result<Vec<f32>, PhysicsError> {
        points.check(self.layout())?;
        let waves: Vec<f32> = self.parameters().iter().map(|one| *one as f32).collect();
        let ensemble = kernels::waves::Ensemble {
            dimensions: self.layout().dimensions(),
            waves: &waves,
            weights: &[1.0],
            bias: 0.0,
        };
        Ok(evaluate(processor, ensemble, points))
    }
}

impl Ensemble {
    /// The ensemble at every point in single precision, one value per row.
    ///
    /// # Errors
    /// Coordinates of another number of dimensions.
    pub fn evaluate_single(
        &self,
        processor: Processor,
        points: &Coordinates<'_, f32>,
    ) -> Result<Vec<f32>, PhysicsError> {
        points.check(self.layout())?;
        let parameters: Vec<f32> = self.parameters().iter().map(|one| *one as f32).collect();
        Ok(evaluate(processor, self.as_kernel(&parameters), points))
    }

    /// The kernel's view of the ensemble whose parameters, rounded, are `parameters`.
    pub(crate) fn as_kernel<'p>(&self, parameters: &'p [f32]) -> kernels::waves::Ensemble<'p> {
        let (waves, head) = parameters.split_at(self.head());
        kernels::waves::Ensemble {
            dimensions: self.layout().dimensions(),
            waves,
            weights: &head[..self.waves()],
            bias: head[self.waves()],
        }
    }
}

fn evaluate(
    processor: Processor,
    ensemble: kernels::waves::Ensemble<'_>,
    points: &Coordinates<'_, f32>,
) -> Vec<f32> {
    let mut values = vec![0.0; points.count()];
    let rows_min = (POINTS_PER_THREAD / ensemble.weights.len()).max(64);
    processor.split(&mut values, 1, rows_min, |start, part| {
        let columns: Vec<&[f32]> = points
            .columns()
            .iter()
            .map(|column| match column.len() {
                1 => *column,
                _ => &column[start..start + part.len()],
            })
            .collect();
        kernels::waves::evaluate(processor.level, ensemble, &columns, part);
    });
    values
}

/// `alpha sin(x) + (1 - alpha) x` for every value, in one pass.
///
/// # Errors
/// No value or more than [`super::coordinates::POINTS_MAX`]; an `alpha` that is not finite.
pub fn fused(processor: Processor, alpha: f64, x: &[f32]) -> Result<Vec<f32>, PhysicsError> {
    check_count("x", x.len(), 1, super::coordinates::POINTS_MAX)?;
    check_finite("alpha", alpha)?;
    let mut values = vec![0.0; x.len()];
    processor.split(&mut values, 1, 4 * POINTS_PER_THREAD, |start, part| {
        let x = &x[start..start + part.len()];
        kernels::waves::fused(processor.level, alpha as f32, x, part);
    });
    Ok(values)
}
