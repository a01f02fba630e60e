//! NEON: four values. Part of every AArch64 processor that Rust's targets name.

use core::arch::aarch64::*;

use super::Lanes;

/// Four values; needs `neon`.
#[derive(Clone, Copy)]
pub(crate) struct Neon(float32x4_t);

// SAFETY: of every method below: the instruction set is there and pointers are valid, as the module `lanes` demands.
impl Lanes for Neon {
    const COUNT: usize = 4;
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Neon(vld1q_f32(from)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self.0) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { Neon(vdupq_n_f32(value)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Neon(vaddq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Neon(vsubq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Neon(vmulq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        unsafe { Neon(vdivq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        unsafe { Neon(vfmaq_f32(term.0, self.0, factor.0)) }
    }
    #[inline(always)]
    unsafe fn neg_mul_add(self, factor: Self, term: Self) -> Self {
        unsafe { Neon(vfmsq_f32(term.0, self.0, factor.0)) }
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { Neon(vrndnq_f32(self.0)) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        unsafe { Neon(vbslq_f32(vcgtq_f32(self.0, other.0), self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        unsafe { Neon(vabsq_f32(self.0)) }
    }
    #[inline(always)]
    unsafe fn power_of_two(self) -> Self {
        unsafe {
            let whole = vaddq_s32(vcvtnq_s32_f32(self.0), vdupq_n_s32(127));
            Neon(vreinterpretq_f32_s32(vshlq_n_s32::<23>(whole)))
        }
    }
    #[inline(always)]
    unsafe fn negate_where_odd(self, value: Self) -> Self {
        unsafe {
            let sign = vshlq_n_s32::<31>(vcvtnq_s32_f32(self.0));
            let flipped = veorq_s32(vreinterpretq_s32_f32(value.0), sign);
            Neon(vreinterpretq_f32_s32(flipped))
        }
    }
    #[inline(always)]
    unsafe fn sign_onto(self, value: Self) -> Self {
        unsafe { Neon(vbslq_f32(vdupq_n_u32(1 << 31), self.0, value.0)) }
    }
    #[inline(always)]
    unsafe fn select_below(self, limit: Self, yes: Self, no: Self) -> Self {
        unsafe { Neon(vbslq_f32(vcltq_f32(self.0, limit.0), yes.0, no.0)) }
    }
    #[inline(always)]
    unsafe fn any_above(self, limit: Self) -> bool {
        unsafe { vmaxvq_u32(vcgtq_f32(self.0, limit.0)) != 0 }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { vaddvq_f32(self.0) }
    }
}
