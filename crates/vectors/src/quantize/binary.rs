//! One bit per dimension with an unbiased estimate of ranks (RaBitQ, Gao & Long, SIGMOD 2024): a thirty-second of f32.
//!
//! A vector is coded as the signs of `r = R(x - centre)` with one centre for all rows, their mean. Queries have 8 bits, so a
//! comparison sums those query bytes whose bit is set. Estimates are rough: results must be ranked again on originals, from
//! a longer list of candidates than other codes need. Row `i` is
//!
//! ```text
//! codes   u64 [D / 64]     bit j % 64 of word j / 64 is the sign of dimension j; D is dimensions rounded up to 64
//! terms   f32 add, factor  rank ~ query term + add + factor * (sum of selected query values - half of their sum)
//! ```

use kernels::Kernels;

use crate::error::VectorsError;
use crate::quantize::rotation::{Random, Rotation};
use crate::quantize::store::Store;
use crate::quantize::{Originals, PreparedQuery};
use crate::schema::Metric;

/// Rows from which the centre is taken.
const SAMPLE_ROWS: usize = 4096;
/// Rows compared per kernel call.
const BATCH: usize = 64;
/// Floats of a row's terms.
const TERMS: usize = 2;

/// Codes of all rows of one vector column.
#[derive(Debug)]
pub struct BinaryCodes {
    metric: Metric,
    rotation: Rotation,
    centre: Vec<f32>,
    codes: Store,
    terms: Store,
}

fn padded(dimensions: usize) -> usize {
    dimensions.next_multiple_of(64)
}

impl BinaryCodes {
    /// Codes every row.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for the Manhattan distance, which has no inner product to estimate;
    /// [`VectorsError::Corrupt`] from the originals; [`VectorsError::OverBudget`] when memory is refused.
    pub fn encode(
        originals: &dyn Originals,
        metric: Metric,
        seed: u64,
    ) -> Result<Self, VectorsError> {
        if metric == Metric::Manhattan {
            return Err(VectorsError::invalid(
                "quantization",
                "binary quantization does not support the Manhattan distance; use int8",
            ));
        }
        let rows = originals.rows() as usize;
        let dimensions = originals.dimensions();
        let wide = padded(dimensions);
        let rotation = Rotation::new(wide, seed);
        let centre = mean(originals, seed)?;
        let mut codes = Store::zeroed("vector codes", rows * wide / 8)?;
        let mut terms = Store::zeroed("vector codes", rows * TERMS * 4)?;
        let words: &mut [u64] = bytemuck::cast_slice_mut(codes.owned_mut());
        let factors: &mut [f32] = bytemuck::cast_slice_mut(terms.owned_mut());
        let (mut buffer, mut residual, mut code) = (Vec::new(), vec![0.0; wide], vec![0; wide]);
        let kernels = Kernels::best();
        let out = words
            .chunks_exact_mut((wide / 64).max(1))
            .zip(factors.chunks_exact_mut(TERMS));
        for (row, (words, terms)) in out.enumerate() {
            let vector = originals.row(row as u32, &mut buffer)?;
            residual.fill(0.0);
            for ((residual, value), centre) in residual.iter_mut().zip(vector).zip(&centre) {
                *residual = value - centre;
            }
            rotation.apply(&mut residual);
            let fit = kernels.rabitq_encode(&residual, 1, &mut code);
            for (word, bits) in words.iter_mut().zip(code.chunks_exact(64)) {
                *word = bits
                    .iter()
                    .rev()
                    .fold(0, |word, &bit| word << 1 | u64::from(bit));
            }
            terms.copy_from_slice(&match metric {
                Metric::Euclid => [-fit.norm_squared, 2.0 * fit.factor],
                _ => [0.0, fit.factor],
            });
        }
        Ok(BinaryCodes {
            metric,
            rotation,
            centre,
            codes,
            terms,
        })
    }

    /// Codes that were written before.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the lengths do not fit.
    pub(crate) fn from_stores(
        metric: Metric,
        seed: u64,
        centre: Vec<f32>,
        rows: u32,
        codes: Store,
        terms: Store,
    ) -> Result<Self, VectorsError> {
        let wide = padded(centre.len());
        if codes.len() != rows as usize * wide / 8 || terms.len() != rows as usize * TERMS * 4 {
            return Err(VectorsError::invalid(
                "index codes",
                "they do not hold the rows",
            ));
        }
        Ok(BinaryCodes {
            metric,
            rotation: Rotation::new(wide, seed),
            centre,
            codes,
            terms,
        })
    }

    /// What is written: codes, terms, centre and the seed of the rotation.
    pub(crate) fn parts(&self) -> (&Store, &Store, &[f32], u64) {
        (&self.codes, &self.terms, &self.centre, self.rotation.seed())
    }

    /// Bytes held in memory.
    pub fn bytes_in_memory(&self) -> u64 {
        self.codes.bytes_in_memory() + self.terms.bytes_in_memory()
    }

    /// Prepares a query of the column's dimensions.
    pub fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery) {
        let kernels = Kernels::best();
        prepared.values.clear();
        prepared.values.extend_from_slice(query);
        prepared.offset = match self.metric {
            // -|q - x|^2 = -|q - c|^2 - |r|^2 + 2 <r, q - c>
            Metric::Euclid => {
                for (value, centre) in prepared.values.iter_mut().zip(&self.centre) {
                    *value -= centre;
                }
                -kernels.norm_squared_f32(&prepared.values)
            }
            // <q, x> = <q, c> + <r, q>
            _ => kernels.dot_f32(query, &self.centre),
        };
        prepared.values.resize(padded(self.centre.len()), 0.0);
        self.rotation.apply(&mut prepared.values);
        let largest = prepared
            .values
            .iter()
            .fold(0f32, |most, value| most.max(value.abs()));
        prepared.factor = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let inverse = 1.0 / prepared.factor;
        prepared.signed.clear();
        let bytes = prepared
            .values
            .iter()
            .map(|value| (value * inverse).round_ties_even() as i8);
        prepared.signed.extend(bytes);
        let sum: i32 = prepared.signed.iter().map(|&byte| i32::from(byte)).sum();
        prepared.half_sum = 0.5 * sum as f32;
    }

    /// Writes the distance of each row to `out`: minus the estimated rank.
    #[inline]
    pub(crate) fn distances(&self, prepared: &PreparedQuery, rows: &[u32], out: &mut [f32]) {
        let words: &[u64] = bytemuck::cast_slice(&self.codes);
        let terms = self.terms.floats();
        let stride = padded(self.centre.len()) / 64;
        let kernels = Kernels::best();
        for (rows, out) in rows.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            let mut sums = [0; BATCH];
            let sums = &mut sums[..rows.len()];
            kernels.dot_many_bits_i8(&prepared.signed, words, stride, rows, sums);
            for ((&row, &sum), out) in rows.iter().zip(&*sums).zip(out) {
                let [add, factor] = [0, 1].map(|term| terms[row as usize * TERMS + term]);
                let product = prepared.factor * (sum as f32 - prepared.half_sum);
                let distance = -(prepared.offset + add + factor * product);
                *out = if distance.is_nan() {
                    f32::INFINITY
                } else {
                    distance
                };
            }
        }
    }
}

/// Mean of a sample of rows.
fn mean(originals: &dyn Originals, seed: u64) -> Result<Vec<f32>, VectorsError> {
    let rows = originals.rows() as usize;
    let mut sums = vec![0f64; originals.dimensions()];
    let mut random = Random::new(seed ^ 0x5a);
    let mut buffer = Vec::new();
    let count = rows.min(SAMPLE_ROWS);
    for place in 0..count {
        let row = if rows == count {
            place
        } else {
            random.below(rows)
        };
        for (sum, &value) in sums.iter_mut().zip(originals.row(row as u32, &mut buffer)?) {
            *sum += f64::from(value);
        }
    }
    let count = count.max(1) as f64;
    Ok(sums.into_iter().map(|sum| (sum / count) as f32).collect())
}
