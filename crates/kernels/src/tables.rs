//! Sums of table entries chosen by 4-bit codes, 32 rows at a time (André, Kermarrec & Le Scouarnec 2017, "fast scan").
//!
//! A query has `tables` tables of 16 bytes; a row has one 4-bit code for each. 32 rows form a block, so that a table is
//! one byte shuffle that answers 16 rows at once:
//!
//! ```text
//! block = tables * 16 bytes;   byte t * 16 + j = code t of row j | code t of row j + 16 << 4      j = 0..16
//! ```
//!
//! The number of tables is a multiple of four, a 64-byte line; rows and tables that pad have zeros.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers within asserted bounds"
)]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::dispatch::{Kernels, Level, compiled_for_levels};

/// Rows in a block.
pub const BLOCK_ROWS: usize = 32;
/// Entries of a table, which are bytes.
const ENTRIES: usize = 16;
/// Tables summed in 16 bits before they are widened: 256 * 255 still fits.
const TABLES_PER_FLUSH: usize = 256;

/// Writes one block. `codes` has up to 32 rows of `tables` codes (each at most 15), row after row.
///
/// Panics unless `block` has `tables * 16` bytes and `codes` whole rows, at most 32.
pub fn pack_table_codes(codes: &[u8], tables: usize, block: &mut [u8]) {
    assert!(
        tables > 0 && block.len() == tables * ENTRIES,
        "a block has 16 bytes for each table"
    );
    assert!(
        codes.len().is_multiple_of(tables) && codes.len() <= tables * BLOCK_ROWS,
        "whole rows, at most 32"
    );
    block.fill(0);
    for (row, codes) in codes.chunks_exact(tables).enumerate() {
        let (column, shift) = (row % 16, row / 16 * 4);
        for (bytes, &code) in block.chunks_exact_mut(ENTRIES).zip(codes) {
            bytes[column] |= (code & 15) << shift;
        }
    }
}

/// What a sum of table bytes stands for: `scale * sum + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TableScale {
    /// Of one unit of a table byte.
    pub scale: f32,
    /// Of a row whose bytes are all 0.
    pub offset: f32,
}

impl Kernels {
    /// Quantises tables of f32 (16 entries each) to bytes with one scale for all and one least entry for each.
    /// An entry is off by at most half of the scale. Every level gives the same bits.
    ///
    /// Panics if the lengths differ.
    pub fn quantize_tables(&self, entries: &[f32], tables: &mut [u8]) -> TableScale {
        assert_eq!(entries.len(), tables.len(), "one byte for each entry");
        compiled_for_levels!(self, quantize(entries: &[f32], tables: &mut [u8]) -> TableScale)
    }

    /// Tables whose entry `e` is the sum of those of four values whose bit is set in `e`: with a row's bits as codes,
    /// four to a table, the sum over the tables is the sum of the selected values. `entries` is working space.
    ///
    /// Panics unless there are four entries for each value and as many bytes, and whole groups of four values.
    pub fn subset_sum_tables(
        &self,
        values: &[f32],
        entries: &mut [f32],
        tables: &mut [u8],
    ) -> TableScale {
        assert!(
            values.len().is_multiple_of(4) && entries.len() == values.len() * 4,
            "16 entries for 4 values"
        );
        compiled_for_levels!(self, subset_sums(values: &[f32], entries: &mut [f32]));
        self.quantize_tables(entries, tables)
    }

    /// Sums over the tables for `sums.len()` rows, in blocks of 32. Exact.
    ///
    /// Panics unless `tables` is a multiple of 64 bytes, `sums` of 32, and `codes` has a block of `tables.len()` bytes for
    /// each 32 sums.
    pub fn sum_tables(&self, tables: &[u8], codes: &[u8], sums: &mut [u32]) {
        assert!(
            !tables.is_empty() && tables.len().is_multiple_of(64),
            "tables come by fours"
        );
        let (blocks, rest) = sums.as_chunks_mut::<BLOCK_ROWS>();
        assert!(rest.is_empty(), "rows come by 32");
        assert_eq!(
            codes.len(),
            blocks.len() * tables.len(),
            "one block of codes for each 32 rows"
        );
        for (sums, codes) in blocks.iter_mut().zip(codes.chunks_exact(tables.len())) {
            sums.fill(0);
            let flush = TABLES_PER_FLUSH * ENTRIES;
            for (tables, codes) in tables.chunks(flush).zip(codes.chunks(flush)) {
                match self.level() {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: both have the same length, a multiple of 64 and at most 256 tables; the instructions exist.
                    Level::Avx512 => unsafe { sum_avx512(tables, codes, sums) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx2 => unsafe { sum_avx2(tables, codes, sums) },
                    #[cfg(target_arch = "aarch64")]
                    // SAFETY: as above.
                    Level::Neon => unsafe { sum_neon(tables, codes, sums) },
                    _ => sum_scalar(tables, codes, sums),
                }
            }
        }
    }
}

#[inline(always)]
fn quantize(entries: &[f32], tables: &mut [u8]) -> TableScale {
    let (groups, _) = entries.as_chunks::<ENTRIES>();
    let bounds = |group: &[f32; ENTRIES]| {
        let mut low = group[0];
        let mut high = group[0];
        for &entry in group {
            low = if entry < low { entry } else { low };
            high = if entry > high { entry } else { high };
        }
        (low, high)
    };
    let mut widest = 0f32;
    for group in groups {
        let (low, high) = bounds(group);
        widest = widest.max(high - low);
    }
    // Tables of equal entries: any scale does.
    let scale = if widest > 0.0 && widest.is_finite() {
        widest / 255.0
    } else {
        1.0
    };
    let inverse = 1.0 / scale;
    let mut offset = 0f64;
    let (bytes, _) = tables.as_chunks_mut::<ENTRIES>();
    for (group, bytes) in groups.iter().zip(bytes) {
        let (low, _) = bounds(group);
        offset += f64::from(low);
        for (byte, &entry) in bytes.iter_mut().zip(group) {
            // At most 255 and never negative but for rounding, which the cast cuts.
            *byte = ((entry - low) * inverse + 0.5) as u8;
        }
    }
    TableScale {
        scale,
        offset: offset as f32,
    }
}

#[inline(always)]
fn subset_sums(values: &[f32], entries: &mut [f32]) {
    let (groups, _) = values.as_chunks::<4>();
    let (tables, _) = entries.as_chunks_mut::<ENTRIES>();
    for (&[a, b, c, d], table) in groups.iter().zip(tables) {
        let low = [0.0, a, b, a + b];
        let high = [0.0, c, d, c + d];
        for (entry, sum) in table.iter_mut().enumerate() {
            *sum = low[entry % 4] + high[entry / 4];
        }
    }
}

fn sum_scalar(tables: &[u8], codes: &[u8], sums: &mut [u32; BLOCK_ROWS]) {
    for (table, codes) in tables
        .chunks_exact(ENTRIES)
        .zip(codes.chunks_exact(ENTRIES))
    {
        for (column, &byte) in codes.iter().enumerate() {
            sums[column] += u32::from(table[usize::from(byte & 15)]);
            sums[column + 16] += u32::from(table[usize::from(byte >> 4)]);
        }
    }
}

/// Adds 16-bit sums of the rows with even and odd numbers among 16 to `sums`, in order.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn add_interleaved(even: __m128i, odd: __m128i, sums: &mut [u32]) {
    let parts = [_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd)];
    for (part, sums) in parts.into_iter().zip(sums.as_chunks_mut::<8>().0) {
        // SAFETY: eight sums of 4 bytes are 32 bytes.
        unsafe {
            let before = _mm256_loadu_si256(sums.as_ptr().cast());
            let after = _mm256_add_epi32(before, _mm256_cvtepu16_epi32(part));
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), after);
        }
    }
}

/// # Safety
/// `codes` is as long as `tables`, a multiple of 64 and at most 256 tables; AVX-512 F and BW exist.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
unsafe fn sum_avx512(tables: &[u8], codes: &[u8], sums: &mut [u32; BLOCK_ROWS]) {
    let nibble = _mm512_set1_epi8(15);
    let mut both = [_mm512_setzero_si512(); 2];
    let mut odd = [_mm512_setzero_si512(); 2];
    let mut offset = 0;
    while offset < tables.len() {
        // SAFETY: the lengths are equal and multiples of 64.
        let (table, code) = unsafe {
            (
                _mm512_loadu_si512(tables.as_ptr().add(offset).cast()),
                _mm512_loadu_si512(codes.as_ptr().add(offset).cast()),
            )
        };
        let low = _mm512_shuffle_epi8(table, _mm512_and_si512(code, nibble));
        let high = _mm512_and_si512(_mm512_srli_epi16::<4>(code), nibble);
        let high = _mm512_shuffle_epi8(table, high);
        // Pairs of bytes are added as one 16-bit number, and the odd bytes alone; the even ones are the difference.
        for (half, entries) in [low, high].into_iter().enumerate() {
            both[half] = _mm512_add_epi16(both[half], entries);
            odd[half] = _mm512_add_epi16(odd[half], _mm512_srli_epi16::<8>(entries));
        }
        offset += 64;
    }
    for (half, sums) in sums.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let even = _mm512_sub_epi16(both[half], _mm512_slli_epi16::<8>(odd[half]));
        let [even, odd] = [even, odd[half]].map(|lanes| {
            let half = _mm256_add_epi16(
                _mm512_castsi512_si256(lanes),
                _mm512_extracti64x4_epi64::<1>(lanes),
            );
            _mm_add_epi16(
                _mm256_castsi256_si128(half),
                _mm256_extracti128_si256::<1>(half),
            )
        });
        add_interleaved(even, odd, sums);
    }
}

/// # Safety
/// `codes` is as long as `tables`, a multiple of 64 and at most 256 tables; AVX2 exists.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn sum_avx2(tables: &[u8], codes: &[u8], sums: &mut [u32; BLOCK_ROWS]) {
    let nibble = _mm256_set1_epi8(15);
    let mut both = [_mm256_setzero_si256(); 2];
    let mut odd = [_mm256_setzero_si256(); 2];
    let mut offset = 0;
    while offset < tables.len() {
        // SAFETY: the lengths are equal and multiples of 64.
        let (table, code) = unsafe {
            (
                _mm256_loadu_si256(tables.as_ptr().add(offset).cast()),
                _mm256_loadu_si256(codes.as_ptr().add(offset).cast()),
            )
        };
        let low = _mm256_shuffle_epi8(table, _mm256_and_si256(code, nibble));
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(code), nibble);
        let high = _mm256_shuffle_epi8(table, high);
        for (half, entries) in [low, high].into_iter().enumerate() {
            both[half] = _mm256_add_epi16(both[half], entries);
            odd[half] = _mm256_add_epi16(odd[half], _mm256_srli_epi16::<8>(entries));
        }
        offset += 32;
    }
    for (half, sums) in sums.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let even = _mm256_sub_epi16(both[half], _mm256_slli_epi16::<8>(odd[half]));
        let [even, odd] = [even, odd[half]].map(|lanes| {
            _mm_add_epi16(
                _mm256_castsi256_si128(lanes),
                _mm256_extracti128_si256::<1>(lanes),
            )
        });
        add_interleaved(even, odd, sums);
    }
}

/// # Safety
/// `codes` is as long as `tables`, a multiple of 64 and at most 256 tables; NEON exists.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn sum_neon(tables: &[u8], codes: &[u8], sums: &mut [u32; BLOCK_ROWS]) {
    let nibble = vdupq_n_u8(15);
    let mut lanes = [vdupq_n_u16(0); 4];
    let mut offset = 0;
    while offset < tables.len() {
        // SAFETY: the lengths are equal and multiples of 64.
        let (table, code) = unsafe {
            (
                vld1q_u8(tables.as_ptr().add(offset)),
                vld1q_u8(codes.as_ptr().add(offset)),
            )
        };
        let low = vqtbl1q_u8(table, vandq_u8(code, nibble));
        let high = vqtbl1q_u8(table, vshrq_n_u8::<4>(code));
        lanes[0] = vaddw_u8(lanes[0], vget_low_u8(low));
        lanes[1] = vaddw_u8(lanes[1], vget_high_u8(low));
        lanes[2] = vaddw_u8(lanes[2], vget_low_u8(high));
        lanes[3] = vaddw_u8(lanes[3], vget_high_u8(high));
        offset += 16;
    }
    for (lanes, sums) in lanes.into_iter().zip(sums.as_chunks_mut::<8>().0) {
        let mut eight = [0u16; 8];
        // SAFETY: eight numbers of 16 bits are stored to eight.
        unsafe { vst1q_u16(eight.as_mut_ptr(), lanes) };
        for (sum, lane) in sums.iter_mut().zip(eight) {
            *sum += u32::from(lane);
        }
    }
}
