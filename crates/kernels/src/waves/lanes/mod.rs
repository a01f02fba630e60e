//! A few `f32` values that one instruction treats alike: the one set of operations that the wave and network kernels are
//! written in, with an implementation per instruction set. The scalar twins do not use it.
//!
//! # Safety
//! Every method of an implementation may only run where its instruction set was detected. All are `inline(always)` into the
//! `#[target_feature]` entry points, which [`super::dispatch!`] calls after detection; nothing else calls them. Pointers
//! must be valid for [`Lanes::COUNT`] values; no alignment is needed.
#![expect(
    unsafe_code,
    reason = "SIMD instructions are unsafe to call where the processor may lack them"
)]

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// The widest implementation: padding to this many values suits all.
pub(crate) const COUNT_MAX: usize = 16;

/// The operations; see the module for what makes them safe to call.
pub(crate) trait Lanes: Copy {
    /// How many values there are.
    const COUNT: usize;
    /// The values at `from` and behind it.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes the values to `to` and behind it.
    unsafe fn store(self, to: *mut f32);
    /// The same value everywhere.
    unsafe fn splat(value: f32) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`.
    unsafe fn sub(self, other: Self) -> Self;
    /// `self * other`.
    unsafe fn mul(self, other: Self) -> Self;
    /// `self / other`.
    unsafe fn div(self, other: Self) -> Self;
    /// `self * factor + term`, rounded once.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    /// `term - self * factor`, rounded once.
    unsafe fn neg_mul_add(self, factor: Self, term: Self) -> Self;
    /// The nearest whole number, ties to even.
    unsafe fn round(self) -> Self;
    /// The larger value; `other` where either is not a number.
    unsafe fn max(self, other: Self) -> Self;
    /// Without the sign.
    unsafe fn abs(self) -> Self;
    /// `2^self` for whole values from -127 (which gives 0) to 127.
    unsafe fn power_of_two(self) -> Self;
    /// `value`, negated where `self`, a whole number below 2^31, is odd.
    unsafe fn negate_where_odd(self, value: Self) -> Self;
    /// The sign of `self` on the magnitude of `value`, which must not be negative.
    unsafe fn sign_onto(self, value: Self) -> Self;
    /// `yes` where `self < limit`, else `no`.
    unsafe fn select_below(self, limit: Self, yes: Self, no: Self) -> Self;
    /// Whether any value is above `limit`; values that are no numbers are not.
    unsafe fn any_above(self, limit: Self) -> bool;
    /// The sum of all values.
    unsafe fn sum(self) -> f32;
}
