//! The "lift": a text becomes a standardised vector of its characters.
//!
//! The full vector has one entry per character: `(code - mean) / (deviation + 1e-5)`, where `code` is the Unicode scalar
//! value and `deviation` the unbiased (n - 1) standard deviation. Its length is the text's, so it cannot be stored in a
//! collection; [`folded`] makes a vector of a chosen length from it.

use crate::error::{PhysicsError, check_count};

/// Added to the deviation, so that a text of one repeated character divides by something.
pub const EPSILON: f64 = 1e-5;
/// The longest text that is lifted, in characters: a vector of 8 MB.
pub const CHARACTERS_MAX: usize = 1 << 20;
/// The longest folded vector, the bound of a collection's dimensions.
pub const DIMENSIONS_MAX: usize = 65_536;

/// The standardised character codes of `text`, one per character. A single character has no unbiased deviation; it
/// counts as 0, which makes its vector `[0.0]`.
///
/// # Errors
/// An empty text, or one of more than [`CHARACTERS_MAX`] characters.
pub fn lift(text: &str) -> Result<Vec<f64>, PhysicsError> {
    if text.is_empty() {
        return Err(PhysicsError::Empty {
            field: "insight_text",
        });
    }
    let count = text.chars().count();
    check_count("insight_text", count, 1, CHARACTERS_MAX)?;
    let codes: Vec<f64> = text.chars().map(|one| f64::from(u32::from(one))).collect();
    let mean = codes.iter().sum::<f64>() / count as f64;
    let squares: f64 = codes.iter().map(|code| (code - mean).powi(2)).sum();
    let deviation = if count > 1 {
        (squares / (count - 1) as f64).sqrt()
    } else {
        0.0
    };
    Ok(codes
        .iter()
        .map(|code| (code - mean) / (deviation + EPSILON))
        .collect())
}

/// The lifted text as a unit vector of `dimensions` entries, for a collection compared by cosine.
///
/// Every window of three neighbouring characters (with the text's ends marked) is hashed to an entry and a sign (feature
/// hashing: Weinberger et al., ICML 2009) and adds the mean of its three standardised values plus 3, so that windows of
/// frequent and of rare characters weigh alike and none cancels itself. Texts that share words share windows, wherever in
/// the text they stand; the plain vector would compare only characters at equal positions.
///
/// # Errors
/// As [`lift`]; `dimensions` outside 1 to [`DIMENSIONS_MAX`].
pub fn folded(text: &str, dimensions: usize) -> Result<Vec<f32>, PhysicsError> {
    check_count("dimensions", dimensions, 1, DIMENSIONS_MAX)?;
    let values = lift(text)?;
    let end = char::from(0);
    let mut window = [end, end];
    let mut weights = [0.0, 0.0];
    let mut sums = vec![0.0f64; dimensions];
    let marked = text.chars().zip(values).chain([(end, 0.0)]);
    for (character, value) in marked {
        let hash = hash(&[window[0], window[1], character]);
        let weight = 3.0 + (weights[0] + weights[1] + value) / 3.0;
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        sums[(hash % dimensions as u64) as usize] += sign * weight;
        window = [window[1], character];
        weights = [weights[1], value];
    }
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
    // Signs may cancel everything in very few dimensions; then the text's vector is the first axis, not a division by 0.
    if length == 0.0 {
        sums[0] = 1.0;
        return Ok(sums.iter().map(|sum| *sum as f32).collect());
    }
    Ok(sums.iter().map(|sum| (sum / length) as f32).collect())
}

/// FNV-1a over the characters' codes (Fowler, Noll, Vo), finished by an avalanche step, since the folding uses the highest
/// and the lowest bits.
fn hash(window: &[char]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    for byte in window.iter().flat_map(|one| u32::from(*one).to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abc_is_minus_one_zero_one() {
        // Codes 97, 98, 99: mean 98, unbiased deviation exactly 1.
        let expected = 1.0 / (1.0 + EPSILON);
        assert_eq!(lift("abc").expect("lifted"), [-expected, 0.0, expected]);
        assert_eq!(lift("a").expect("lifted"), [0.0]);
        assert_eq!(lift("zz").expect("lifted"), [0.0, 0.0]);
        assert!(matches!(lift(""), Err(PhysicsError::Empty { .. })));
    }

    #[test]
    fn folded_vectors_are_unit_and_compare_by_shared_words() {
        let vector = |text| folded(text, 256).expect("folded");
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let base = vector("Digital memory must be human-reachable.");
        assert!((cosine(&base, &base) - 1.0).abs() < 1e-6);
        let near = cosine(
            &base,
            &vector("Memory, digital, must be reachable by humans."),
        );
        let far = cosine(&base, &vector("Strings vibrate in ten dimensions"));
        assert!(near > far + 0.2, "{near} against {far}");
        assert!(folded("x", 0).is_err());
    }
}
