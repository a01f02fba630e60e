//! Rows of single bits against i8 queries.
//!
//! Bit `i` of a row is bit `i % 64` of word `i / 64`. Bits behind the last dimension are 0 in both operands.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers whose bounds the callers checked"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::rows::{RowKernel, row_methods};

/// Query values whose bit is set.
pub(crate) struct SelectedBits;

impl RowKernel for SelectedBits {
    type Query = i8;
    type Element = u64;
    type Output = i32;
    const QUERY_PER_ELEMENT: usize = 64;

    fn scalar(query: &[i8], row: &[u64]) -> i32 {
        let (queries, _) = query.as_chunks::<64>();
        let word_sum = |(query, word): (&[i8; 64], &u64)| -> i32 {
            let values = query.iter().enumerate();
            values
                .map(|(bit, &value)| i32::from(value) * (word >> bit & 1) as i32)
                .sum()
        };
        queries.iter().zip(row).map(word_sum).sum()
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn avx2(query: *const i8, row: *const u64, count: usize) -> i32 {
        // SAFETY: `row` has `count` words, `query` 64 bytes for each; each load is 32 bytes at half a word.
        unsafe {
            let bit_of_byte = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            // Byte `b` of the four bytes at hand goes to eight lanes each.
            let spread = _mm256_setr_epi64x(
                0,
                0x0101_0101_0101_0101,
                0x0202_0202_0202_0202,
                0x0303_0303_0303_0303,
            );
            let ones = _mm256_set1_epi8(1);
            let mut sum = _mm256_setzero_si256();
            for half in 0..2 * count {
                let bits = (*row.add(half / 2) >> (half % 2 * 32)) as i32;
                let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), spread);
                let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of_byte), bit_of_byte);
                let selected =
                    _mm256_and_si256(_mm256_loadu_si256(query.add(half * 32).cast()), set);
                // Two bytes fit 16 bits easily.
                let pairs = _mm256_maddubs_epi16(ones, selected);
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
            crate::int8::sum_lanes_avx2(sum)
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn avx512(query: *const i8, row: *const u64, count: usize) -> i32 {
        // SAFETY: `row` has `count` words, `query` 64 bytes for each.
        unsafe {
            let ones = _mm512_set1_epi8(1);
            let mut sums = [_mm512_setzero_si512(); 2];
            for word in 0..count {
                let selected = _mm512_maskz_loadu_epi8(*row.add(word), query.add(word * 64));
                sums[word % 2] = _mm512_dpbusd_epi32(sums[word % 2], ones, selected);
            }
            _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn neon(query: *const i8, row: *const u64, count: usize) -> i32 {
        use std::arch::aarch64::*;
        // SAFETY: `row` has `count` words, `query` 64 bytes for each; each load is 8 bytes at a byte of a word.
        unsafe {
            let bit_of_lane = vcreate_u8(0x8040_2010_0804_0201);
            let mut sum = vdupq_n_s32(0);
            for byte in 0..8 * count {
                let bits = (*row.add(byte / 8) >> (byte % 8 * 8)) as u8;
                let set = vreinterpret_s8_u8(vtst_u8(vdup_n_u8(bits), bit_of_lane));
                let selected = vand_s8(vld1_s8(query.add(byte * 8)), set);
                sum = vpadalq_s16(sum, vmovl_s8(selected));
            }
            vaddvq_s32(sum)
        }
    }
}

row_methods!(
    SelectedBits,
    i8, u64 => i32,
    "Exact sum of those values of an i8 query whose bit is set in a row of bits, 64 query values for each word.",
    dot_bits_i8,
    dot_many_bits_i8,
    scan_dot_bits_i8
);
