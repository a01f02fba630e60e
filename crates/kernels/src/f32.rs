//! Rows of f32: products, squared and absolute differences, norms.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers whose bounds the callers checked"
)]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::dispatch::Kernels;
use crate::float::{AbsoluteDifference, Element, Product, SquaredDifference, Sum};
use crate::rows::row_methods;

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_avx2(from: *const f32) -> __m256 {
        // SAFETY: the caller has 8 elements there.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_avx512(from: *const f32) -> __m512 {
        // SAFETY: the caller has 16 elements there.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_masked_avx512(from: *const f32, mask: __mmask16) -> __m512 {
        // SAFETY: the caller has the elements of the mask there.
        unsafe { _mm512_maskz_loadu_ps(mask, from) }
    }
    #[cfg(target_arch = "aarch64")]
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_neon(from: *const f32) -> float32x4_t {
        // SAFETY: the caller has 4 elements there.
        unsafe { vld1q_f32(from) }
    }
}

row_methods!(
    Sum<f32, Product>,
    f32, f32 => f32,
    "Sum of the products of two f32 vectors.",
    dot_f32,
    dot_many_f32,
    scan_dot_f32
);
row_methods!(
    Sum<f32, SquaredDifference>,
    f32, f32 => f32,
    "Squared Euclidean distance of two f32 vectors.",
    l2_f32,
    l2_many_f32,
    scan_l2_f32
);
row_methods!(
    Sum<f32, AbsoluteDifference>,
    f32, f32 => f32,
    "Manhattan distance of two f32 vectors.",
    l1_f32,
    l1_many_f32,
    scan_l1_f32
);

impl Kernels {
    /// Sum of the squares.
    #[inline]
    pub fn norm_squared_f32(&self, values: &[f32]) -> f32 {
        self.dot_f32(values, values)
    }

    /// Cosine of the angle between two vectors of one length, from -1 to 1; 0 if one of them has no direction.
    pub fn cosine_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        let norms = self.norm_squared_f32(a).sqrt() * self.norm_squared_f32(b).sqrt();
        let cosine = self.dot_f32(a, b) / norms;
        if cosine.is_finite() {
            cosine.clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }

    /// Scales to length 1 and returns the length there was. A vector of zeros stays as it is.
    ///
    /// Finite values of any size work: where the sum of the squares leaves the range of f32, the largest value is
    /// divided out first.
    pub fn normalize_f32(&self, values: &mut [f32]) -> f32 {
        let squared = self.norm_squared_f32(values);
        // Between these bounds neither the sum nor the inverse of its root lost bits to the limits of f32.
        if (1e-30..1e30).contains(&squared) {
            let norm = squared.sqrt();
            scale(values, 1.0 / norm);
            return norm;
        }
        let largest = values
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        if largest == 0.0 || !largest.is_finite() {
            return largest;
        }
        for value in values.iter_mut() {
            *value /= largest;
        }
        let norm = self.norm_squared_f32(values).sqrt();
        scale(values, 1.0 / norm);
        norm * largest
    }
}

fn scale(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}
