//! Rows of u8 (whole numbers from 0 to 255) against f32 queries; the arithmetic is f32.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers whose bounds the callers checked"
)]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::float::{AbsoluteDifference, Element, Product, SquaredDifference, Sum};
use crate::rows::row_methods;

impl Element for u8 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from(self)
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_avx2(from: *const u8) -> __m256 {
        // SAFETY: the caller has 8 elements there.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_avx512(from: *const u8) -> __m512 {
        // SAFETY: the caller has 16 elements there.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn load_masked_avx512(from: *const u8, mask: __mmask16) -> __m512 {
        // SAFETY: the caller has the elements of the mask there.
        unsafe {
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(
                mask,
                from.cast(),
            )))
        }
    }
    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_neon(from: *const u8) -> float32x4_t {
        // SAFETY: the caller has 4 elements there.
        let lanes: [f32; 4] = std::array::from_fn(|lane| unsafe { f32::from(*from.add(lane)) });
        // SAFETY: four lanes were just made.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }
}

row_methods!(
    Sum<u8, Product>,
    f32, u8 => f32,
    "Sum of the products of an f32 query and a u8 row.",
    dot_u8,
    dot_many_u8,
    scan_dot_u8
);
row_methods!(
    Sum<u8, SquaredDifference>,
    f32, u8 => f32,
    "Squared Euclidean distance of an f32 query and a u8 row.",
    l2_u8,
    l2_many_u8,
    scan_l2_u8
);
row_methods!(
    Sum<u8, AbsoluteDifference>,
    f32, u8 => f32,
    "Manhattan distance of an f32 query and a u8 row.",
    l1_u8,
    l1_many_u8,
    scan_l1_u8
);
