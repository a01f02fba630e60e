//! Repeatable random numbers from a seed: the same seed gives the same numbers on every machine and for ever, so that a seed
//! may stand for a text or a model. Written here so that no dependency can change what a stored seed means. It is no source of
//! secrets; that is [`crate::entropy`].
//!
//! The generator is xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021), its
//! state filled by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) as its authors advise.

/// A xoshiro256++ generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

/// One step of SplitMix64: moves `state` on and returns a mixed word.
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

impl Random {
    /// The generator for a seed. Every seed is good, 0 too.
    #[must_use]
    pub fn new(mut seed: u64) -> Self {
        Random {
            state: std::array::from_fn(|_| split_mix(&mut seed)),
        }
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
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

    /// Uniform in `0 <= value < 1`, with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
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
        let outputs: Vec<u64> = (0..5).map(|_| random.bits()).collect();
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
                let unit = random.unit();
                assert!((0.0..1.0).contains(&unit));
                unit
            })
            .sum::<f64>()
            / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
