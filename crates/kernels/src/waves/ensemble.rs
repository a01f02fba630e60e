//! The ensemble's value and gradient in lanes: the waves outside, the points inside, so that a wave's parameters stay in
//! registers while a chunk of points, small enough for the first cache, passes.

use super::functions::{cosine, exponential, sine};
use super::lanes::{COUNT_MAX, Lanes};
use super::{DIMENSIONS_MAX, Ensemble};

/// Points per chunk: with two columns and the sums 24 KB of the first cache, with six 56 KB of the second.
const CHUNK: usize = 2_048;
/// The most parameters of one wave.
const WIDTH_MAX: usize = 3 * DIMENSIONS_MAX + 5;

/// One column at a block of rows.
#[derive(Clone, Copy)]
struct Column {
    from: *const f32,
    /// 1, or 0 for a column of length one.
    step: usize,
}

impl Column {
    /// # Safety
    /// `row + L::COUNT` must not pass the column's end, unless its step is 0; the rest as the module `lanes` demands.
    #[inline(always)]
    unsafe fn load<L: Lanes>(self, row: usize) -> L {
        // SAFETY: as this function demands.
        unsafe {
            if self.step == 0 {
                L::splat(*self.from)
            } else {
                L::load(self.from.add(row))
            }
        }
    }
}

/// The columns of a whole number of blocks: the caller's own, and for the last rows a padded copy.
struct Columns {
    columns: [Column; DIMENSIONS_MAX + 1],
}

impl Columns {
    fn new(columns: &[&[f32]]) -> Self {
        let mut all = [Column {
            from: std::ptr::null(),
            step: 0,
        }; DIMENSIONS_MAX + 1];
        for (place, column) in all.iter_mut().zip(columns) {
            *place = Column {
                from: column.as_ptr(),
                step: usize::from(column.len() > 1),
            };
        }
        Columns { columns: all }
    }

    fn padded(
        columns: &[&[f32]],
        start: usize,
        copies: &mut [[f32; COUNT_MAX]; DIMENSIONS_MAX + 1],
    ) -> Self {
        for (copy, column) in copies.iter_mut().zip(columns) {
            if column.len() > 1 {
                copy[..column.len() - start].copy_from_slice(&column[start..]);
            } else {
                *copy = [column[0]; COUNT_MAX];
            }
        }
        let mut all = Columns::new(columns);
        for (place, copy) in all.columns.iter_mut().zip(copies.iter()) {
            *place = Column {
                from: copy.as_ptr(),
                step: 1,
            };
        }
        all
    }
}

#[inline(always)]
pub(super) unsafe fn evaluate<L: Lanes>(
    ensemble: Ensemble<'_>,
    columns: &[&[f32]],
    into: &mut [f32],
) {
    let whole = into.len() - into.len() % L::COUNT;
    let (blocks, rest) = into.split_at_mut(whole);
    // SAFETY: `blocks` is a whole number of blocks that the checked columns cover; the copies hold one block.
    unsafe {
        let all = Columns::new(columns);
        for (index, chunk) in blocks.chunks_mut(CHUNK).enumerate() {
            evaluate_chunk::<L>(ensemble, &all, index * CHUNK, chunk);
        }
        if !rest.is_empty() {
            let mut copies = [[0.0; COUNT_MAX]; DIMENSIONS_MAX + 1];
            let all = Columns::padded(columns, whole, &mut copies);
            let mut padded = [0.0; COUNT_MAX];
            evaluate_chunk::<L>(ensemble, &all, 0, &mut padded[..L::COUNT]);
            rest.copy_from_slice(&padded[..rest.len()]);
        }
    }
}

/// # Safety
/// `into` holds a whole number of blocks, and the columns hold the rows from `start` that it stands for.
#[inline(always)]
unsafe fn evaluate_chunk<L: Lanes>(
    ensemble: Ensemble<'_>,
    columns: &Columns,
    start: usize,
    into: &mut [f32],
) {
    let n = ensemble.dimensions;
    into.fill(ensemble.bias);
    let waves = ensemble.waves.chunks_exact(ensemble.width());
    for (wave, weight) in waves.zip(ensemble.weights) {
        // SAFETY: rows stay below `start + into.len()`; the rest as the module `lanes` demands.
        unsafe {
            let narrowness = L::splat((-wave[2 + 2 * n]).exp());
            let scale = L::splat(weight * wave[0]);
            let mut row = 0;
            while row < into.len() {
                let time: L = columns.columns[n].load(start + row);
                let mut phase = time.mul(L::splat(-wave[1 + n]));
                let mut modulation = L::splat(0.0);
                let mut squares = L::splat(0.0);
                for axis in 0..n {
                    let x: L = columns.columns[axis].load(start + row);
                    phase = x.mul_add(L::splat(wave[1 + axis]), phase);
                    modulation = x.mul_add(L::splat(wave[5 + 2 * n + axis]), modulation);
                    let distance = time.neg_mul_add(L::splat(wave[2 + n + axis]), x);
                    let distance = distance.mul(narrowness);
                    squares = distance.mul_add(distance, squares);
                }
                let offset = cosine(modulation)
                    .mul_add(L::splat(wave[4 + 2 * n]), L::splat(wave[3 + 2 * n]));
                let envelope = exponential(squares.mul(L::splat(-0.5)));
                let unit = cosine(phase).mul(envelope).mul(sine(offset));
                let place = into.as_mut_ptr().add(row);
                unit.mul_add(scale, L::load(place)).store(place);
                row += L::COUNT;
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn add_gradient<L: Lanes>(
    ensemble: Ensemble<'_>,
    columns: &[&[f32]],
    row_weights: &[f32],
    gradient: &mut [f64],
) {
    let whole = row_weights.len() - row_weights.len() % L::COUNT;
    let (blocks, rest) = row_weights.split_at(whole);
    // SAFETY: `blocks` is a whole number of blocks that the checked columns cover; the copies hold one block.
    unsafe {
        let all = Columns::new(columns);
        for (index, chunk) in blocks.chunks(CHUNK).enumerate() {
            add_gradient_chunk::<L>(ensemble, &all, index * CHUNK, chunk, gradient);
        }
        if !rest.is_empty() {
            let mut copies = [[0.0; COUNT_MAX]; DIMENSIONS_MAX + 1];
            let all = Columns::padded(columns, whole, &mut copies);
            // Rows that are only padding weigh nothing.
            let mut padded = [0.0; COUNT_MAX];
            padded[..rest.len()].copy_from_slice(rest);
            add_gradient_chunk::<L>(ensemble, &all, 0, &padded[..L::COUNT], gradient);
        }
    }
    let bias: f64 = row_weights.iter().map(|weight| f64::from(*weight)).sum();
    gradient[ensemble.waves.len() + ensemble.weights.len()] += bias;
}

/// # Safety
/// As [`evaluate_chunk`], with `row_weights` in the place of `into`.
#[inline(always)]
unsafe fn add_gradient_chunk<L: Lanes>(
    ensemble: Ensemble<'_>,
    columns: &Columns,
    start: usize,
    row_weights: &[f32],
    gradient: &mut [f64],
) {
    let n = ensemble.dimensions;
    let (into, head) = gradient.split_at_mut(ensemble.waves.len());
    let waves = ensemble.waves.chunks_exact(ensemble.width());
    let pairs = waves.zip(into.chunks_exact_mut(ensemble.width()));
    for ((wave, into), (share, by_share)) in pairs.zip(ensemble.weights.iter().zip(head)) {
        // SAFETY: rows stay below `start + row_weights.len()`; the rest as the module `lanes` demands.
        unsafe {
            let mut sums = [L::splat(0.0); WIDTH_MAX];
            let mut values = L::splat(0.0);
            let narrowness = (-wave[2 + 2 * n]).exp();
            let mut row = 0;
            while row < row_weights.len() {
                let weight = L::load(row_weights.as_ptr().add(row));
                let value = add_block(n, wave, narrowness, columns, start + row, weight, &mut sums);
                values = value.mul_add(weight, values);
                row += L::COUNT;
            }
            *by_share += f64::from(values.sum());
            for (into, sum) in into.iter_mut().zip(&sums) {
                *into += f64::from(share * sum.sum());
            }
        }
    }
}

/// Adds one block's derivatives times `weight` to `sums` and returns the wave's values.
///
/// # Safety
/// The columns hold the block at `row`; the rest as the module `lanes` demands.
#[inline(always)]
unsafe fn add_block<L: Lanes>(
    n: usize,
    wave: &[f32],
    narrowness: f32,
    columns: &Columns,
    row: usize,
    weight: L,
    sums: &mut [L; WIDTH_MAX],
) -> L {
    // SAFETY: as this function demands.
    unsafe {
        let narrow = L::splat(narrowness);
        let time: L = columns.columns[n].load(row);
        let mut phase = time.mul(L::splat(-wave[1 + n]));
        let mut modulation = L::splat(0.0);
        let mut squares = L::splat(0.0);
        for axis in 0..n {
            let x: L = columns.columns[axis].load(row);
            phase = x.mul_add(L::splat(wave[1 + axis]), phase);
            modulation = x.mul_add(L::splat(wave[5 + 2 * n + axis]), modulation);
            let distance = time.neg_mul_add(L::splat(wave[2 + n + axis]), x);
            let distance = distance.mul(narrow);
            squares = distance.mul_add(distance, squares);
        }
        let depth = L::splat(wave[4 + 2 * n]);
        let modulation_cosine = cosine(modulation);
        let offset = modulation_cosine.mul_add(depth, L::splat(wave[3 + 2 * n]));
        let offset_sine = sine(offset);
        let envelope = exponential(squares.mul(L::splat(-0.5)));
        let unit = cosine(phase).mul(envelope).mul(offset_sine);
        let amplitude = L::splat(wave[0]);
        let value = unit.mul(amplitude);
        let weighted = value.mul(weight);
        // Of the sign of d psi / d omega per t; the wavenumbers take the other.
        let by_phase = sine(phase).mul(envelope).mul(offset_sine);
        let by_phase = by_phase.mul(amplitude).mul(weight);
        let by_offset = cosine(phase).mul(envelope).mul(cosine(offset));
        let by_offset = by_offset.mul(amplitude).mul(weight);
        let by_modulation = by_offset.mul(depth).mul(sine(modulation));
        let by_distance = weighted.mul(time).mul(narrow);
        sums[0] = unit.mul_add(weight, sums[0]);
        sums[1 + n] = time.mul_add(by_phase, sums[1 + n]);
        sums[2 + 2 * n] = weighted.mul_add(squares, sums[2 + 2 * n]);
        sums[3 + 2 * n] = sums[3 + 2 * n].add(by_offset);
        sums[4 + 2 * n] = by_offset.mul_add(modulation_cosine, sums[4 + 2 * n]);
        for axis in 0..n {
            let x: L = columns.columns[axis].load(row);
            let distance = time.neg_mul_add(L::splat(wave[2 + n + axis]), x);
            let distance = distance.mul(narrow);
            sums[1 + axis] = x.neg_mul_add(by_phase, sums[1 + axis]);
            sums[2 + n + axis] = by_distance.mul_add(distance, sums[2 + n + axis]);
            sums[5 + 2 * n + axis] = x.neg_mul_add(by_modulation, sums[5 + 2 * n + axis]);
        }
        value
    }
}
