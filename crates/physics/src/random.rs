//! The seeded generator behind every initial value, shuffle and restart.
//!
//! A stored model names its seed, and the seed must keep meaning the same model: the numbers are those of
//! [`platform::random`], which never change.

use platform::random::split_mix;

/// The stream of a model's initial values.
pub const INITIAL_VALUES: u64 = 1;
/// The stream that starts the restarts of a training.
pub const RESTARTS: u64 = 2;
/// The streams of the epochs' shuffles: this number plus the epoch.
pub const SHUFFLES: u64 = 1 << 32;

/// A stream of random numbers; the same seed and stream give the same numbers for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random(platform::random::Random);

impl Random {
    /// The stream number `stream` of `seed`. Streams keep subjects apart: shuffling an epoch must not depend on how many
    /// numbers the initial values took.
    pub fn new(seed: u64, mut stream: u64) -> Self {
        Random(platform::random::Random::new(seed ^ split_mix(&mut stream)))
    }

    /// 64 uniform bits.
    pub fn word(&mut self) -> u64 {
        self.0.bits()
    }

    /// Uniform in `0 <= value < 1`, with 53 bits.
    pub fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// Uniform in `low <= value < high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Standard normal, by Box and Muller (1958). The second value of the pair is dropped, so that the stream's position
    /// after `n` draws is always `2n` words.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Uniform in `0..count` without bias (Lemire, "Fast random integer generation in an interval", 2019).
    ///
    /// # Panics
    /// When `count` is zero.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "an index needs a range");
        let count = count as u64;
        loop {
            let product = u128::from(self.word()) * u128::from(count);
            let low = product as u64;
            if low >= count || low >= count.wrapping_neg() % count {
                return (product >> 64) as usize;
            }
        }
    }

    /// Puts `values` in a random order (Fisher and Yates, from the back).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_seeds_differ_and_repeat() {
        let draw = |seed, stream| Random::new(seed, stream).word();
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let mut random = Random::new(3, 0);
        let values: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03);
    }

    #[test]
    fn a_shuffle_keeps_every_value() {
        let mut values: Vec<usize> = (0..100).collect();
        Random::new(1, 0).shuffle(&mut values);
        assert_ne!(values, (0..100).collect::<Vec<_>>());
        values.sort_unstable();
        assert_eq!(values, (0..100).collect::<Vec<_>>());
    }
}
