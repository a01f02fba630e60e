//! Sums over pairs of an f32 query and a stored row: the operations, and the loop over any element that widens to f32.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers whose bounds the callers checked"
)]

use std::marker::PhantomData;

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::rows::RowKernel;

/// A stored element that widens to f32 without loss. The loads read exactly as many elements as they return lanes.
pub(crate) trait Element: Copy {
    fn widen(self) -> f32;
    #[cfg(target_arch = "x86_64")]
    unsafe fn load_avx2(from: *const Self) -> __m256;
    #[cfg(target_arch = "x86_64")]
    unsafe fn load_avx512(from: *const Self) -> __m512;
    /// Reads only the lanes of the mask; the others are 0.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load_masked_avx512(from: *const Self, mask: __mmask16) -> __m512;
    #[cfg(target_arch = "aarch64")]
    unsafe fn load_neon(from: *const Self) -> float32x4_t;
}

/// What is summed over the pairs. A pair of zeros adds nothing, which is what lets tails be padded with zeros.
pub(crate) trait Operation {
    fn add(sum: f32, query: f32, value: f32) -> f32;
    #[cfg(target_arch = "x86_64")]
    unsafe fn add_avx2(sum: __m256, query: __m256, value: __m256) -> __m256;
    #[cfg(target_arch = "x86_64")]
    unsafe fn add_avx512(sum: __m512, query: __m512, value: __m512) -> __m512;
    #[cfg(target_arch = "aarch64")]
    unsafe fn add_neon(sum: float32x4_t, query: float32x4_t, value: float32x4_t) -> float32x4_t;
}

/// Products.
pub(crate) struct Product;
/// Squared differences.
pub(crate) struct SquaredDifference;
/// Absolute differences.
pub(crate) struct AbsoluteDifference;

impl Operation for Product {
    #[inline(always)]
    fn add(sum: f32, query: f32, value: f32) -> f32 {
        sum + query * value
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_avx2(sum: __m256, query: __m256, value: __m256) -> __m256 {
        _mm256_fmadd_ps(query, value, sum)
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add_avx512(sum: __m512, query: __m512, value: __m512) -> __m512 {
        _mm512_fmadd_ps(query, value, sum)
    }
    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_neon(sum: float32x4_t, query: float32x4_t, value: float32x4_t) -> float32x4_t {
        vfmaq_f32(sum, query, value)
    }
}

impl Operation for SquaredDifference {
    #[inline(always)]
    fn add(sum: f32, query: f32, value: f32) -> f32 {
        let difference = query - value;
        sum + difference * difference
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_avx2(sum: __m256, query: __m256, value: __m256) -> __m256 {
        let difference = _mm256_sub_ps(query, value);
        _mm256_fmadd_ps(difference, difference, sum)
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add_avx512(sum: __m512, query: __m512, value: __m512) -> __m512 {
        let difference = _mm512_sub_ps(query, value);
        _mm512_fmadd_ps(difference, difference, sum)
    }
    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_neon(sum: float32x4_t, query: float32x4_t, value: float32x4_t) -> float32x4_t {
        let difference = vsubq_f32(query, value);
        vfmaq_f32(sum, difference, difference)
    }
}

impl Operation for AbsoluteDifference {
    #[inline(always)]
    fn add(sum: f32, query: f32, value: f32) -> f32 {
        sum + (query - value).abs()
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_avx2(sum: __m256, query: __m256, value: __m256) -> __m256 {
        let sign = _mm256_set1_ps(-0.0);
        _mm256_add_ps(sum, _mm256_andnot_ps(sign, _mm256_sub_ps(query, value)))
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add_avx512(sum: __m512, query: __m512, value: __m512) -> __m512 {
        _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(query, value)))
    }
    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_neon(sum: float32x4_t, query: float32x4_t, value: float32x4_t) -> float32x4_t {
        vaddq_f32(sum, vabdq_f32(query, value))
    }
}

/// Operation `O` between an f32 query and rows of `E`.
pub(crate) struct Sum<E, O>(PhantomData<(E, O)>);

/// Partial sums of the twin; as many as fill a cache line, so that the compiler can keep them in registers.
const PARTIAL_SUMS: usize = 16;

impl<E: Element, O: Operation> RowKernel for Sum<E, O> {
    type Query = f32;
    type Element = E;
    type Output = f32;

    fn scalar(query: &[f32], row: &[E]) -> f32 {
        let mut sums = [0f32; PARTIAL_SUMS];
        let (queries, query_tail) = query.as_chunks::<PARTIAL_SUMS>();
        let (values, value_tail) = row.as_chunks::<PARTIAL_SUMS>();
        for (query, values) in queries.iter().zip(values) {
            for ((sum, &query), &value) in sums.iter_mut().zip(query).zip(values) {
                *sum = O::add(*sum, query, value.widen());
            }
        }
        for ((sum, &query), &value) in sums.iter_mut().zip(query_tail).zip(value_tail) {
            *sum = O::add(*sum, query, value.widen());
        }
        sums.iter().sum()
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2(query: *const f32, row: *const E, count: usize) -> f32 {
        // SAFETY: every load of 8 elements starts at an offset of at most `count - 8`; both sides have `count`.
        unsafe {
            let mut sums = [_mm256_setzero_ps(); 4];
            let mut offset = 0;
            while offset + 32 <= count {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let at = offset + lane * 8;
                    let value = E::load_avx2(row.add(at));
                    *sum = O::add_avx2(*sum, _mm256_loadu_ps(query.add(at)), value);
                }
                offset += 32;
            }
            while offset + 8 <= count {
                let value = E::load_avx2(row.add(offset));
                sums[0] = O::add_avx2(sums[0], _mm256_loadu_ps(query.add(offset)), value);
                offset += 8;
            }
            let sum = _mm256_add_ps(
                _mm256_add_ps(sums[0], sums[1]),
                _mm256_add_ps(sums[2], sums[3]),
            );
            let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            let mut total = _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
            while offset < count {
                total = O::add(total, *query.add(offset), (*row.add(offset)).widen());
                offset += 1;
            }
            total
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,fma,f16c")]
    unsafe fn avx512(query: *const f32, row: *const E, count: usize) -> f32 {
        // SAFETY: every load of 16 elements starts at an offset of at most `count - 16`; the last one is masked to
        // the elements that are left, and masked lanes are not read.
        unsafe {
            let mut sums = [_mm512_setzero_ps(); 4];
            let mut offset = 0;
            while offset + 64 <= count {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let at = offset + lane * 16;
                    let value = E::load_avx512(row.add(at));
                    *sum = O::add_avx512(*sum, _mm512_loadu_ps(query.add(at)), value);
                }
                offset += 64;
            }
            while offset + 16 <= count {
                let value = E::load_avx512(row.add(offset));
                sums[0] = O::add_avx512(sums[0], _mm512_loadu_ps(query.add(offset)), value);
                offset += 16;
            }
            if offset < count {
                let mask = ((1u32 << (count - offset)) - 1) as __mmask16;
                let value = E::load_masked_avx512(row.add(offset), mask);
                let query = _mm512_maskz_loadu_ps(mask, query.add(offset));
                sums[1] = O::add_avx512(sums[1], query, value);
            }
            _mm512_reduce_add_ps(_mm512_add_ps(
                _mm512_add_ps(sums[0], sums[1]),
                _mm512_add_ps(sums[2], sums[3]),
            ))
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn neon(query: *const f32, row: *const E, count: usize) -> f32 {
        // SAFETY: every load of 4 elements starts at an offset of at most `count - 4`; both sides have `count`.
        unsafe {
            let mut sums = [vdupq_n_f32(0.0); 4];
            let mut offset = 0;
            while offset + 16 <= count {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let at = offset + lane * 4;
                    *sum = O::add_neon(*sum, vld1q_f32(query.add(at)), E::load_neon(row.add(at)));
                }
                offset += 16;
            }
            let mut total = vaddvq_f32(vaddq_f32(
                vaddq_f32(sums[0], sums[1]),
                vaddq_f32(sums[2], sums[3]),
            ));
            while offset < count {
                total = O::add(total, *query.add(offset), (*row.add(offset)).widen());
                offset += 1;
            }
            total
        }
    }
}
