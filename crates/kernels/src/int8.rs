//! Products of bytes, summed exactly in 32 bits.
//!
//! VNNI multiplies unsigned by signed bytes (`vpdpbusd`: four products added to each 32-bit lane, without saturation), so
//! rows are brought to that form by adding 128, and `128 * sum of the query` is taken off again. A product is at most
//! 255 * 128 in size, so that rows up to 65,535 dimensions (the bound of the engine) cannot overflow the sum. Rows of u8 are
//! in `graph`.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers whose bounds the callers checked"
)]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::rows::{RowKernel, row_methods};

/// Rows of i8 against queries of i8.
pub(crate) struct SignedRow;

impl RowKernel for SignedRow {
    type Query = i8;
    type Element = i8;
    type Output = i32;

    fn scalar(query: &[i8], row: &[i8]) -> i32 {
        query
            .iter()
            .zip(row)
            .map(|(&query, &value)| i32::from(query) * i32::from(value))
            .sum()
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn avx2(query: *const i8, row: *const i8, count: usize) -> i32 {
        // SAFETY: every load of 16 bytes starts at an offset of at most `count - 16`; both sides have `count` bytes.
        unsafe {
            let mut sum = _mm256_setzero_si256();
            let mut offset = 0;
            while offset + 16 <= count {
                let values = _mm256_cvtepi8_epi16(_mm_loadu_si128(row.add(offset).cast()));
                let queries = _mm256_cvtepi8_epi16(_mm_loadu_si128(query.add(offset).cast()));
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(values, queries));
                offset += 16;
            }
            let mut total = sum_lanes_avx2(sum);
            while offset < count {
                total += i32::from(*query.add(offset)) * i32::from(*row.add(offset));
                offset += 1;
            }
            total
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn avx512(query: *const i8, row: *const i8, count: usize) -> i32 {
        // SAFETY: every full load starts at an offset of at most `count - 64`; the last one is masked to what is left.
        unsafe {
            let flip = _mm512_set1_epi8(-128);
            let mut shifted = _mm512_setzero_si512();
            let mut excess = _mm512_setzero_si512();
            let mut offset = 0;
            while offset < count {
                let mask = match count - offset {
                    left @ ..64 => u64::MAX >> (64 - left),
                    _ => u64::MAX,
                };
                let values = _mm512_maskz_loadu_epi8(mask, row.add(offset));
                let queries = _mm512_maskz_loadu_epi8(mask, query.add(offset));
                // As unsigned bytes `flip` is 128 in each lane, and flipping the top bit adds 128. Lanes behind the
                // end have a query of 0 and add nothing to either sum.
                shifted = _mm512_dpbusd_epi32(shifted, _mm512_xor_si512(values, flip), queries);
                excess = _mm512_dpbusd_epi32(excess, flip, queries);
                offset += 64;
            }
            _mm512_reduce_add_epi32(_mm512_sub_epi32(shifted, excess))
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn neon(query: *const i8, row: *const i8, count: usize) -> i32 {
        // SAFETY: every load of 16 bytes starts at an offset of at most `count - 16`; both sides have `count` bytes.
        unsafe {
            let mut sum = vdupq_n_s32(0);
            let mut offset = 0;
            while offset + 16 <= count {
                let values = vld1q_s8(row.add(offset));
                let queries = vld1q_s8(query.add(offset));
                sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(values), vget_low_s8(queries)));
                sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(values), vget_high_s8(queries)));
                offset += 16;
            }
            let mut total = vaddvq_s32(sum);
            while offset < count {
                total += i32::from(*query.add(offset)) * i32::from(*row.add(offset));
                offset += 1;
            }
            total
        }
    }
}

/// Sum of the eight 32-bit lanes.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn sum_lanes_avx2(lanes: __m256i) -> i32 {
    let half = _mm_add_epi32(
        _mm256_castsi256_si128(lanes),
        _mm256_extracti128_si256::<1>(lanes),
    );
    let pair = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(
        pair,
        _mm_shuffle_epi32::<0b00_00_00_01>(pair),
    ))
}

row_methods!(
    SignedRow,
    i8, i8 => i32,
    "Exact sum of the products of an i8 query and an i8 row of at most 65,535 values.",
    dot_i8,
    dot_many_i8,
    scan_dot_i8
);
