//! Random numbers of one stream.
//!
//! The generator is xoshiro256++ 1.0 by David Blackman and Sebastiano Vigna (2019), its state filled from the
//! seed by their SplitMix64, as they recommend. It is small, fast, and the same on every machine, so that one
//! seed means one text. It is no source of secrets.

/// A xoshiro256++ generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator for a seed. Every seed is good, 0 too.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut counter = seed;
        let state = std::array::from_fn(|_| {
            counter = counter.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = counter;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// The next 64 random bits.
    pub fn next_bits(&mut self) -> u64 {
        let state = &mut self.state;
        let result = state[0]
            .wrapping_add(state[3])
            .rotate_left(23)
            .wrapping_add(state[0]);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub fn next_unit(&mut self) -> f64 {
        (self.next_bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs published with the reference implementation: SplitMix64 of seed 1234567, and xoshiro256++
    /// from the state 1, 2, 3, 4.
    #[test]
    fn the_reference_vectors_come_out() {
        let seeded = Random::new(1_234_567);
        assert_eq!(
            seeded.state,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
            ]
        );
        let mut random = Random {
            state: [1, 2, 3, 4],
        };
        let outputs: Vec<u64> = (0..5).map(|_| random.next_bits()).collect();
        assert_eq!(
            outputs,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386,
                9_228_616_714_210_784_205,
            ]
        );
    }

    #[test]
    fn units_are_below_one_and_even() {
        let mut random = Random::new(0);
        let mean = (0..10_000)
            .map(|_| {
                let unit = random.next_unit();
                assert!((0.0..1.0).contains(&unit));
                unit
            })
            .sum::<f64>()
            / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
