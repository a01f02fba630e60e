//! The Walsh-Hadamard transform, the fast half of a random rotation.

#![expect(
    unsafe_code,
    reason = "calls functions compiled for instructions that were detected"
)]

use crate::dispatch::{Kernels, compiled_for_levels};

/// Values whose first butterflies are done together, in registers.
const GROUP: usize = 16;

impl Kernels {
    /// Multiplies `values` by the Hadamard matrix of their count, divided by the root of the count: orthogonal, and its
    /// own inverse. `n log2 n` additions. Every level gives the same bits.
    ///
    /// Panics unless the count is a power of two.
    pub fn hadamard(&self, values: &mut [f32]) {
        assert!(values.len().is_power_of_two(), "count is a power of two");
        compiled_for_levels!(self, transform(values: &mut [f32]));
    }
}

#[inline(always)]
fn transform(values: &mut [f32]) {
    let count = values.len();
    let scale = 1.0 / (count as f32).sqrt();
    if count < GROUP {
        let mut half = 1;
        while half < count {
            butterflies(values, half);
            half *= 2;
        }
    } else {
        let (groups, _) = values.as_chunks_mut::<GROUP>();
        for group in groups {
            butterfly::<1>(group);
            butterfly::<2>(group);
            butterfly::<4>(group);
            butterfly::<8>(group);
        }
        let mut half = GROUP;
        while half < count {
            butterflies(values, half);
            half *= 2;
        }
    }
    for value in values {
        *value *= scale;
    }
}

/// One round over pairs that are `HALF` apart within a group.
#[inline(always)]
fn butterfly<const HALF: usize>(group: &mut [f32; GROUP]) {
    let before = *group;
    for (place, value) in group.iter_mut().enumerate() {
        let partner = before[place ^ HALF];
        *value = if place & HALF == 0 {
            before[place] + partner
        } else {
            partner - before[place]
        };
    }
}

/// One round over pairs that are `half` apart.
#[inline(always)]
fn butterflies(values: &mut [f32], half: usize) {
    for pair in values.chunks_exact_mut(2 * half) {
        let (low, high) = pair.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            (*low, *high) = (*low + *high, *low - *high);
        }
    }
}
