//! One-to-many comparisons of codes for graph traversal: a prepared query against scattered rows of a code table.
//!
//! Rows are `base[row * stride..][..stride]`. While one row is computed the lines of a later one are fetched, because the rows
//! are scattered over memory and a traversal waits for them more than for arithmetic. All results are exact integers, so the
//! twin and the SIMD forms agree bit for bit.
//!
//! ```text
//! 8 bits: byte j of a row is dimension j, 0 to 255.
//! 4 bits: byte 64 b + j of a row holds dimension 128 b + j in its low half and dimension 128 b + 64 + j in its high half.
//! ```
#![expect(
    unsafe_code,
    reason = "SIMD instructions are unsafe to call where the processor may lack them"
)]

use crate::dispatch::{Kernels, Level, compiled_for_levels};

/// Rows of 8-bit codes and 8-bit queries have a multiple of this many dimensions; 4-bit codes twice as many.
pub const LANES: usize = 64;

/// Lines of code that are fetched ahead: about as many as a core can wait for at once (24 on Zen 4, more on newer cores).
/// Too few leave memory idle, too many push each other out of the queue.
const LINES_AHEAD: usize = 20;

/// Calls the form of a comparison that the level has; the caller checked shapes.
macro_rules! by_level {
    ($kernels:expr, $function:ident $arguments:tt) => {
        match $kernels.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels` of this level exist only where its instructions do; the shapes were checked.
            Level::Avx512 => unsafe { avx512::$function $arguments },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx2 => unsafe { avx2::$function $arguments },
            _ => scalar::$function $arguments,
        }
    };
}

impl Kernels {
    /// `out[i] = sum over j of query[j] * row(rows[i])[j]` on 8-bit codes.
    ///
    /// # Panics
    /// When a shape is wrong: `query` no multiple of [`LANES`] or longer than `stride`, `rows` and `out` of different lengths,
    /// a row behind the end of `base`.
    #[inline]
    pub fn dot_codes_8(
        &self,
        query: &[i8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        check(query.len(), base, stride, rows, out);
        by_level!(self, dot_8(query, base, stride, rows, out));
    }

    /// `out[i] = sum over j of query[j] * row(rows[i])[j]` on 4-bit codes; the query in the order of the dimensions.
    ///
    /// # Panics
    /// As [`Kernels::dot_codes_8`]; the query has a multiple of `2 * LANES` dimensions, two to a byte.
    #[inline]
    pub fn dot_codes_4(
        &self,
        query: &[i8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        assert!(query.len().is_multiple_of(2 * LANES), "shape of the query");
        check(query.len() / 2, base, stride, rows, out);
        by_level!(self, dot_4(query, base, stride, rows, out));
    }

    /// `out[i] = sum over j of |query[j] - row(rows[i])[j]|` on 8-bit codes.
    ///
    /// # Panics
    /// As [`Kernels::dot_codes_8`].
    #[inline]
    pub fn l1_codes_8(
        &self,
        query: &[u8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        check(query.len(), base, stride, rows, out);
        by_level!(self, l1_8(query, base, stride, rows, out));
    }

    /// Makes a row of 8-bit codes a query: each code less 128. Returns their sum.
    ///
    /// # Panics
    /// When the lengths differ.
    #[inline]
    pub fn query_of_codes_8(&self, codes: &[u8], query: &mut [i8]) -> i32 {
        assert_eq!(codes.len(), query.len(), "shape of the codes");
        compiled_for_levels!(self, centred_8(codes: &[u8], query: &mut [i8]) -> i32)
    }

    /// Makes a row of 4-bit codes a query: twice each code less 15, and 0 from `dimensions` on, where codes are padding.
    /// Returns their sum.
    ///
    /// # Panics
    /// When the query has not two values for each byte of the codes, these are no multiple of [`LANES`], or `dimensions` lies
    /// behind the end.
    #[inline]
    pub fn query_of_codes_4(&self, codes: &[u8], dimensions: usize, query: &mut [i8]) -> i32 {
        assert!(
            codes.len().is_multiple_of(LANES)
                && query.len() == 2 * codes.len()
                && dimensions <= query.len(),
            "shape of the codes"
        );
        compiled_for_levels!(
            self,
            centred_4(codes: &[u8], dimensions: usize, query: &mut [i8]) -> i32
        )
    }
}

#[inline(always)]
fn centred_8(codes: &[u8], query: &mut [i8]) -> i32 {
    let mut sum = 0;
    for (value, code) in query.iter_mut().zip(codes) {
        *value = (code ^ 0x80) as i8;
        sum += i32::from(*value);
    }
    sum
}

#[inline(always)]
fn centred_4(codes: &[u8], dimensions: usize, query: &mut [i8]) -> i32 {
    let (codes, _) = codes.as_chunks::<LANES>();
    let (blocks, _) = query.as_chunks_mut::<{ 2 * LANES }>();
    for (block, codes) in blocks.iter_mut().zip(codes) {
        for (place, code) in codes.iter().enumerate() {
            block[place] = ((code & 15) * 2) as i8 - 15;
            block[LANES + place] = ((code >> 4) * 2) as i8 - 15;
        }
    }
    // Padding has no code for 0 in 4 bits; it must not take part.
    query[dimensions..].fill(0);
    query.iter().map(|&value| i32::from(value)).sum()
}

#[inline]
fn check(bytes: usize, base: &[u8], stride: usize, rows: &[u32], out: &[i32]) {
    assert!(
        bytes.is_multiple_of(LANES) && bytes <= stride && rows.len() == out.len(),
        "shape of the codes"
    );
    let last = rows.iter().copied().max().unwrap_or(0) as usize;
    assert!(
        rows.is_empty()
            || last
                .checked_add(1)
                .and_then(|count| count.checked_mul(stride))
                .is_some_and(|end| end <= base.len()),
        "row behind the end"
    );
}

/// Asks for the cache line that holds element `index`, without waiting for it. Indexes behind the end do nothing.
#[inline(always)]
pub fn prefetch<T>(values: &[T], index: usize) {
    if let Some(value) = values.get(index) {
        line(std::ptr::from_ref(value).cast());
    }
}

#[inline(always)]
fn line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch of any address has no effect but on caches.
    unsafe {
        std::arch::x86_64::_mm_prefetch(address.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

mod scalar {
    fn each(base: &[u8], stride: usize, rows: &[u32], out: &mut [i32], f: impl Fn(&[u8]) -> i32) {
        for (&row, out) in rows.iter().zip(out) {
            *out = f(&base[row as usize * stride..][..stride]);
        }
    }

    pub(super) fn dot_8(query: &[i8], base: &[u8], stride: usize, rows: &[u32], out: &mut [i32]) {
        each(base, stride, rows, out, |row| {
            let pairs = query.iter().zip(row);
            pairs.map(|(&q, &c)| i32::from(q) * i32::from(c)).sum()
        });
    }

    pub(super) fn dot_4(query: &[i8], base: &[u8], stride: usize, rows: &[u32], out: &mut [i32]) {
        each(base, stride, rows, out, |row| {
            let blocks = query.chunks_exact(128).zip(row.chunks_exact(64));
            blocks
                .map(|(query, codes)| {
                    let (low, high) = query.split_at(64);
                    let pairs = low.iter().zip(high).zip(codes);
                    pairs
                        .map(|((&l, &h), &c)| {
                            i32::from(l) * i32::from(c & 15) + i32::from(h) * i32::from(c >> 4)
                        })
                        .sum::<i32>()
                })
                .sum()
        });
    }

    pub(super) fn l1_8(query: &[u8], base: &[u8], stride: usize, rows: &[u32], out: &mut [i32]) {
        each(base, stride, rows, out, |row| {
            let pairs = query.iter().zip(row);
            pairs.map(|(&q, &c)| i32::from(q.abs_diff(c))).sum()
        });
    }
}

/// Walks `rows`, fetching ahead; `$row` is bound to a pointer to the row's first byte. The caller checked shapes.
macro_rules! walk {
    ($base:ident, $stride:ident, $bytes:expr, $rows:ident, $out:ident, |$row:ident| $body:expr) => {{
        let ahead = (super::LINES_AHEAD * 64 / $bytes.max(1)).clamp(1, 8);
        let start = $base.as_ptr();
        let fetch = |row: u32| {
            let at = start.wrapping_add(row as usize * $stride);
            let mut offset = 0;
            while offset < $bytes {
                super::line(at.wrapping_add(offset));
                offset += 64;
            }
        };
        for &row in $rows.iter().take(ahead) {
            fetch(row);
        }
        for (index, &row) in $rows.iter().enumerate() {
            if let Some(&later) = $rows.get(index + ahead) {
                fetch(later);
            }
            // SAFETY: the caller checked that every row ends inside `base` and that `out` is as long as `rows`.
            unsafe {
                let $row = start.add(row as usize * $stride);
                *$out.get_unchecked_mut(index) = $body;
            }
        }
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    fn sum(values: __m256i) -> i32 {
        let halves = _mm_add_epi32(
            _mm256_castsi256_si128(values),
            _mm256_extracti128_si256::<1>(values),
        );
        let pairs = _mm_add_epi32(halves, _mm_shuffle_epi32::<0b00_00_11_10>(halves));
        _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32::<1>(pairs)))
    }

    /// # Safety
    /// Shapes as checked by the caller of the kernel.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn dot_8(
        query: &[i8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        walk!(base, stride, query.len(), rows, out, |row| {
            let mut total = _mm256_setzero_si256();
            let mut j = 0;
            while j < query.len() {
                // 16 bits per product: the saturating form for bytes would overflow on 255 * 127 * 2.
                let c = _mm256_cvtepu8_epi16(_mm_loadu_si128(row.add(j).cast()));
                let q = _mm256_cvtepi8_epi16(_mm_loadu_si128(query.as_ptr().add(j).cast()));
                total = _mm256_add_epi32(total, _mm256_madd_epi16(c, q));
                j += 16;
            }
            sum(total)
        });
    }

    /// # Safety
    /// Shapes as checked by the caller of the kernel.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn dot_4(
        query: &[i8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        let mask = _mm256_set1_epi8(15);
        let ones = _mm256_set1_epi16(1);
        walk!(base, stride, query.len() / 2, rows, out, |row| {
            let mut total = _mm256_setzero_si256();
            let mut j = 0;
            while j < query.len() / 2 {
                let codes = _mm256_loadu_si256(row.add(j).cast());
                let at = query.as_ptr().add(j / 64 * 128 + j % 64);
                let low = _mm256_loadu_si256(at.cast());
                let high = _mm256_loadu_si256(at.add(64).cast());
                // 15 * 127 * 4 fits 16 bits.
                let products = _mm256_add_epi16(
                    _mm256_maddubs_epi16(_mm256_and_si256(codes, mask), low),
                    _mm256_maddubs_epi16(
                        _mm256_and_si256(_mm256_srli_epi16::<4>(codes), mask),
                        high,
                    ),
                );
                total = _mm256_add_epi32(total, _mm256_madd_epi16(products, ones));
                j += 32;
            }
            sum(total)
        });
    }

    /// # Safety
    /// Shapes as checked by the caller of the kernel.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn l1_8(
        query: &[u8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        walk!(base, stride, query.len(), rows, out, |row| {
            let mut total = _mm256_setzero_si256();
            let mut j = 0;
            while j < query.len() {
                let c = _mm256_loadu_si256(row.add(j).cast());
                let q = _mm256_loadu_si256(query.as_ptr().add(j).cast());
                total = _mm256_add_epi32(total, _mm256_sad_epu8(c, q));
                j += 32;
            }
            sum(total)
        });
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    /// Queries of up to this many vectors stay in registers while the rows pass; one load per vector instead of two.
    const REGISTERS: usize = 14;

    /// Calls `$kernel::<N>` with the number of vectors of the query, 0 for more than fit the registers.
    macro_rules! by_vectors {
        ($vectors:expr, $kernel:ident, $arguments:tt) => {
            match $vectors {
                1 => $kernel::<1> $arguments,
                2 => $kernel::<2> $arguments,
                3 => $kernel::<3> $arguments,
                4 => $kernel::<4> $arguments,
                6 => $kernel::<6> $arguments,
                8 => $kernel::<8> $arguments,
                12 => $kernel::<12> $arguments,
                13 => $kernel::<13> $arguments,
                14 => $kernel::<14> $arguments,
                _ => $kernel::<0> $arguments,
            }
        };
    }

    /// # Safety
    /// Shapes as checked by the caller of the kernel.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn dot_8(
        query: &[i8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        // SAFETY: as this function demands.
        unsafe { by_vectors!(query.len() / 64, dot_8_by, (query, base, stride, rows, out)) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn dot_8_by<const VECTORS: usize>(
        query: &[i8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        let mut held = [_mm512_setzero_si512(); REGISTERS];
        for (vector, held) in held.iter_mut().enumerate().take(VECTORS) {
            // SAFETY: the query has at least VECTORS vectors.
            *held = unsafe { _mm512_loadu_si512(query.as_ptr().add(vector * 64).cast()) };
        }
        walk!(base, stride, query.len(), rows, out, |row| {
            let mut totals = [_mm512_setzero_si512(); 2];
            if VECTORS > 0 {
                for vector in 0..VECTORS {
                    let codes = _mm512_loadu_si512(row.add(vector * 64).cast());
                    totals[vector % 2] =
                        _mm512_dpbusd_epi32(totals[vector % 2], codes, held[vector]);
                }
            } else {
                let mut j = 0;
                while j < query.len() {
                    let codes = _mm512_loadu_si512(row.add(j).cast());
                    let q = _mm512_loadu_si512(query.as_ptr().add(j).cast());
                    totals[j / 64 % 2] = _mm512_dpbusd_epi32(totals[j / 64 % 2], codes, q);
                    j += 64;
                }
            }
            _mm512_reduce_add_epi32(_mm512_add_epi32(totals[0], totals[1]))
        });
    }

    /// # Safety
    /// Shapes as checked by the caller of the kernel.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn dot_4(
        query: &[i8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        // SAFETY: as this function demands.
        unsafe { by_vectors!(query.len() / 64, dot_4_by, (query, base, stride, rows, out)) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn dot_4_by<const VECTORS: usize>(
        query: &[i8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        let mask = _mm512_set1_epi8(15);
        let mut held = [_mm512_setzero_si512(); REGISTERS];
        for (vector, held) in held.iter_mut().enumerate().take(VECTORS) {
            // SAFETY: the query has at least VECTORS vectors.
            *held = unsafe { _mm512_loadu_si512(query.as_ptr().add(vector * 64).cast()) };
        }
        walk!(base, stride, query.len() / 2, rows, out, |row| {
            let mut low = _mm512_setzero_si512();
            let mut high = _mm512_setzero_si512();
            if VECTORS > 0 {
                for block in 0..VECTORS / 2 {
                    let codes = _mm512_loadu_si512(row.add(block * 64).cast());
                    let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), mask);
                    low = _mm512_dpbusd_epi32(low, _mm512_and_si512(codes, mask), held[2 * block]);
                    high = _mm512_dpbusd_epi32(high, upper, held[2 * block + 1]);
                }
            } else {
                let mut j = 0;
                while j < query.len() / 2 {
                    let codes = _mm512_loadu_si512(row.add(j).cast());
                    let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), mask);
                    let q = query.as_ptr().add(2 * j);
                    low = _mm512_dpbusd_epi32(
                        low,
                        _mm512_and_si512(codes, mask),
                        _mm512_loadu_si512(q.cast()),
                    );
                    high = _mm512_dpbusd_epi32(high, upper, _mm512_loadu_si512(q.add(64).cast()));
                    j += 64;
                }
            }
            _mm512_reduce_add_epi32(_mm512_add_epi32(low, high))
        });
    }

    /// # Safety
    /// Shapes as checked by the caller of the kernel.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn l1_8(
        query: &[u8],
        base: &[u8],
        stride: usize,
        rows: &[u32],
        out: &mut [i32],
    ) {
        walk!(base, stride, query.len(), rows, out, |row| {
            let mut total = _mm512_setzero_si512();
            let mut j = 0;
            while j < query.len() {
                let codes = _mm512_loadu_si512(row.add(j).cast());
                let q = _mm512_loadu_si512(query.as_ptr().add(j).cast());
                total = _mm512_add_epi64(total, _mm512_sad_epu8(codes, q));
                j += 64;
            }
            _mm512_reduce_add_epi64(total) as i32
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from a linear congruence; good enough to fill bytes.
    fn bytes(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    #[test]
    fn every_set_agrees_with_the_twin_bit_for_bit() {
        for blocks in [1, 2, 3, 4, 6, 7, 12, 13, 14, 16, 31] {
            let dimensions = blocks * 64;
            let stride = dimensions + 64;
            let base = bytes(40 * stride, 7);
            let unsigned = bytes(2 * dimensions, 9);
            let mut signed: Vec<i8> = unsigned.iter().map(|&byte| byte as i8).collect();
            signed[0] = -128;
            signed[1] = 127;
            let rows: Vec<u32> = (0..40).map(|i| i * 17 % 40).collect();
            for level in Level::available() {
                let set = Kernels::at(level).expect("an available level");
                let twin = Kernels::at(Level::Scalar).expect("plain Rust");
                for count in [0, 1, 5, 40] {
                    let rows = &rows[..count];
                    let (mut out, mut expected) = (vec![0; count], vec![0; count]);
                    let query = &signed[..dimensions];
                    set.dot_codes_8(query, &base, stride, rows, &mut out);
                    twin.dot_codes_8(query, &base, stride, rows, &mut expected);
                    assert_eq!(out, expected, "{level:?} dot_8 {dimensions}");
                    set.dot_codes_4(&signed, &base, stride, rows, &mut out);
                    twin.dot_codes_4(&signed, &base, stride, rows, &mut expected);
                    assert_eq!(out, expected, "{level:?} dot_4 {dimensions}");
                    let query = &unsigned[..dimensions];
                    set.l1_codes_8(query, &base, stride, rows, &mut out);
                    twin.l1_codes_8(query, &base, stride, rows, &mut expected);
                    assert_eq!(out, expected, "{level:?} l1_8 {dimensions}");
                }
            }
        }
    }

    #[test]
    fn rows_become_queries_of_centred_codes() {
        for level in Level::available() {
            let set = Kernels::at(level).expect("an available level");
            for blocks in [1, 2, 6] {
                let codes = bytes(blocks * LANES, 3);
                let mut query = vec![0; codes.len()];
                let sum = set.query_of_codes_8(&codes, &mut query);
                let expected: Vec<i32> = codes.iter().map(|&code| i32::from(code) - 128).collect();
                assert_eq!(sum, expected.iter().sum::<i32>());
                assert!(query.iter().zip(expected).all(|(&q, e)| i32::from(q) == e));
                let dimensions = 2 * codes.len() - 29;
                let mut query = vec![1; 2 * codes.len()];
                let sum = set.query_of_codes_4(&codes, dimensions, &mut query);
                assert_eq!(
                    sum,
                    query.iter().map(|&value| i32::from(value)).sum::<i32>()
                );
                for (place, &value) in query.iter().enumerate() {
                    let byte = codes[place / (2 * LANES) * LANES + place % LANES];
                    let low = place % (2 * LANES) < LANES;
                    let code = if low { byte & 15 } else { byte >> 4 };
                    let expected = if place < dimensions {
                        2 * i32::from(code) - 15
                    } else {
                        0
                    };
                    assert_eq!(i32::from(value), expected, "{level:?} {place}");
                }
            }
        }
    }

    #[test]
    fn the_layout_of_four_bit_codes_is_the_documented_one() {
        let mut row = vec![0u8; 64];
        row[3] = 0x5a;
        let mut query = vec![0i8; 128];
        query[3] = 1;
        query[67] = 100;
        let mut out = [0];
        Kernels::best().dot_codes_4(&query, &row, 64, &[0], &mut out);
        assert_eq!(out, [10 + 500]);
    }

    #[test]
    #[should_panic(expected = "row behind the end")]
    fn a_row_behind_the_end_is_refused() {
        Kernels::best().dot_codes_8(&[0; 64], &[0; 128], 64, &[2], &mut [0]);
    }
}
