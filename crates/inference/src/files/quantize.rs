//! Writes rows of weights in the four layouts that our converter offers, byte for byte as llama.cpp's own quantiser does.
//!
//! ```text
//! F32    4 bytes per element
//! F16    2 bytes per element, rounded to nearest even
//! Q8_0   blocks of 32: f16 scale, 32 x i8                                 34 bytes    x = scale * q
//! Q4_0   blocks of 32: f16 scale, 16 bytes of two nibbles                 18 bytes    x = scale * (q - 8)
//!        byte j holds element j in its low nibble and element j + 16 in its high one
//! ```
//! All numbers are little-endian.
//!
//! Invariants (the tests cite them):
//! 1. The bytes equal those of `ggml_quantize_chunk` for every finite input that the type can hold. (ggml computes Q4_0
//!    with a separate multiplication and addition on x86-64; a compiler that fuses them elsewhere may differ in ties.)
//! 2. Infinities, NaN and values whose scale or self does not fit f16 are refused: a model holding them computes nonsense.

use half::f16;
use thiserror::Error;

use super::gguf::TensorType;

/// Elements of one block of Q8_0 and Q4_0.
pub const BLOCK_ELEMENTS: usize = 32;
const Q8_0_BLOCK_BYTES: usize = 34;
const Q4_0_BLOCK_BYTES: usize = 18;

/// A layout that the converter writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8.5 bits per weight.
    Q8_0,
    /// 4.5 bits per weight.
    Q4_0,
}

impl WeightType {
    /// Every type, in falling size.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0];

    /// The type that a person names, in any case: `f32`, `F16`, `q8_0`, `Q4_0`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }

    /// The type's usual name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
        }
    }

    /// ggml's type of a tensor stored so.
    #[must_use]
    pub fn tensor_type(self) -> TensorType {
        match self {
            Self::F32 => TensorType::F32,
            Self::F16 => TensorType::F16,
            Self::Q8_0 => TensorType::Q8_0,
            Self::Q4_0 => TensorType::Q4_0,
        }
    }

    /// `general.file_type` of a file whose matrices are mostly stored so.
    #[must_use]
    pub fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
        }
    }

    /// Elements that are stored together; a row must be a multiple of this.
    #[must_use]
    pub fn block_elements(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Q8_0 | Self::Q4_0 => BLOCK_ELEMENTS,
        }
    }

    /// Bytes of one block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q8_0 => Q8_0_BLOCK_BYTES,
            Self::Q4_0 => Q4_0_BLOCK_BYTES,
        }
    }
}

/// Values that cannot be stored as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantizeError {
    /// The number of values is not a multiple of the block.
    #[error("{count} values are not a multiple of {block}")]
    Length {
        /// Values given.
        count: usize,
        /// Elements of a block.
        block: usize,
    },
    /// A value is infinite or not a number.
    #[error("value {index} is not finite")]
    NotFinite {
        /// Its position in the values given.
        index: usize,
    },
    /// A value, or the scale of its block, is beyond what a 16-bit float holds.
    #[error("value {index} is too large for {kind}", kind = .kind.as_str())]
    TooLarge {
        /// The value's position in the values given, or that of its block's first.
        index: usize,
        /// The type asked for.
        kind: WeightType,
    },
}

/// Appends `values` to `output` in the layout of `kind`. `output` is left as it was when this fails.
///
/// # Errors
/// [`QuantizeError`] when the values are not whole blocks or cannot be held (invariant 2).
pub fn quantize(
    values: &[f32],
    kind: WeightType,
    output: &mut Vec<u8>,
) -> Result<(), QuantizeError> {
    let block = kind.block_elements();
    if !values.len().is_multiple_of(block) {
        let count = values.len();
        return Err(QuantizeError::Length { count, block });
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(QuantizeError::NotFinite { index });
    }
    let before = output.len();
    output.reserve(values.len() / block * kind.block_bytes());
    let fitted = match kind {
        WeightType::F32 => {
            output.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            Ok(())
        }
        WeightType::F16 => quantize_f16(values, output),
        WeightType::Q8_0 => quantize_blocks(values, output, quantize_q8_0_block),
        WeightType::Q4_0 => quantize_blocks(values, output, quantize_q4_0_block),
    };
    fitted.map_err(|index| {
        output.truncate(before);
        QuantizeError::TooLarge { index, kind }
    })
}

/// The values that `bytes` in the layout of `kind` stand for; `None` when the bytes are not whole blocks.
#[must_use]
pub fn dequantize(bytes: &[u8], kind: WeightType) -> Option<Vec<f32>> {
    if !bytes.len().is_multiple_of(kind.block_bytes()) {
        return None;
    }
    let blocks = bytes.chunks_exact(kind.block_bytes());
    let half = |pair: &[u8]| f16::from_le_bytes([pair[0], pair[1]]).to_f32();
    Some(match kind {
        WeightType::F32 => blocks
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect(),
        WeightType::F16 => blocks.map(half).collect(),
        WeightType::Q8_0 => blocks
            .flat_map(|block| {
                let scale = half(block);
                block[2..]
                    .iter()
                    .map(move |&byte| scale * f32::from(byte.cast_signed()))
            })
            .collect(),
        WeightType::Q4_0 => blocks
            .flat_map(|block| {
                let scale = half(block);
                let low = block[2..].iter().map(|byte| byte & 0x0f);
                let high = block[2..].iter().map(|byte| byte >> 4);
                low.chain(high)
                    .map(move |nibble| scale * (f32::from(nibble) - 8.0))
            })
            .collect(),
    })
}

/// Fails with the index of the first value that does not fit.
fn quantize_f16(values: &[f32], output: &mut Vec<u8>) -> Result<(), usize> {
    for (index, &value) in values.iter().enumerate() {
        let rounded = f16::from_f32(value);
        if rounded.is_infinite() {
            return Err(index);
        }
        output.extend_from_slice(&rounded.to_le_bytes());
    }
    Ok(())
}

/// Fails with the index of the first value of the block that does not fit.
fn quantize_blocks(
    values: &[f32],
    output: &mut Vec<u8>,
    block: fn(&[f32], &mut Vec<u8>) -> Option<()>,
) -> Result<(), usize> {
    for (index, values) in values.chunks_exact(BLOCK_ELEMENTS).enumerate() {
        block(values, output).ok_or(index * BLOCK_ELEMENTS)?;
    }
    Ok(())
}

/// Writes the scale and gives its inverse, by which ggml multiplies. `None` when the scale does not fit f16.
fn write_scale(scale: f32, output: &mut Vec<u8>) -> Option<f32> {
    let stored = f16::from_f32(scale);
    if stored.is_infinite() {
        return None;
    }
    output.extend_from_slice(&stored.to_le_bytes());
    // The inverse of a scale below 2^-128 overflows. Such a scale is stored as zero, so the quants do not matter; the
    // callers write zero for the infinite quotients, as ggml's conversion does on x86-64.
    Some(if scale == 0.0 { 0.0 } else { 1.0 / scale })
}

fn quantize_q8_0_block(values: &[f32], output: &mut Vec<u8>) -> Option<()> {
    let largest = values
        .iter()
        .fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let inverse = write_scale(largest / 127.0, output)?;
    output.extend(values.iter().map(|value| {
        // `round` is away from zero at ties, as C's `roundf` is.
        let quotient = (value * inverse).round();
        if quotient.is_finite() {
            (quotient as i8).cast_unsigned()
        } else {
            0
        }
    }));
    Some(())
}

fn quantize_q4_0_block(values: &[f32], output: &mut Vec<u8>) -> Option<()> {
    // The value of largest magnitude, with its sign, and the first of equals: it maps to -8 exactly.
    let mut extreme = 0.0_f32;
    for &value in values {
        if value.abs() > extreme.abs() {
            extreme = value;
        }
    }
    let inverse = write_scale(extreme / -8.0, output)?;
    let nibble = |value: f32| {
        let shifted = value * inverse + 8.5;
        if shifted.is_finite() {
            // From 0.5 to 16.5 by construction, so truncation is rounding.
            (shifted as u8).min(15)
        } else {
            0
        }
    };
    let (first, second) = values.split_at(BLOCK_ELEMENTS / 2);
    let pairs = first.iter().zip(second);
    output.extend(pairs.map(|(&low, &high)| nibble(low) | nibble(high) << 4));
    Some(())
}

#[cfg(test)]
mod tests;
