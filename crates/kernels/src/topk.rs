//! Finding the few values above a floor among many: the filter in front of a top-k selection.

#![expect(
    unsafe_code,
    reason = "loads through raw pointers within asserted bounds"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::dispatch::{Kernels, Level};

impl Kernels {
    /// Appends to `positions` the positions of the values that are at least `floor`, ascending. NaN is never.
    ///
    /// A selection of the best `k` offers only these to its heap: once the floor has risen, almost none pass.
    /// Panics if there are more than `u32::MAX` values.
    pub fn positions_at_least(&self, values: &[f32], floor: f32, positions: &mut Vec<u32>) {
        assert!(u32::try_from(values.len()).is_ok(), "positions fit u32");
        match self.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels` of this level exist only where its instructions do.
            Level::Avx512 => unsafe { positions_avx512(values, floor, positions) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx2 => unsafe { positions_avx2(values, floor, positions) },
            _ => append(values, 0, floor, positions),
        }
    }
}

fn append(values: &[f32], first: usize, floor: f32, positions: &mut Vec<u32>) {
    for (position, &value) in values.iter().enumerate() {
        if value >= floor {
            positions.push((first + position) as u32);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn positions_avx512(values: &[f32], floor: f32, positions: &mut Vec<u32>) {
    let (groups, rest) = values.as_chunks::<16>();
    let floors = _mm512_set1_ps(floor);
    for (group, lanes) in groups.iter().enumerate() {
        // SAFETY: a group has 16 values.
        let lanes = unsafe { _mm512_loadu_ps(lanes.as_ptr()) };
        let mut mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(lanes, floors);
        // Few bits are set, and a compressing store to memory is slow on Zen 4: take them one by one.
        while mask != 0 {
            positions.push((group * 16) as u32 + mask.trailing_zeros());
            mask &= mask - 1;
        }
    }
    append(rest, groups.len() * 16, floor, positions);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn positions_avx2(values: &[f32], floor: f32, positions: &mut Vec<u32>) {
    let (groups, rest) = values.as_chunks::<8>();
    let floors = _mm256_set1_ps(floor);
    for (group, lanes) in groups.iter().enumerate() {
        // SAFETY: a group has 8 values.
        let lanes = unsafe { _mm256_loadu_ps(lanes.as_ptr()) };
        let mut mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(lanes, floors)) as u32;
        while mask != 0 {
            positions.push((group * 8) as u32 + mask.trailing_zeros());
            mask &= mask - 1;
        }
    }
    append(rest, groups.len() * 8, floor, positions);
}
