//! Vectors as they were given, in the type they are stored in: the truth that codes approximate.

use half::f16;
use kernels::Kernels;

use crate::error::VectorsError;
use crate::schema::Metric;

/// One vector column of one segment, at full precision. Row `r` is `0 <= r < rows()`.
pub trait Originals: Sync {
    /// Values per vector.
    fn dimensions(&self) -> usize;

    /// How many rows there are, live or not.
    fn rows(&self) -> u32;

    /// Whether each vector is read from a file, so that it pays to rank no more of them than needed.
    fn reads_are_dear(&self) -> bool {
        false
    }

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
        let stride = self.dimensions;
        let kernels = Kernels::best();
        /// The kernel of a metric for the type of the values.
        macro_rules! by_metric {
            ($values:expr, $dot:ident, $l2:ident, $l1:ident) => {
                match metric {
                    Metric::Cosine | Metric::Dot => {
                        kernels.$dot(query, $values, stride, rows, out);
                    }
                    Metric::Euclid => kernels.$l2(query, $values, stride, rows, out),
                    Metric::Manhattan => kernels.$l1(query, $values, stride, rows, out),
                }
            };
        }
        match self.values {
            Values::Float32(values) => {
                by_metric!(values, dot_many_f32, l2_many_f32, l1_many_f32);
            }
            Values::Float16(values) => {
                by_metric!(values, dot_many_f16, l2_many_f16, l1_many_f16);
            }
            Values::Uint8(values) => by_metric!(values, dot_many_u8, l2_many_u8, l1_many_u8),
        }
        if matches!(metric, Metric::Euclid | Metric::Manhattan) {
            for rank in out {
                *rank = -*rank;
            }
        }
        Ok(())
    }
}
