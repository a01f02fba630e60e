//! Reads two-dimensional arrays and columns from `.npy` files, as numpy writes them: little-endian, row after row.

use std::error::Error;

use half::f16;

/// An array of rows of `columns` values; a file with one dimension has one column.
pub struct Array {
    /// Values in a row.
    pub columns: usize,
    kind: String,
    bytes: Vec<u8>,
}

impl Array {
    /// Reads a file whole.
    pub fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let file = std::fs::read(path)?;
        let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
        let header = std::str::from_utf8(&file[10..10 + length])?;
        let field = |name: &str| header.split(&format!("'{name}': ")).nth(1);
        let kind = field("descr").and_then(|rest| rest.split('\'').nth(1));
        let shape = field("shape").and_then(|rest| rest.split(['(', ')']).nth(1));
        let mut sizes = shape
            .ok_or("shape")?
            .split(',')
            .filter_map(|size| size.trim().parse().ok());
        Ok(Array {
            columns: sizes.nth(1).unwrap_or(1),
            kind: kind.ok_or("descr")?.to_owned(),
            bytes: file[10 + length..].to_vec(),
        })
    }

    /// The values as floats.
    pub fn floats(&self) -> Vec<f32> {
        let halves = || {
            self.bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|bytes| f16::from_le_bytes(*bytes).to_f32())
        };
        let singles = || {
            self.bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
        };
        match self.kind.as_str() {
            "<f2" => halves().collect(),
            "<f4" => singles().collect(),
            _ => self.bytes.iter().map(|byte| f32::from(*byte)).collect(),
        }
    }

    /// The values as whole numbers (`<i4` or `<i8`).
    pub fn integers(&self) -> Vec<i64> {
        let longs = || {
            self.bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|bytes| i64::from_le_bytes(*bytes))
        };
        let shorts = || {
            self.bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| i64::from(i32::from_le_bytes(*bytes)))
        };
        if self.kind == "<i8" {
            longs().collect()
        } else {
            shorts().collect()
        }
    }
}
