//! Products of 4-bit rows and i8 queries, summed exactly in 32 bits.
//!
//! A row packs two values (each 0 to 15) into a byte. So that one load of the packed row meets two loads of the query in
//! its natural order, the halves of a *block* share bytes:
//!
//! ```text
//! block of 128 values = 64 bytes:   byte j = value[j] | value[j + 64] << 4       j = 0..64
//! last block of 2 r values = r < 64 bytes:  byte j = value[j] | value[j + r] << 4   j = 0..r
//! ```
//!
//! The query has two elements for each byte of the row. [`pack_int4`] writes this order, [`unpack_int4`] reads it back.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers whose bounds the callers checked"
)]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::rows::{RowKernel, row_methods};

/// Bytes of a full block.
const BLOCK: usize = 64;

/// Packs `values` (each at most 15; higher bits are cut) into `row`, half as many bytes.
///
/// Panics unless `values.len() == 2 * row.len()`.
pub fn pack_int4(values: &[u8], row: &mut [u8]) {
    assert_eq!(values.len(), 2 * row.len(), "two values for each byte");
    for (values, row) in values.chunks(2 * BLOCK).zip(row.chunks_mut(BLOCK)) {
        let (low, high) = values.split_at(row.len());
        for ((byte, &low), &high) in row.iter_mut().zip(low).zip(high) {
            *byte = (low & 15) | (high << 4);
        }
    }
}

/// The inverse of [`pack_int4`]. Panics unless `values.len() == 2 * row.len()`.
pub fn unpack_int4(row: &[u8], values: &mut [u8]) {
    assert_eq!(values.len(), 2 * row.len(), "two values for each byte");
    for (values, row) in values.chunks_mut(2 * BLOCK).zip(row.chunks(BLOCK)) {
        let (low, high) = values.split_at_mut(row.len());
        for ((&byte, low), high) in row.iter().zip(low).zip(high) {
            *low = byte & 15;
            *high = byte >> 4;
        }
    }
}

/// Packed rows of 4-bit values against queries of i8.
pub(crate) struct PackedRow;

impl RowKernel for PackedRow {
    type Query = i8;
    type Element = u8;
    type Output = i32;
    const QUERY_PER_ELEMENT: usize = 2;

    fn scalar(query: &[i8], row: &[u8]) -> i32 {
        let mut sum = 0;
        for (query, row) in query.chunks(2 * BLOCK).zip(row.chunks(BLOCK)) {
            let (low, high) = query.split_at(row.len());
            for ((&byte, &low), &high) in row.iter().zip(low).zip(high) {
                sum += i32::from(byte & 15) * i32::from(low);
                sum += i32::from(byte >> 4) * i32::from(high);
            }
        }
        sum
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn avx2(query: *const i8, row: *const u8, count: usize) -> i32 {
        // SAFETY: `row` has `count` bytes and `query` twice as many. Within the block at byte `start` of `bytes` bytes a
        // load of 32 at `offset <= bytes - 32` reads row bytes below `start + bytes`, and query elements below
        // `2 * start + bytes` (low halves) and `2 * start + 2 * bytes` (high halves).
        unsafe {
            let nibble = _mm256_set1_epi8(15);
            let ones = _mm256_set1_epi16(1);
            let mut sum = _mm256_setzero_si256();
            let mut total = 0;
            let mut start = 0;
            while start < count {
                let bytes = (count - start).min(BLOCK);
                let (row, low) = (row.add(start), query.add(2 * start));
                let high = low.add(bytes);
                let mut offset = 0;
                while offset + 32 <= bytes {
                    let packed = _mm256_loadu_si256(row.add(offset).cast());
                    let lows = _mm256_and_si256(packed, nibble);
                    let highs = _mm256_and_si256(_mm256_srli_epi16::<4>(packed), nibble);
                    // 15 * 128 * 2 fits 16 bits four times over: no saturation here, nor in the sum of both.
                    let products = _mm256_add_epi16(
                        _mm256_maddubs_epi16(lows, _mm256_loadu_si256(low.add(offset).cast())),
                        _mm256_maddubs_epi16(highs, _mm256_loadu_si256(high.add(offset).cast())),
                    );
                    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(products, ones));
                    offset += 32;
                }
                while offset < bytes {
                    let byte = *row.add(offset);
                    total += i32::from(byte & 15) * i32::from(*low.add(offset));
                    total += i32::from(byte >> 4) * i32::from(*high.add(offset));
                    offset += 1;
                }
                start += bytes;
            }
            total + crate::int8::sum_lanes_avx2(sum)
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn avx512(query: *const i8, row: *const u8, count: usize) -> i32 {
        // SAFETY: `row` has `count` bytes and `query` twice as many; full blocks read 64 and 2 * 64 of them, the last
        // block's loads are masked to the `count - offset` that are left on each side.
        unsafe {
            let nibble = _mm512_set1_epi8(15);
            let mut lows = _mm512_setzero_si512();
            let mut highs = _mm512_setzero_si512();
            let mut offset = 0;
            while offset + BLOCK <= count {
                let packed = _mm512_loadu_si512(row.add(offset).cast());
                let low = _mm512_and_si512(packed, nibble);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(packed), nibble);
                let query = query.add(2 * offset);
                lows = _mm512_dpbusd_epi32(lows, low, _mm512_loadu_si512(query.cast()));
                highs =
                    _mm512_dpbusd_epi32(highs, high, _mm512_loadu_si512(query.add(BLOCK).cast()));
                offset += BLOCK;
            }
            if offset < count {
                let left = count - offset;
                let mask = u64::MAX >> (64 - left);
                let packed = _mm512_maskz_loadu_epi8(mask, row.add(offset).cast());
                let low = _mm512_and_si512(packed, nibble);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(packed), nibble);
                let query = query.add(2 * offset);
                lows = _mm512_dpbusd_epi32(lows, low, _mm512_maskz_loadu_epi8(mask, query));
                let query = query.add(left);
                highs = _mm512_dpbusd_epi32(highs, high, _mm512_maskz_loadu_epi8(mask, query));
            }
            _mm512_reduce_add_epi32(_mm512_add_epi32(lows, highs))
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn neon(query: *const i8, row: *const u8, count: usize) -> i32 {
        // SAFETY: as for AVX2, with loads of 16.
        unsafe {
            let nibble = vdupq_n_u8(15);
            let mut sum = vdupq_n_s32(0);
            let mut total = 0;
            let mut start = 0;
            while start < count {
                let bytes = (count - start).min(BLOCK);
                let (row, low) = (row.add(start), query.add(2 * start));
                let high = low.add(bytes);
                let mut offset = 0;
                while offset + 16 <= bytes {
                    let packed = vld1q_u8(row.add(offset));
                    let lows = vreinterpretq_s8_u8(vandq_u8(packed, nibble));
                    let highs = vreinterpretq_s8_u8(vshrq_n_u8::<4>(packed));
                    for (values, query) in [(lows, low), (highs, high)] {
                        let query = vld1q_s8(query.add(offset));
                        sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(values), vget_low_s8(query)));
                        sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(values), vget_high_s8(query)));
                    }
                    offset += 16;
                }
                while offset < bytes {
                    let byte = *row.add(offset);
                    total += i32::from(byte & 15) * i32::from(*low.add(offset));
                    total += i32::from(byte >> 4) * i32::from(*high.add(offset));
                    offset += 1;
                }
                start += bytes;
            }
            total + vaddvq_s32(sum)
        }
    }
}

row_methods!(
    PackedRow,
    i8, u8 => i32,
    "Exact sum of the products of an i8 query and a row of packed 4-bit values (see [`crate::pack_int4`]), two query \
     elements for each byte of the row.",
    dot_i4,
    dot_many_i4,
    scan_dot_i4
);
