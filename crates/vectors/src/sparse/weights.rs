//! How weights are stored.

use half::f16;
use serde::{Deserialize, Serialize};

/// How weights of sparse vectors are stored in the lists. Originals are stored elsewhere, in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// As they are: exact.
    #[default]
    Float32,
    /// IEEE binary16: three decimal digits, half the bytes. Weights beyond ±65,504 become that.
    Float16,
    /// A byte between the smallest and the largest weight of a block.
    Uint8,
}

impl Weights {
    pub(super) fn code(self) -> u32 {
        match self {
            Weights::Float32 => 0,
            Weights::Float16 => 1,
            Weights::Uint8 => 2,
        }
    }

    pub(super) fn of_code(code: u32) -> Option<Weights> {
        [Weights::Float32, Weights::Float16, Weights::Uint8]
            .into_iter()
            .find(|weights| weights.code() == code)
    }

    pub(super) fn bits(self) -> u8 {
        match self {
            Weights::Float32 => 32,
            Weights::Float16 => 16,
            Weights::Uint8 => 8,
        }
    }

    /// What is stored for a weight of a block whose weights lie between `low` and `high`.
    pub(super) fn encode(self, weight: f32, high: f32, low: f32) -> u32 {
        match self {
            Weights::Float32 => weight.to_bits(),
            Weights::Float16 => {
                let largest = f16::MAX.to_f32();
                u32::from(f16::from_f32(weight.clamp(-largest, largest)).to_bits())
            }
            Weights::Uint8 if high > low => {
                let part = (weight - low) / (high - low);
                (part * 255.0).round().clamp(0.0, 255.0) as u32
            }
            Weights::Uint8 => 0,
        }
    }

    /// The weight that is stored.
    #[inline]
    pub(super) fn decode(self, stored: u32, high: f32, low: f32) -> f32 {
        match self {
            Weights::Float32 => f32::from_bits(stored),
            Weights::Float16 => f16::from_bits(stored as u16).to_f32(),
            // The ends are met exactly, so that bounds hold whatever the rounding between them.
            Weights::Uint8 => (low + (high - low) * (stored as f32 / 255.0)).clamp(low, high),
        }
    }
}
