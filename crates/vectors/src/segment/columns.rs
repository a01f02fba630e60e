//! Vectors of growing rows: one column per name, appended row by row.
//!
//! Rows without the vector take no room: values lie in *slots*, one after another for the rows that have it.

use std::ops::Range;

use crate::point::{SparseVector, Vector};
use crate::quantize::{SliceOriginals, Values as OriginalValues};
use crate::schema::{Metric, VectorSchema};

/// Marks a row without the vector.
const ABSENT: u32 = u32::MAX;

/// The vectors of one name of a growing segment.
#[derive(Debug)]
pub(crate) struct Column {
    /// Slot of each row, or [`ABSENT`].
    slot_of_row: Vec<u32>,
    /// Row of each slot.
    row_of_slot: Vec<u32>,
    /// First entry of each slot and the end of the last: in vectors for dense columns, in entries for sparse ones.
    starts: Vec<u32>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// `dimensions` values per vector, one vector per slot unless the column is of multi-vectors.
    Dense {
        dimensions: usize,
        metric: Metric,
        multi: bool,
        values: Vec<f32>,
    },
    Sparse {
        indices: Vec<u32>,
        values: Vec<f32>,
    },
}

impl Column {
    /// An empty column for vectors of `schema`.
    pub(crate) fn new(schema: &VectorSchema) -> Self {
        let values = match *schema {
            VectorSchema::Dense {
                dimensions,
                metric,
                multi,
                ..
            } => Values::Dense {
                dimensions: dimensions as usize,
                metric,
                multi,
                values: Vec::new(),
            },
            VectorSchema::Sparse { .. } => Values::Sparse {
                indices: Vec::new(),
                values: Vec::new(),
            },
        };
        Column {
            slot_of_row: Vec::new(),
            row_of_slot: Vec::new(),
            starts: vec![0],
            values,
        }
    }

    /// Appends the next row's vector. The vector was checked against the schema before it came here.
    ///
    /// # Panics
    /// When the vector is of another kind than the column.
    pub(crate) fn push(&mut self, vector: Option<&Vector>) {
        let row = self.slot_of_row.len() as u32;
        let Some(vector) = vector else {
            self.slot_of_row.push(ABSENT);
            return;
        };
        let end = match (&mut self.values, vector) {
            (Values::Dense { values, .. }, Vector::Dense(vector)) => {
                values.extend_from_slice(vector);
                self.row_of_slot.len() + 1
            }
            (
                Values::Dense {
                    values, dimensions, ..
                },
                Vector::Multi(vectors),
            ) => {
                for vector in vectors {
                    values.extend_from_slice(vector);
                }
                values.len() / *dimensions
            }
            (Values::Sparse { indices, values }, Vector::Sparse(vector)) => {
                indices.extend_from_slice(&vector.indices);
                values.extend_from_slice(&vector.values);
                indices.len()
            }
            _ => unreachable!("the vector's kind is checked against the schema before"),
        };
        self.slot_of_row.push(self.row_of_slot.len() as u32);
        self.row_of_slot.push(row);
        self.starts.push(end as u32);
    }

    /// Whether the row has the vector.
    #[inline]
    pub(crate) fn has(&self, row: u32) -> bool {
        self.slot_of_row[row as usize] != ABSENT
    }

    /// The row's vector.
    pub(crate) fn get(&self, row: u32) -> Option<Vector> {
        let slot = self.slot_of_row[row as usize];
        if slot == ABSENT {
            return None;
        }
        Some(match &self.values {
            Values::Dense { multi: false, .. } => Vector::Dense(self.slot_values(slot).to_vec()),
            Values::Dense { dimensions, .. } => Vector::Multi(
                self.slot_values(slot)
                    .chunks_exact(*dimensions)
                    .map(<[f32]>::to_vec)
                    .collect(),
            ),
            Values::Sparse { .. } => {
                let (indices, values) = self.slot_sparse(slot);
                Vector::Sparse(SparseVector {
                    indices: indices.to_vec(),
                    values: values.to_vec(),
                })
            }
        })
    }

    /// All dense values of a slot, its vectors one after another.
    #[inline]
    pub(crate) fn slot_values(&self, slot: u32) -> &[f32] {
        let range = self.starts[slot as usize] as usize..self.starts[slot as usize + 1] as usize;
        match &self.values {
            Values::Dense {
                dimensions, values, ..
            } => &values[range.start * dimensions..range.end * dimensions],
            Values::Sparse { .. } => &[],
        }
    }

    /// Indices and values of a sparse slot.
    pub(crate) fn slot_sparse(&self, slot: u32) -> (&[u32], &[f32]) {
        let range = self.starts[slot as usize] as usize..self.starts[slot as usize + 1] as usize;
        match &self.values {
            Values::Sparse { indices, values } => (&indices[range.clone()], &values[range]),
            Values::Dense { .. } => (&[], &[]),
        }
    }

    /// Rows that have the vector, by slot.
    pub(crate) fn rows_with(&self) -> &[u32] {
        &self.row_of_slot
    }

    /// The dense vectors, all of them one after another, and how they are compared; `None` for a sparse column.
    /// In a column of single vectors, vector `s` is that of slot `s`; otherwise see [`Column::range_of`].
    pub(crate) fn originals(&self) -> Option<(SliceOriginals<'_>, Metric)> {
        match &self.values {
            Values::Dense {
                dimensions,
                metric,
                values,
                ..
            } => Some((
                SliceOriginals::new(*dimensions, OriginalValues::Float32(values)),
                *metric,
            )),
            Values::Sparse { .. } => None,
        }
    }

    /// Which of the column's vectors are those of a slot.
    pub(crate) fn range_of(&self, slot: u32) -> Range<u32> {
        self.starts[slot as usize]..self.starts[slot as usize + 1]
    }

    /// Whether a row holds several dense vectors.
    pub(crate) fn is_multi(&self) -> bool {
        matches!(self.values, Values::Dense { multi: true, .. })
    }
}

/// Bytes that a vector takes in a column.
pub(crate) fn vector_bytes(vector: &Vector) -> usize {
    const TABLES: usize = 12;
    TABLES
        + match vector {
            Vector::Dense(values) => values.len() * 4,
            Vector::Sparse(sparse) => sparse.indices.len() * 8,
            Vector::Multi(vectors) => vectors.iter().map(|vector| vector.len() * 4).sum(),
        }
}
