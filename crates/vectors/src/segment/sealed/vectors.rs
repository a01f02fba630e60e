//! The vectors of one name of a sealed segment, read in place.

use std::ops::Range;

use super::dense::DenseValues;
use super::layout::{self, VectorKind};
use super::slots::Slots;
use crate::error::VectorsError;
use crate::point::{SparseVector, Vector};
use crate::quantize::Originals;
use crate::rows::RowSet;
use crate::storage::{Bytes, Container};

/// One vector column of a sealed segment.
#[derive(Debug)]
pub(crate) struct StoredVectors {
    rows: u32,
    /// Rows that have the vector; `None` when all have.
    present: Option<RowSet>,
    values: StoredValues,
}

#[derive(Debug)]
enum StoredValues {
    Dense {
        vectors: DenseValues,
        /// `None` when the vectors stand at the places of their rows.
        slots: Option<Slots>,
    },
    Multi {
        tokens: DenseValues,
        starts: Bytes,
    },
    Sparse {
        starts: Bytes,
        indices: Bytes,
        values: Bytes,
    },
}

impl StoredVectors {
    /// The column at `place` of a segment with `rows` rows.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when sections are missing or have the wrong size.
    pub(super) fn open(
        container: &Container,
        place: usize,
        rows: u32,
        kind: VectorKind,
    ) -> Result<Self, VectorsError> {
        let present = match container.optional(layout::present(place))? {
            None => None,
            Some(bytes) => {
                let words: &[u64] = bytes.checked_typed(0..bytes.len() / 8)?;
                let mut set = RowSet::none(rows);
                if words.len() != set.words().len() {
                    return Err(bytes.damaged("has the wrong size"));
                }
                set.words_mut().copy_from_slice(words);
                Some(set)
            }
        };
        let values = match kind {
            VectorKind::Dense {
                dimensions,
                metric,
                datatype,
                multi,
            } => {
                let dense = DenseValues::open(
                    container.section(layout::values(place))?,
                    dimensions,
                    metric,
                    datatype,
                )?;
                if multi {
                    let starts = starts(container, place, rows, u64::from(dense.rows()))?;
                    StoredValues::Multi {
                        tokens: dense,
                        starts,
                    }
                } else if dense.rows() == rows {
                    StoredValues::Dense {
                        vectors: dense,
                        slots: None,
                    }
                } else if let Some(slots) = present
                    .clone()
                    .map(Slots::new)
                    .filter(|slots| slots.count() == dense.rows())
                {
                    StoredValues::Dense {
                        vectors: dense,
                        slots: Some(slots),
                    }
                } else {
                    return Err(
                        dense.damaged(format!("holds {} vectors instead of {rows}", dense.rows()))
                    );
                }
            }
            VectorKind::Sparse => {
                let indices = container.section(layout::sparse_indices(place))?;
                let values = container.section(layout::sparse_values(place))?;
                if indices.len() != values.len() {
                    return Err(values.damaged("has another size than the indices"));
                }
                StoredValues::Sparse {
                    starts: starts(container, place, rows, indices.len() as u64 / 4)?,
                    indices,
                    values,
                }
            }
        };
        Ok(StoredVectors {
            rows,
            present,
            values,
        })
    }

    /// Rows that have the vector; `None` when all have.
    pub(crate) fn present(&self) -> Option<&RowSet> {
        self.present.as_ref()
    }

    pub(crate) fn has(&self, row: u32) -> bool {
        row < self.rows && self.present.as_ref().is_none_or(|set| set.contains(row))
    }

    pub(crate) fn get(&self, row: u32) -> Result<Option<Vector>, VectorsError> {
        if !self.has(row) {
            return Ok(None);
        }
        let mut buffer = Vec::new();
        Ok(Some(match &self.values {
            StoredValues::Dense { vectors, slots } => {
                let slot = match slots {
                    Some(slots) => slots.of_row(row),
                    None => Some(row),
                };
                match slot {
                    Some(slot) => Vector::Dense(vectors.row(slot, &mut buffer)?.to_vec()),
                    None => return Ok(None),
                }
            }
            StoredValues::Multi { tokens, starts } => {
                let range = range_of(starts, row)?;
                Vector::Multi(tokens.rows_of(range.start as u32..range.end as u32)?)
            }
            StoredValues::Sparse { .. } => {
                let (indices, values) = self.sparse(row)?;
                Vector::Sparse(SparseVector {
                    indices: indices.to_vec(),
                    values: values.to_vec(),
                })
            }
        }))
    }

    /// Dense vectors of either kind.
    pub(super) fn values(&self) -> Option<&DenseValues> {
        self.dense().or_else(|| self.tokens())
    }

    /// Single dense vectors, one per row or, with slots, one per row that has it.
    pub(crate) fn dense(&self) -> Option<&DenseValues> {
        match &self.values {
            StoredValues::Dense { vectors, .. } => Some(vectors),
            _ => None,
        }
    }

    /// Where single dense vectors stand when that is not the places of their rows.
    pub(crate) fn slots(&self) -> Option<&Slots> {
        match &self.values {
            StoredValues::Dense { slots, .. } => slots.as_ref(),
            _ => None,
        }
    }

    /// The place of a row's single dense vector among those of the column; `None` when the row has none.
    pub(crate) fn slot_of(&self, row: u32) -> Option<u32> {
        match self.slots() {
            Some(slots) => slots.of_row(row),
            None => self.has(row).then_some(row),
        }
    }

    /// Vectors of multi-vectors.
    pub(crate) fn tokens(&self) -> Option<&DenseValues> {
        match &self.values {
            StoredValues::Multi { tokens, .. } => Some(tokens),
            _ => None,
        }
    }

    /// Whether the vectors are sparse.
    pub(crate) fn is_sparse(&self) -> bool {
        matches!(self.values, StoredValues::Sparse { .. })
    }

    /// Which of the single vectors are those of a row's multi-vector.
    pub(crate) fn tokens_of(&self, row: u32) -> Result<Range<u32>, VectorsError> {
        match &self.values {
            StoredValues::Multi { starts, .. } => {
                let range = range_of(starts, row)?;
                Ok(range.start as u32..range.end as u32)
            }
            _ => Ok(0..0),
        }
    }

    /// The row that a single vector of a multi-vector belongs to; `None` for other kinds, and behind the end.
    pub(super) fn row_of_token(&self, token: u32) -> Result<Option<u32>, VectorsError> {
        let StoredValues::Multi { starts, .. } = &self.values else {
            return Ok(None);
        };
        let all: &[u64] = starts.checked_typed(0..self.rows as usize + 1)?;
        // The last row that begins at or before the token: rows without vectors begin where the next one does.
        let place = all.partition_point(|&start| start <= u64::from(token));
        Ok(u32::try_from(place)
            .ok()
            .and_then(|place| place.checked_sub(1))
            .filter(|&row| row < self.rows))
    }

    /// Places of a row's vectors among those that an index of the column knows.
    pub(super) fn places_of(&self, row: u32) -> Result<Range<u32>, VectorsError> {
        if self.tokens().is_some() {
            return self.tokens_of(row);
        }
        Ok(self.slot_of(row).map_or(0..0, |slot| slot..slot + 1))
    }

    /// Indices and values of a row's sparse vector; empty for other kinds.
    pub(crate) fn sparse(&self, row: u32) -> Result<(&[u32], &[f32]), VectorsError> {
        match &self.values {
            StoredValues::Sparse {
                starts,
                indices,
                values,
            } => {
                let range = range_of(starts, row)?;
                let range = range.start as usize..range.end as usize;
                Ok((
                    indices.checked_typed(range.clone())?,
                    values.checked_typed(range)?,
                ))
            }
            _ => Ok((&[], &[])),
        }
    }
}

/// The section of starts: `rows + 1` of them, the last of which is `end`.
fn starts(container: &Container, place: usize, rows: u32, end: u64) -> Result<Bytes, VectorsError> {
    let starts = container.section(layout::starts(place))?;
    let count = rows as usize + 1;
    if starts.len() != count * 8 {
        return Err(starts.damaged("has the wrong size"));
    }
    if starts.checked_typed::<u64>(count - 1..count)? != [end] {
        return Err(starts.damaged(format!("does not end at {end}")));
    }
    Ok(starts)
}

/// What lies between a row's start and the next. Inside of what `starts` was checked against.
fn range_of(starts: &Bytes, row: u32) -> Result<Range<u64>, VectorsError> {
    let row = row as usize;
    match *starts.checked_typed::<u64>(row..row + 2)? {
        [start, end] if start <= end => Ok(start..end),
        _ => Err(starts.damaged(format!("row {row} ends before it begins"))),
    }
}
