//! Numbers of a fixed count of bits, one after another, low bits first.

/// Bytes behind packed numbers that a reader may touch.
pub(super) const PADDING_BYTES: usize = 8;

/// Bits that the largest of `values` needs, 0 to 32.
pub(super) fn bits_needed(values: impl Iterator<Item = u32>) -> u8 {
    let all = values.fold(0, |all, value| all | value);
    (u32::BITS - all.leading_zeros()) as u8
}

/// Bytes that `count` numbers of `bits` take.
pub(super) fn packed_bytes(count: usize, bits: u8) -> usize {
    (count * usize::from(bits)).div_ceil(8)
}

/// Appends `values`, each below 2^`bits`.
pub(super) fn pack(values: impl Iterator<Item = u32>, bits: u8, packed: &mut Vec<u8>) {
    let mut pending = 0u64;
    let mut pending_bits = 0;
    for value in values {
        pending |= u64::from(value) << pending_bits;
        pending_bits += u32::from(bits);
        while pending_bits >= 8 {
            packed.push(pending as u8);
            pending >>= 8;
            pending_bits -= 8;
        }
    }
    if pending_bits > 0 {
        packed.push(pending as u8);
    }
}

/// Reads as many numbers as `values` has room for. False, and nothing read, when `bits` is above 32 or `packed` is
/// shorter than the numbers and [`PADDING_BYTES`].
#[must_use]
pub(super) fn unpack(packed: &[u8], bits: u8, values: &mut [u32]) -> bool {
    if bits > 32 || packed.len() < packed_bytes(values.len(), bits) + PADDING_BYTES {
        return false;
    }
    let bits = usize::from(bits);
    let mask = (1u64 << bits) - 1;
    for (index, value) in values.iter_mut().enumerate() {
        let bit = index * bits;
        let byte = bit / 8;
        // 32 bits that begin within a byte end within 8 bytes. In bounds as checked above.
        let Some(word) = packed[byte..].first_chunk::<8>() else {
            return false;
        };
        *value = (u64::from_le_bytes(*word) >> (bit % 8) & mask) as u32;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_comes_back(
            values in proptest::collection::vec(any::<u32>(), 0..200), shift in 0u32..32, extra in 0u8..3,
        ) {
            let values: Vec<u32> = values.into_iter().map(|value| value >> shift).collect();
            let bits = (bits_needed(values.iter().copied()) + extra).min(32);
            let mut packed = Vec::new();
            pack(values.iter().copied(), bits, &mut packed);
            prop_assert_eq!(packed.len(), packed_bytes(values.len(), bits));
            let mut read = vec![0; values.len()];
            prop_assert!(!unpack(&packed, bits, &mut read));
            packed.extend([0xff; PADDING_BYTES]);
            prop_assert!(unpack(&packed, bits, &mut read));
            prop_assert_eq!(read, values);
        }
    }

    #[test]
    fn widths_beyond_a_word_are_refused() {
        assert!(!unpack(&[0; 100], 33, &mut [0; 1]));
        assert!(unpack(&[0; 8], 0, &mut [7; 5]));
    }
}
