//! Rows of single bits: against bits (Hamming distance) and against i8 queries.
//!
//! Bit `i` of a row is bit `i % 64` of word `i / 64`. Bits behind the last dimension are 0 in both operands.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers whose bounds the callers checked"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::dispatch::Kernels;
use crate::rows::{self, RowKernel, row_methods};

/// Bits that differ; AVX-512 counts with byte shuffles.
pub(crate) struct Differing;
/// Bits that differ; AVX-512 counts with VPOPCNTDQ. Used only where `Kernels::counts_bits`.
struct DifferingCounted;
/// Query values whose bit is set.
pub(crate) struct SelectedBits;

fn differing(query: &[u64], row: &[u64]) -> u32 {
    query
        .iter()
        .zip(row)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum()
}

impl RowKernel for Differing {
    type Query = u64;
    type Element = u64;
    type Output = u32;

    fn scalar(query: &[u64], row: &[u64]) -> u32 {
        differing(query, row)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "popcnt")]
    unsafe fn avx2(query: *const u64, row: *const u64, count: usize) -> u32 {
        // SAFETY: both sides have `count` words.
        unsafe {
            (0..count)
                .map(|at| (*query.add(at) ^ *row.add(at)).count_ones())
                .sum()
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn avx512(query: *const u64, row: *const u64, count: usize) -> u32 {
        // SAFETY: loads of 8 words are masked to those before `count`.
        unsafe {
            let nibble = _mm512_set1_epi8(15);
            // Bits set in 0..16, once per 128-bit lane.
            let counts = _mm512_broadcast_i32x4(_mm_setr_epi8(
                0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
            ));
            let mut sum = _mm512_setzero_si512();
            let mut offset = 0;
            while offset < count {
                let mask = lanes_before(count - offset);
                let bits = _mm512_xor_si512(
                    _mm512_maskz_loadu_epi64(mask, query.add(offset).cast()),
                    _mm512_maskz_loadu_epi64(mask, row.add(offset).cast()),
                );
                let low = _mm512_shuffle_epi8(counts, _mm512_and_si512(bits, nibble));
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(bits), nibble);
                let bytes = _mm512_add_epi8(low, _mm512_shuffle_epi8(counts, high));
                sum = _mm512_add_epi64(sum, _mm512_sad_epu8(bytes, _mm512_setzero_si512()));
                offset += 8;
            }
            _mm512_reduce_add_epi64(sum) as u32
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn neon(query: *const u64, row: *const u64, count: usize) -> u32 {
        // SAFETY: both sides have `count` words. The compiler turns the count into `cnt` and `addv`.
        unsafe {
            (0..count)
                .map(|at| (*query.add(at) ^ *row.add(at)).count_ones())
                .sum()
        }
    }
}

impl RowKernel for DifferingCounted {
    type Query = u64;
    type Element = u64;
    type Output = u32;

    fn scalar(query: &[u64], row: &[u64]) -> u32 {
        differing(query, row)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "popcnt")]
    unsafe fn avx2(query: *const u64, row: *const u64, count: usize) -> u32 {
        // SAFETY: the caller's promise is the same.
        unsafe { Differing::avx2(query, row, count) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    unsafe fn avx512(query: *const u64, row: *const u64, count: usize) -> u32 {
        // SAFETY: loads of 8 words are masked to those before `count`.
        unsafe {
            let mut sum = _mm512_setzero_si512();
            let mut offset = 0;
            while offset < count {
                let mask = lanes_before(count - offset);
                let bits = _mm512_xor_si512(
                    _mm512_maskz_loadu_epi64(mask, query.add(offset).cast()),
                    _mm512_maskz_loadu_epi64(mask, row.add(offset).cast()),
                );
                sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(bits));
                offset += 8;
            }
            _mm512_reduce_add_epi64(sum) as u32
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn neon(query: *const u64, row: *const u64, count: usize) -> u32 {
        // SAFETY: the caller's promise is the same.
        unsafe { Differing::neon(query, row, count) }
    }
}

/// A mask of the first `left` of eight lanes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn lanes_before(left: usize) -> __mmask8 {
    if left >= 8 { u8::MAX } else { (1 << left) - 1 }
}

impl Kernels {
    /// Number of bits in which two rows of bits differ. Panics if the lengths do not match.
    #[inline]
    pub fn xor_popcount(&self, query: &[u64], row: &[u64]) -> u32 {
        if self.counts_bits() {
            rows::one::<DifferingCounted>(self, query, row)
        } else {
            rows::one::<Differing>(self, query, row)
        }
    }

    /// Number of bits in which the query and each of `rows` differ, fetched ahead: row `r` starts at `base[r * stride]`.
    /// Panics if `out` and `rows` differ in length or a row is outside of `base`.
    #[inline]
    pub fn xor_popcount_many(
        &self,
        query: &[u64],
        base: &[u64],
        stride: usize,
        rows: &[u32],
        out: &mut [u32],
    ) {
        if self.counts_bits() {
            rows::many::<DifferingCounted>(self, query, base, stride, rows, out);
        } else {
            rows::many::<Differing>(self, query, base, stride, rows, out);
        }
    }
}

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
