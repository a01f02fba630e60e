//! A random rotation that costs `O(d log d)`: signs and Hadamard transforms in turn.
//!
//! After it the coordinates of any vector look like draws from one normal distribution, so that one step size fits all of
//! them and no dimension is clipped much more than another (Ailon & Chazelle 2009; used for codes by Gao & Long 2024).
//! Where `d` is no power of two, each round transforms the largest power of two at the front and then at the back; the
//! overlap mixes both. The rotation is a function of `d` and the seed alone: only these two are stored.

use kernels::Kernels;

/// Rounds of signs and transforms. One round leaves sparse vectors visibly uneven; a third changes nothing measurable.
const ROUNDS: usize = 2;

/// A seeded rotation of vectors of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotation {
    seed: u64,
    /// 1 or -1 for each of the `width` places of each pass.
    factors: Vec<f32>,
    width: usize,
    dimensions: usize,
}

impl Rotation {
    /// The rotation of vectors of `dimensions` values that belongs to `seed`.
    pub fn new(dimensions: usize, seed: u64) -> Self {
        let width = if dimensions == 0 {
            0
        } else {
            1 << dimensions.ilog2()
        };
        let passes = if width == dimensions {
            ROUNDS
        } else {
            2 * ROUNDS
        };
        let mut random = Random::new(seed);
        let mut factors = Vec::with_capacity(passes * width);
        let mut bits = 0;
        for index in 0..passes * width {
            if index % 64 == 0 {
                bits = random.next();
            }
            factors.push(if bits >> (index % 64) & 1 == 1 {
                1.0
            } else {
                -1.0
            });
        }
        Rotation {
            seed,
            factors,
            width,
            dimensions,
        }
    }

    /// What it was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Rotates in place.
    ///
    /// # Panics
    /// When `values` has another size.
    pub fn apply(&self, values: &mut [f32]) {
        assert_eq!(values.len(), self.dimensions);
        if self.width == 0 {
            return;
        }
        let kernels = Kernels::best();
        for (pass, factors) in self.factors.chunks_exact(self.width).enumerate() {
            let from = if pass % 2 == 0 {
                0
            } else {
                self.dimensions - self.width
            };
            let part = &mut values[from..from + self.width];
            for (value, factor) in part.iter_mut().zip(factors) {
                *value *= factor;
            }
            kernels.hadamard(part);
        }
    }
}

/// A small generator of well-mixed numbers (SplitMix64, Steele et al. 2014): seeds signs and insertion orders.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`; the bias of at most `end / 2^64` does not matter here.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_keep_products_and_spread_single_coordinates() {
        for dimensions in [1, 2, 3, 64, 100, 384, 784, 1000] {
            let rotation = Rotation::new(dimensions, 5);
            let mut a: Vec<f32> = (0..dimensions).map(|i| (i as f32 * 0.7).sin()).collect();
            let mut b = vec![0.0; dimensions];
            b[dimensions / 2] = 1.0;
            let (before, middle) = (
                a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>(),
                a[dimensions / 2],
            );
            assert_eq!(before, middle);
            rotation.apply(&mut a);
            rotation.apply(&mut b);
            let after: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!(
                (before - after).abs() < 1e-4,
                "{dimensions}: {before} {after}"
            );
            let norm: f32 = b.iter().map(|value| value * value).sum();
            assert!((norm - 1.0).abs() < 1e-4);
            if dimensions >= 64 {
                let largest = b.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                assert!(
                    largest < 8.0 / (dimensions as f32).sqrt(),
                    "{dimensions}: {largest}"
                );
            }
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_rotation() {
        let mut values: Vec<f32> = (0..6).map(|i| i as f32).collect();
        Rotation::new(6, 1).apply(&mut values);
        let mut again: Vec<f32> = (0..6).map(|i| i as f32).collect();
        Rotation::new(6, 1).apply(&mut again);
        assert_eq!(values, again);
        Rotation::new(6, 2).apply(&mut again);
        assert_ne!(values, again);
    }
}
