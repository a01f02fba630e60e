//! Codes of the RaBitQ family: one to eight bits for each dimension of a residual, with an unbiased estimate of inner
//! products and a bound of its error (Gao & Long, SIGMOD 2024; more than one bit: Gao et al., SIGMOD 2025).
//!
//! The residual `r` is a vector minus its centroid after a random rotation. Its code stands for the vector `y` with
//! `y[i] = code[i] - (2^bits - 1) / 2`: with one bit the signs, halved. For any `q`
//!
//! ```text
//! <r, q> ~ factor * <y, q>,   factor = |r|^2 / <y, r>
//! | <r, q> - factor * <y, q> |  <=  error * |q|,   error = |r| * sqrt(|y|^2 |r|^2 / <y, r>^2 - 1) * 1.9 / sqrt(D - 1)
//! ```
//!
//! The bound is that of theorem 3.2 of the first paper with its constant of 1.9 standard errors. The error is nearly
//! normal, so that about 6 in 100 estimates are outside of it, 3 on either side; what follows a bound must re-rank.

#![expect(
    unsafe_code,
    reason = "calls functions compiled for instructions that were detected"
)]

use crate::dispatch::{Kernels, compiled_for_levels};

/// How many standard errors the bound allows, the constant of the paper.
pub const BOUND: f32 = 1.9;

/// Scales tried when a code of several bits is fitted, in eighths beyond the one that clips nothing. A normal distribution
/// is best clipped at about 2 (two bits) to 3 (five bits) deviations, where its largest of a thousand values is at 3.3.
const SCALES: usize = 9;

/// How a code lies to its residual.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fit {
    /// `|r|^2`.
    pub norm_squared: f32,
    /// `|r|^2 / <y, r>`; 0 for a residual of 0.
    pub factor: f32,
    /// Multiplied by the length of the other vector: the bound of the error of an estimated inner product.
    pub error: f32,
}

/// What a query adds to the estimates of the rows of one list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryTerms {
    /// Value of one unit of a sum.
    pub scale: f32,
    /// Value of a sum of 0.
    pub offset: f32,
    /// Added to each estimate.
    pub add: f32,
    /// Length by which the error of each row is multiplied.
    pub length: f32,
}

/// What each row of a run of rows adds to its estimate. All of one length.
#[derive(Debug, Clone, Copy)]
pub struct RowTerms<'a> {
    /// Added to the estimate.
    pub add: &'a [f32],
    /// Multiplies the value of the sum.
    pub factor: &'a [f32],
    /// Multiplies the length of the query.
    pub error: &'a [f32],
}

impl Kernels {
    /// Writes the code of `residual`, one byte in `0..2^bits` for each dimension, and returns how it fits.
    ///
    /// With several bits the scale is the one of nine whose code has the smallest angle to the residual. Every level gives
    /// the same bits. Panics unless `bits` is 1 to 8 and `code` as long as `residual`.
    pub fn rabitq_encode(&self, residual: &[f32], bits: u8, code: &mut [u8]) -> Fit {
        assert!((1..=8).contains(&bits), "one to eight bits");
        assert_eq!(residual.len(), code.len(), "one byte for each dimension");
        compiled_for_levels!(self, encode(residual: &[f32], bits: u8, code: &mut [u8]) -> Fit)
    }

    /// Estimates and their upper bounds for rows whose sums are known:
    /// `estimate = row.add + query.add + row.factor * (scale * sum + offset)`, `bound = estimate + row.error * query.length`.
    ///
    /// Panics if the lengths differ.
    pub fn rabitq_bounds(
        &self,
        sums: &[u32],
        rows: RowTerms<'_>,
        query: QueryTerms,
        estimates: &mut [f32],
        bounds: &mut [f32],
    ) {
        let count = sums.len();
        assert!(
            [
                rows.add.len(),
                rows.factor.len(),
                rows.error.len(),
                estimates.len(),
                bounds.len()
            ]
            .iter()
            .all(|&length| length == count),
            "one of each for each row"
        );
        compiled_for_levels!(
            self,
            bound(
                sums: &[u32],
                rows: RowTerms<'_>,
                query: QueryTerms,
                estimates: &mut [f32],
                bounds: &mut [f32]
            )
        );
    }
}

/// `<y, r>` and `|y|^2` of the code at one scale, with 16 sums side by side.
#[inline(always)]
fn measure(residual: &[f32], scale: f32, largest: f32) -> (f32, f32) {
    let mut along = [0f32; 16];
    let mut squared = [0f32; 16];
    let mut add = |lane: usize, value: f32| {
        let size = value.abs();
        let level = (size * scale).min(largest).trunc() + 0.5;
        along[lane] += level * size;
        squared[lane] += level * level;
    };
    let (groups, rest) = residual.as_chunks::<16>();
    for group in groups {
        for (lane, &value) in group.iter().enumerate() {
            add(lane, value);
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        add(lane, value);
    }
    (along.iter().sum(), squared.iter().sum())
}

#[inline(always)]
fn encode(residual: &[f32], bits: u8, code: &mut [u8]) -> Fit {
    let half = 1u32 << (bits - 1);
    let largest_level = (half - 1) as f32;
    let mut largest = 0f32;
    for &value in residual {
        largest = if value.abs() > largest {
            value.abs()
        } else {
            largest
        };
    }
    if largest == 0.0 || !largest.is_finite() {
        code.fill(half as u8);
        return Fit::default();
    }
    let unit = half as f32 / largest;
    let mut scale = unit;
    let (mut along, mut squared) = measure(residual, scale, largest_level);
    if bits > 1 {
        for step in 1..SCALES {
            let tried = unit * (1.0 + step as f32 / 8.0);
            let (tried_along, tried_squared) = measure(residual, tried, largest_level);
            if tried_along * tried_along * squared > along * along * tried_squared {
                (scale, along, squared) = (tried, tried_along, tried_squared);
            }
        }
    }
    for (code, &value) in code.iter_mut().zip(residual) {
        let level = (value.abs() * scale).min(largest_level) as u32;
        *code = if value >= 0.0 {
            half + level
        } else {
            half - 1 - level
        } as u8;
    }
    let mut squares = [0f32; 16];
    for group in residual.chunks(16) {
        for (square, &value) in squares.iter_mut().zip(group) {
            *square += value * value;
        }
    }
    let norm_squared: f32 = squares.iter().sum();
    let factor = norm_squared / along;
    if !factor.is_finite() {
        return Fit::default();
    }
    // 1 / cos^2 - 1 of the angle between code and residual.
    let tangent_squared = (squared * factor / along - 1.0).max(0.0);
    let spread = (residual.len().max(2) as f32 - 1.0).sqrt();
    Fit {
        norm_squared,
        factor,
        error: (norm_squared * tangent_squared).sqrt() * BOUND / spread,
    }
}

#[inline(always)]
fn bound(
    sums: &[u32],
    rows: RowTerms<'_>,
    query: QueryTerms,
    estimates: &mut [f32],
    bounds: &mut [f32],
) {
    let rows = rows.add.iter().zip(rows.factor).zip(rows.error);
    let out = estimates.iter_mut().zip(bounds);
    for ((&sum, ((&add, &factor), &error)), (estimate, bound)) in sums.iter().zip(rows).zip(out) {
        *estimate = add + query.add + factor * (query.scale * sum as f32 + query.offset);
        *bound = *estimate + error * query.length;
    }
}
