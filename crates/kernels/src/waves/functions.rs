//! Sine, cosine, exponential and hyperbolic tangent of several `f32` at once.
//!
//! Reduction after Cody and Waite ("Software Manual for the Elementary Functions", 1980) with fused multiply-adds; the
//! polynomials are minimax fits made for these intervals (Lawson's algorithm on Chebyshev nodes, in double precision), their
//! relative errors 6e-9 (sine), 3e-9 (exponential) and 4e-9 (tangent), below half a unit of `f32`.
//!
//! Error against the exact value of the given `f32`, as the tests hold it: absolute 2e-7 for sine and cosine; relative 3e-7 for
//! the exponential; relative 4e-7 for the tangent.

use super::lanes::{COUNT_MAX, Lanes};

/// Beyond this the two-part reduction loses digits, and the standard library takes over lane by lane. At 1e5 the reduction's
/// own error is 5e-10.
const REDUCED_MAX: f32 = 1e5;
/// Pi as the sum of two `f32`: 48 bits.
const PI_HIGH: f32 = std::f32::consts::PI;
const PI_LOW: f32 = -8.742_278e-8;
/// The natural logarithm of 2 as a short part, whose products with exponents are exact, and the rest.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Below this the exponential is below the smallest normal `f32` and becomes 0.
const EXPONENT_MIN: f32 = -88.0;
/// Below this magnitude the tangent's polynomial holds, above it the quotient of exponentials.
const TANGENT_SPLIT: f32 = 0.625;

/// `x + x^3 P(x^2)` for the sine on -pi/2..pi/2.
const SINE: [f32; 4] = [-0.166_666_6, 0.008_333_066, -1.980_960_3e-4, 2.605_781e-6];
/// `1 + x + x^2 P(x)` for the exponential on -ln(2)/2..ln(2)/2.
const EXPONENTIAL: [f32; 5] = [
    0.499_999_93,
    0.166_665_2,
    0.041_668_387,
    0.008_368_71,
    0.001_381_461,
];
/// `x + x^3 P(x^2)` for the tangent on -0.625..0.625.
const TANGENT: [f32; 5] = [
    -0.333_332_8,
    0.133_314_42,
    -0.053_739_716,
    0.020_639_09,
    -0.005_704_990_4,
];

/// Replaces the results of the arguments that the vector form does not reduce by the standard library's. The other lanes keep
/// theirs, so that a row never depends on its neighbours.
#[cold]
#[inline(never)]
fn replace_unreduced(x: &[f32], results: &mut [f32], function: fn(f32) -> f32) {
    for (x, result) in x.iter().zip(results) {
        if x.abs() > REDUCED_MAX {
            *result = function(*x);
        }
    }
}

#[inline(always)]
unsafe fn with_unreduced<L: Lanes>(x: L, result: L, function: fn(f32) -> f32) -> L {
    let mut arguments = [0.0; COUNT_MAX];
    let mut results = [0.0; COUNT_MAX];
    // SAFETY: both hold the widest lanes; the rest as the module `lanes` demands.
    unsafe {
        x.store(arguments.as_mut_ptr());
        result.store(results.as_mut_ptr());
        replace_unreduced(&arguments[..L::COUNT], &mut results[..L::COUNT], function);
        L::load(results.as_ptr())
    }
}

/// The value of a polynomial in `x`, its coefficients ascending.
#[inline(always)]
unsafe fn polynomial<L: Lanes, const COUNT: usize>(coefficients: [f32; COUNT], x: L) -> L {
    // SAFETY: as the module `lanes` demands.
    unsafe {
        let mut sum = L::splat(coefficients[COUNT - 1]);
        let mut index = COUNT - 1;
        while index > 0 {
            index -= 1;
            sum = sum.mul_add(x, L::splat(coefficients[index]));
        }
        sum
    }
}

/// The sine of `turns * pi` removed from `x`: `turns` may be a half, for the cosine.
#[inline(always)]
unsafe fn reduced_sine<L: Lanes>(x: L, turns: L) -> L {
    // SAFETY: as the module `lanes` demands.
    unsafe {
        let rest = turns.neg_mul_add(L::splat(PI_HIGH), x);
        let rest = turns.neg_mul_add(L::splat(PI_LOW), rest);
        let square = rest.mul(rest);
        let cube = square.mul(rest);
        polynomial(SINE, square).mul_add(cube, rest)
    }
}

/// The sine.
#[inline(always)]
pub(crate) unsafe fn sine<L: Lanes>(x: L) -> L {
    // SAFETY: as the module `lanes` demands.
    unsafe {
        let turns = x.mul(L::splat(std::f32::consts::FRAC_1_PI)).round();
        let result = turns.negate_where_odd(reduced_sine(x, turns));
        if x.abs().any_above(L::splat(REDUCED_MAX)) {
            return with_unreduced(x, result, f32::sin);
        }
        result
    }
}

/// The cosine: the sine a quarter turn further, with the quarter inside the reduction, where it costs no precision.
#[inline(always)]
pub(crate) unsafe fn cosine<L: Lanes>(x: L) -> L {
    // SAFETY: as the module `lanes` demands.
    unsafe {
        let half = L::splat(0.5);
        let turns = x
            .mul_add(L::splat(std::f32::consts::FRAC_1_PI), half)
            .round();
        let result = turns.negate_where_odd(reduced_sine(x, turns.sub(half)));
        if x.abs().any_above(L::splat(REDUCED_MAX)) {
            return with_unreduced(x, result, f32::cos);
        }
        result
    }
}

/// The exponential of values that are not positive; results below the smallest normal number are 0.
#[inline(always)]
pub(crate) unsafe fn exponential<L: Lanes>(x: L) -> L {
    // SAFETY: as the module `lanes` demands.
    unsafe {
        let x = L::splat(EXPONENT_MIN).max(x);
        let power = x.mul(L::splat(std::f32::consts::LOG2_E)).round();
        let rest = power.neg_mul_add(L::splat(LN_2_HIGH), x);
        let rest = power.neg_mul_add(L::splat(LN_2_LOW), rest);
        let value = polynomial(EXPONENTIAL, rest).mul_add(rest.mul(rest), rest);
        value.add(L::splat(1.0)).mul(power.power_of_two())
    }
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) unsafe fn tangent<L: Lanes>(x: L) -> L {
    // SAFETY: as the module `lanes` demands.
    unsafe {
        let size = x.abs();
        let square = x.mul(x);
        let near = polynomial(TANGENT, square).mul_add(square.mul(x), x);
        let one = L::splat(1.0);
        let decay = exponential(size.mul(L::splat(-2.0)));
        let far = x.sign_onto(one.sub(decay).div(one.add(decay)));
        size.select_below(L::splat(TANGENT_SPLIT), near, far)
    }
}
