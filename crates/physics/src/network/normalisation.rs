//! Batch normalisation (Ioffe and Szegedy, ICML 2015) with the conventions of PyTorch: the biased variance normalises, the
//! unbiased one enters the running mean, in which a batch counts for a tenth.

/// Added to the variance.
pub(super) const EPSILON: f32 = 1e-5;
/// How much one batch counts in the running statistics.
const MOMENTUM: f32 = 0.1;

/// What the way back needs of one normalised batch.
#[derive(Default)]
pub(super) struct Normalised {
    /// The normalised values before scale and shift, `rows` of `stride`.
    pub values: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)`, one per column.
    pub inverse: Vec<f32>,
}

/// Normalises the first `count` columns of `batch`, rows of `stride` values, over its rows, scales and shifts them in place, and
/// moves the running statistics (means, then variances).
pub(super) fn forward(
    batch: &mut [f32],
    stride: usize,
    (scale, shift): (&[f32], &[f32]),
    running: &mut [f32],
) -> Normalised {
    let count = scale.len();
    let rows = batch.len() / stride;
    let (mut means, mut variances) = (vec![0.0f64; count], vec![0.0f64; count]);
    for row in batch.chunks_exact(stride) {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += f64::from(*value);
        }
    }
    means.iter_mut().for_each(|mean| *mean /= rows as f64);
    for row in batch.chunks_exact(stride) {
        for ((variance, mean), value) in variances.iter_mut().zip(&means).zip(row) {
            *variance += (f64::from(*value) - mean).powi(2);
        }
    }
    let (running_means, running_variances) = running.split_at_mut(count);
    let mut inverse = Vec::with_capacity(count);
    for column in 0..count {
        let unbiased = variances[column] / (rows.max(2) - 1) as f64;
        let biased = variances[column] / rows as f64;
        inverse.push((1.0 / (biased + f64::from(EPSILON)).sqrt()) as f32);
        for (kept, new) in [
            (&mut running_means[column], means[column]),
            (&mut running_variances[column], unbiased),
        ] {
            *kept = (1.0 - MOMENTUM) * *kept + MOMENTUM * new as f32;
        }
    }
    let mut values = vec![0.0; batch.len()];
    let rows = batch
        .chunks_exact_mut(stride)
        .zip(values.chunks_exact_mut(stride));
    for (row, normalised) in rows {
        for column in 0..count {
            normalised[column] = (row[column] - means[column] as f32) * inverse[column];
            row[column] = normalised[column] * scale[column] + shift[column];
        }
    }
    Normalised { values, inverse }
}

/// Turns the derivatives by the outputs, in `batch`, into those by the inputs, and returns those by scale and shift.
pub(super) fn backward(
    batch: &mut [f32],
    stride: usize,
    scale: &[f32],
    normalised: &Normalised,
) -> (Vec<f64>, Vec<f64>) {
    let count = scale.len();
    let rows = batch.len() / stride;
    let (mut by_scale, mut by_shift) = (vec![0.0f64; count], vec![0.0f64; count]);
    let pairs = || normalised.values.chunks_exact(stride);
    for (row, values) in batch.chunks_exact(stride).zip(pairs()) {
        for column in 0..count {
            by_shift[column] += f64::from(row[column]);
            by_scale[column] += f64::from(row[column] * values[column]);
        }
    }
    let share = 1.0 / rows as f64;
    let factors: Vec<(f32, f32, f32)> = (0..count)
        .map(|column| {
            (
                scale[column] * normalised.inverse[column],
                (by_shift[column] * share) as f32,
                (by_scale[column] * share) as f32,
            )
        })
        .collect();
    for (row, values) in batch.chunks_exact_mut(stride).zip(pairs()) {
        for (column, (factor, shift, scale)) in factors.iter().enumerate() {
            row[column] = factor * (row[column] - shift - values[column] * scale);
        }
    }
    (by_scale, by_shift)
}
