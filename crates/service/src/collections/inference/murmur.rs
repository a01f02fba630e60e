//! MurmurHash3 for 32 bits (Austin Appleby, public domain): the number of a term in sparse vectors of words.
//!
//! A term's dimension is the absolute value of its hash with seed 0 read as a signed number. Common clients number terms
//! in the same way, so that vectors they made themselves and vectors made here can be in one collection. Two of 100,000
//! terms share a number with some 2 of them in total (100,000² / 2 / 2³¹ ≈ 2.3 pairs); their weights are added.

/// The dimension of a term.
pub fn dimension_of(term: &str) -> u32 {
    (hash(term.as_bytes(), 0) as i32).unsigned_abs()
}

fn hash(bytes: &[u8], seed: u32) -> u32 {
    let mixed = |word: u32| {
        word.wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let (words, rest) = bytes.as_chunks::<4>();
    let mut state = seed;
    for word in words {
        state = (state ^ mixed(u32::from_le_bytes(*word)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        state ^= mixed(u32::from_le_bytes(word));
    }
    // The reference mixes in the length modulo 2^32.
    state ^= bytes.len() as u32;
    state = (state ^ (state >> 16)).wrapping_mul(0x85eb_ca6b);
    state = (state ^ (state >> 13)).wrapping_mul(0xc2b2_ae35);
    state ^ (state >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        for (text, seed, expected) in [
            ("", 0, 0),
            ("", 1, 0x514e_28b7),
            ("", 0xffff_ffff, 0x81f1_6f39),
            ("test", 0, 0xba6b_d213),
            ("test", 0x9747_b28c, 0x704b_81dc),
            ("Hello, world!", 0, 0xc036_3e43),
            (
                "The quick brown fox jumps over the lazy dog",
                0,
                0x2e4f_f723,
            ),
        ] {
            assert_eq!(hash(text.as_bytes(), seed), expected, "{text}");
        }
    }

    #[test]
    fn dimensions_are_absolute_values_of_signed_hashes() {
        // 0xba6bd213 is −1,167,338,989 as a signed number.
        assert_eq!(dimension_of("test"), 1_167_338_989);
    }
}
