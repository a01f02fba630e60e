//! Vectors as they were given, in the type they are stored in: the truth that codes approximate.

use half::f16;

use crate::error::VectorsError;
use crate::schema::Metric;

/// One vector column of one segment, at full precision. Row `r` is `0 <= r < rows()`.
pub trait Originals: Sync {
    /// Values per vector.
    fn dimensions(&self) -> usize;

    /// How many rows there are, live or not.
    fn rows(&self) -> u32;

    /// The vector of a row; `buffer` may be used to hold it.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the stored bytes are damaged.
    fn row<'a>(&'a self, row: u32, buffer: &'a mut Vec<f32>) -> Result<&'a [f32], VectorsError>;

    /// Writes the rank of each row of `rows` to `out`, computed on the stored type.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the stored bytes are damaged.
    fn rank_rows(
        &self,
        metric: Metric,
        query: &[f32],
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError>;
}

/// Originals in one array in memory, row after row.
#[derive(Debug, Clone, Copy)]
pub struct SliceOriginals<'a> {
    dimensions: usize,
    values: Values<'a>,
}

/// The values of all rows.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// 4 bytes each.
    Float32(&'a [f32]),
    /// 2 bytes each.
    Float16(&'a [f16]),
    /// 1 byte each, whole numbers.
    Uint8(&'a [u8]),
}

impl<'a> SliceOriginals<'a> {
    /// Rows of `dimensions` values. A rest that is no whole row is ignored.
    pub fn new(dimensions: usize, values: Values<'a>) -> Self {
        SliceOriginals { dimensions, values }
    }
}

impl Originals for SliceOriginals<'_> {
    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn rows(&self) -> u32 {
        let values = match self.values {
            Values::Float32(values) => values.len(),
            Values::Float16(values) => values.len(),
            Values::Uint8(values) => values.len(),
        };
        (values / self.dimensions.max(1)) as u32
    }

    fn row<'a>(&'a self, row: u32, buffer: &'a mut Vec<f32>) -> Result<&'a [f32], VectorsError> {
        let range = row as usize * self.dimensions..(row as usize + 1) * self.dimensions;
        buffer.clear();
        match self.values {
            Values::Float32(values) => return Ok(&values[range]),
            Values::Float16(values) => buffer.extend(values[range].iter().map(|v| v.to_f32())),
            Values::Uint8(values) => buffer.extend(values[range].iter().map(|&v| f32::from(v))),
        }
        Ok(buffer)
    }

    fn rank_rows(
        &self,
        metric: Metric,
        query: &[f32],
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError> {
        assert_eq!(query.len(), self.dimensions);
        match self.values {
            Values::Float32(values) => rank_values(metric, query, values, rows, out, |v| v),
            Values::Float16(values) => {
                rank_values(metric, query, values, rows, out, f16::to_f32);
            }
            Values::Uint8(values) => rank_values(metric, query, values, rows, out, f32::from),
        }
        Ok(())
    }
}

/// Ranks rows of `values` on their own type.
fn rank_values<T: Copy>(
    metric: Metric,
    query: &[f32],
    values: &[T],
    rows: &[u32],
    out: &mut [f32],
    float: impl Fn(T) -> f32 + Copy,
) {
    for (&row, out) in rows.iter().zip(out) {
        let row = &values[row as usize * query.len()..][..query.len()];
        let pairs = query.iter().zip(row).map(|(&q, &v)| (q, float(v)));
        *out = match metric {
            Metric::Cosine | Metric::Dot => pairs.map(|(q, v)| q * v).sum(),
            Metric::Euclid => -pairs.map(|(q, v)| (q - v) * (q - v)).sum::<f32>(),
            Metric::Manhattan => -pairs.map(|(q, v)| (q - v).abs()).sum::<f32>(),
        };
    }
}
