//! Quasimoto waves over batches of points: the ensemble's value, its gradient, and the fused sine; plus the hyperbolic tangent
//! and the sine that networks are made of.
//!
//! Each function has a scalar twin (in [`scalar`], on the standard library's functions), which defines it, and a form in
//! [`lanes`] per instruction set. They agree to 1e-6 of the sum of the magnitudes that are added, for arguments of the
//! trigonometric functions up to 1e5 where rounding of the argument itself does not dominate; the tests hold them to it.
//! A batch's row does not depend on the rows beside it: the rest of a batch goes through the same instructions, padded.
#![expect(
    unsafe_code,
    reason = "SIMD instructions are unsafe to call where the processor may lack them"
)]

mod ensemble;
mod functions;
pub(crate) mod lanes;
mod scalar;

#[cfg(test)]
mod tests;

use crate::dispatch::Level;
use lanes::Lanes;

/// The most spatial dimensions of a wave.
pub const DIMENSIONS_MAX: usize = 16;

/// Waves and the affine head that joins them: `bias + sum_j weights[j] psi_j`.
///
/// The parameters of one wave in `n` dimensions, `3 n + 5` of them:
///
/// ```text
/// A | k_1..k_n | omega | v_1..v_n | log_sigma | phi | epsilon | lmbda_1..lmbda_n
/// psi = A cos(k.x - omega t) exp(-1/2 |x - v t|^2 / sigma^2) sin(phi + epsilon cos(lmbda.x))
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Ensemble<'a> {
    /// Spatial dimensions `n`, 1 to [`DIMENSIONS_MAX`].
    pub dimensions: usize,
    /// The parameters of one wave after another.
    pub waves: &'a [f32],
    /// The head's weights, one per wave.
    pub weights: &'a [f32],
    /// The head's bias.
    pub bias: f32,
}

impl Ensemble<'_> {
    /// Parameters of one wave.
    pub(crate) fn width(&self) -> usize {
        3 * self.dimensions + 5
    }

    /// Panics unless the parts fit each other, the columns and the `rows`.
    fn check(&self, columns: &[&[f32]], rows: usize) {
        assert!((1..=DIMENSIONS_MAX).contains(&self.dimensions));
        assert_eq!(self.waves.len(), self.weights.len() * self.width());
        assert_eq!(columns.len(), self.dimensions + 1);
        for column in columns {
            assert!(column.len() == rows || column.len() == 1);
        }
    }
}

/// Calls `$generic::<L>($arguments)` in the form for `$level`, compiled with that instruction set; `$scalar` where there is
/// none. A level that this processor lacks falls back to `$scalar` too, so that the call is sound whatever is passed.
macro_rules! dispatch {
    ($level:expr, $scalar:expr, $generic:ident::<L $(, $constant:tt)*>($($name:ident: $type:ty),* $(,)?) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2($($name: $type),*) $(-> $result)? {
            // SAFETY: this function's instruction set is the one that the lanes need; slices were checked by the caller.
            unsafe { $generic::<$crate::waves::lanes::Avx2 $(, $constant)*>($($name),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        fn avx512($($name: $type),*) $(-> $result)? {
            // SAFETY: as above.
            unsafe { $generic::<$crate::waves::lanes::Avx512 $(, $constant)*>($($name),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        fn neon($($name: $type),*) $(-> $result)? {
            // SAFETY: as above.
            unsafe { $generic::<$crate::waves::lanes::Neon $(, $constant)*>($($name),*) }
        }
        match $level {
            #[cfg(target_arch = "x86_64")]
            $crate::dispatch::Level::Avx512 if std::arch::is_x86_feature_detected!("avx512f") => {
                // SAFETY: detected on this line.
                unsafe { avx512($($name),*) }
            }
            #[cfg(target_arch = "x86_64")]
            $crate::dispatch::Level::Avx2
                if std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma") =>
            {
                // SAFETY: detected on this line.
                unsafe { avx2($($name),*) }
            }
            #[cfg(target_arch = "aarch64")]
            $crate::dispatch::Level::Neon if std::arch::is_aarch64_feature_detected!("neon") => {
                // SAFETY: detected on this line.
                unsafe { neon($($name),*) }
            }
            _ => $scalar,
        }
    }};
}
pub(crate) use dispatch;

/// The ensemble at every row: `into[r] = bias + sum_j weights[j] psi_j(columns[..][r])`. The columns are the spatial ones, then
/// time; each as long as `into`, or of length one.
///
/// # Panics
/// When the ensemble's parts, the columns and `into` do not fit each other.
pub fn evaluate(level: Level, ensemble: Ensemble<'_>, columns: &[&[f32]], into: &mut [f32]) {
    ensemble.check(columns, into.len());
    use ensemble::evaluate as generic;
    dispatch!(
        level,
        scalar::evaluate(ensemble, columns, into),
        generic::<L>(ensemble: Ensemble<'_>, columns: &[&[f32]], into: &mut [f32])
    )
}

/// Adds to `gradient` the sum over rows of `row_weights[r]` times the derivative of the ensemble's value by each parameter: the
/// waves' in order, the head's weights, its bias. With `2 (y - target) / rows` as weights it is the gradient of the mean
/// squared error.
///
/// # Panics
/// As [`evaluate`]; when `gradient` is not as long as all parameters.
pub fn add_gradient(
    level: Level,
    ensemble: Ensemble<'_>,
    columns: &[&[f32]],
    row_weights: &[f32],
    gradient: &mut [f64],
) {
    ensemble.check(columns, row_weights.len());
    let count = ensemble.waves.len() + ensemble.weights.len() + 1;
    assert_eq!(gradient.len(), count);
    use ensemble::add_gradient as generic;
    dispatch!(
        level,
        scalar::add_gradient(ensemble, columns, row_weights, gradient),
        generic::<L>(
            ensemble: Ensemble<'_>,
            columns: &[&[f32]],
            row_weights: &[f32],
            gradient: &mut [f64],
        )
    )
}

/// `into[i] = alpha sin(x[i]) + (1 - alpha) x[i]`, in one pass.
///
/// # Panics
/// When the slices differ in length.
pub fn fused(level: Level, alpha: f32, x: &[f32], into: &mut [f32]) {
    assert_eq!(x.len(), into.len());
    dispatch!(
        level,
        scalar::fused(alpha, x, into),
        fused_lanes::<L>(alpha: f32, x: &[f32], into: &mut [f32])
    )
}

/// Replaces each value by its hyperbolic tangent.
pub fn tangent(level: Level, values: &mut [f32]) {
    dispatch!(level, scalar::each(values, f32::tanh), tangent_lanes::<L>(values: &mut [f32]))
}

/// Replaces each value by its sine.
pub fn sine(level: Level, values: &mut [f32]) {
    dispatch!(level, scalar::each(values, f32::sin), sine_lanes::<L>(values: &mut [f32]))
}

/// Replaces each value by its cosine.
pub fn cosine(level: Level, values: &mut [f32]) {
    dispatch!(level, scalar::each(values, f32::cos), cosine_lanes::<L>(values: &mut [f32]))
}

/// Replaces each value, which must not be positive, by its exponential; results below the smallest normal number are 0.
pub fn exponential(level: Level, values: &mut [f32]) {
    dispatch!(
        level,
        scalar::each(values, scalar::exponential),
        exponential_lanes::<L>(values: &mut [f32])
    )
}

/// Runs `$body` on whole lanes of `$values` in place, the rest through a padded copy.
macro_rules! in_place {
    ($name:ident, $function:path) => {
        #[inline(always)]
        unsafe fn $name<L: Lanes>(values: &mut [f32]) {
            let mut blocks = values.chunks_exact_mut(L::COUNT);
            // SAFETY: blocks and the padded copy hold `L::COUNT` values; the rest as the module `lanes` demands.
            unsafe {
                for block in &mut blocks {
                    $function(L::load(block.as_ptr())).store(block.as_mut_ptr());
                }
                let rest = blocks.into_remainder();
                if !rest.is_empty() {
                    let mut padded = [0.0; lanes::COUNT_MAX];
                    padded[..rest.len()].copy_from_slice(rest);
                    $function(L::load(padded.as_ptr())).store(padded.as_mut_ptr());
                    rest.copy_from_slice(&padded[..rest.len()]);
                }
            }
        }
    };
}

in_place!(tangent_lanes, functions::tangent);
in_place!(sine_lanes, functions::sine);
in_place!(cosine_lanes, functions::cosine);
in_place!(exponential_lanes, functions::exponential);

#[inline(always)]
unsafe fn fused_lanes<L: Lanes>(alpha: f32, x: &[f32], into: &mut [f32]) {
    // SAFETY: pointers come from blocks of `L::COUNT` values; the rest as the module `lanes` demands.
    unsafe {
        let (share, rest) = (L::splat(alpha), L::splat(1.0 - alpha));
        let mut from = x.chunks_exact(L::COUNT);
        let mut to = into.chunks_exact_mut(L::COUNT);
        for (block, out) in (&mut from).zip(&mut to) {
            let x = L::load(block.as_ptr());
            let value = functions::sine(x).mul_add(share, x.mul(rest));
            value.store(out.as_mut_ptr());
        }
        let (from, to) = (from.remainder(), to.into_remainder());
        if !from.is_empty() {
            let mut padded = [0.0; lanes::COUNT_MAX];
            padded[..from.len()].copy_from_slice(from);
            let x = L::load(padded.as_ptr());
            let value = functions::sine(x).mul_add(share, x.mul(rest));
            value.store(padded.as_mut_ptr());
            to.copy_from_slice(&padded[..to.len()]);
        }
    }
}
