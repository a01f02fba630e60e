//! The twins: plain loops on the standard library's functions.

use super::Ensemble;

/// The value of row `row` of a column that may have length one.
fn at(column: &[f32], row: usize) -> f32 {
    column[if column.len() == 1 { 0 } else { row }]
}

/// One wave's factors at one point.
struct Factors {
    sine: f32,
    cosine: f32,
    envelope: f32,
    width: f32,
    squares: f32,
    offset_sine: f32,
    offset_cosine: f32,
    modulation_sine: f32,
    modulation_cosine: f32,
}

fn factors(dimensions: usize, wave: &[f32], columns: &[&[f32]], row: usize) -> Factors {
    let n = dimensions;
    let time = at(columns[n], row);
    let width = wave[2 + 2 * n].exp();
    let (mut phase, mut squares, mut modulation) = (-wave[1 + n] * time, 0.0, 0.0);
    for (axis, column) in columns[..n].iter().enumerate() {
        let x = at(column, row);
        phase += wave[1 + axis] * x;
        modulation += wave[5 + 2 * n + axis] * x;
        let distance = (x - wave[2 + n + axis] * time) / width;
        squares += distance * distance;
    }
    let (sine, cosine) = phase.sin_cos();
    let (modulation_sine, modulation_cosine) = modulation.sin_cos();
    let offset = wave[3 + 2 * n] + wave[4 + 2 * n] * modulation_cosine;
    let (offset_sine, offset_cosine) = offset.sin_cos();
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

pub(super) fn evaluate(ensemble: Ensemble<'_>, columns: &[&[f32]], into: &mut [f32]) {
    for (row, value) in into.iter_mut().enumerate() {
        *value = ensemble.bias;
        let waves = ensemble.waves.chunks_exact(ensemble.width());
        for (wave, weight) in waves.zip(ensemble.weights) {
            let factors = factors(ensemble.dimensions, wave, columns, row);
            *value += weight * wave[0] * factors.cosine * factors.envelope * factors.offset_sine;
        }
    }
}

pub(super) fn add_gradient(
    ensemble: Ensemble<'_>,
    columns: &[&[f32]],
    row_weights: &[f32],
    gradient: &mut [f64],
) {
    let (n, width) = (ensemble.dimensions, ensemble.width());
    let (waves, head) = gradient.split_at_mut(ensemble.waves.len());
    for (row, row_weight) in row_weights.iter().enumerate() {
        let time = at(columns[n], row);
        for (index, share) in ensemble.weights.iter().enumerate() {
            let wave = &ensemble.waves[index * width..][..width];
            let into = &mut waves[index * width..][..width];
            let one = factors(n, wave, columns, row);
            let weight = share * row_weight;
            let unit = one.cosine * one.envelope * one.offset_sine;
            let value = wave[0] * unit;
            let by_phase = -wave[0] * one.sine * one.envelope * one.offset_sine * weight;
            let by_offset = wave[0] * one.cosine * one.envelope * one.offset_cosine * weight;
            head[index] += f64::from(value * row_weight);
            into[0] += f64::from(unit * weight);
            into[1 + n] -= f64::from(time * by_phase);
            into[2 + 2 * n] += f64::from(value * one.squares * weight);
            into[3 + 2 * n] += f64::from(by_offset);
            into[4 + 2 * n] += f64::from(by_offset * one.modulation_cosine);
            for axis in 0..n {
                let x = at(columns[axis], row);
                let distance = (x - wave[2 + n + axis] * time) / one.width;
                into[1 + axis] += f64::from(x * by_phase);
                into[2 + n + axis] += f64::from(value * distance * time / one.width * weight);
                let by_modulation = by_offset * wave[4 + 2 * n] * x * one.modulation_sine;
                into[5 + 2 * n + axis] -= f64::from(by_modulation);
            }
        }
        head[ensemble.weights.len()] += f64::from(*row_weight);
    }
}

pub(super) fn fused(alpha: f32, x: &[f32], into: &mut [f32]) {
    for (value, x) in into.iter_mut().zip(x) {
        *value = alpha * x.sin() + (1.0 - alpha) * x;
    }
}

pub(super) fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

/// The exponential, with results below the smallest normal number taken as 0.
pub(super) fn exponential(x: f32) -> f32 {
    let value = x.exp();
    if value < f32::MIN_POSITIVE {
        0.0
    } else {
        value
    }
}
