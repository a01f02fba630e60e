//! Rows of f16 (IEEE binary16) against f32 queries; the arithmetic is f32.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers whose bounds the callers checked"
)]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use half::f16;

use crate::float::{AbsoluteDifference, Element, Product, SquaredDifference, Sum};
use crate::rows::row_methods;

// `f16` is a transparent u16, so its slices can be loaded as 16-bit lanes.
impl Element for f16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load_avx2(from: *const f16) -> __m256 {
        // SAFETY: the caller has 8 elements of 2 bytes there.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_avx512(from: *const f16) -> __m512 {
        // SAFETY: the caller has 16 elements of 2 bytes there.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn load_masked_avx512(from: *const f16, mask: __mmask16) -> __m512 {
        // SAFETY: the caller has the elements of the mask there.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, from.cast())) }
    }
    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_neon(from: *const f16) -> float32x4_t {
        // SAFETY: the caller has 4 elements there.
        let lanes: [f32; 4] = std::array::from_fn(|lane| unsafe { (*from.add(lane)).to_f32() });
        // SAFETY: four lanes were just made.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }
}

row_methods!(
    Sum<f16, Product>,
    f32, f16 => f32,
    "Sum of the products of an f32 query and an f16 row.",
    dot_f16,
    dot_many_f16,
    scan_dot_f16
);
row_methods!(
    Sum<f16, SquaredDifference>,
    f32, f16 => f32,
    "Squared Euclidean distance of an f32 query and an f16 row.",
    l2_f16,
    l2_many_f16,
    scan_l2_f16
);
row_methods!(
    Sum<f16, AbsoluteDifference>,
    f32, f16 => f32,
    "Manhattan distance of an f32 query and an f16 row.",
    l1_f16,
    l1_many_f16,
    scan_l1_f16
);
