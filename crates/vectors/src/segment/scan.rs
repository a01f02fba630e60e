//! Exact search of rows in memory or on disk without an index: dense, max-sim and sparse.

use std::ops::Range;

use super::columns::Column;
use super::sealed::DenseValues;
use super::top::TopRows;
use crate::error::VectorsError;
use crate::point::{SparseVector, Vector};
use crate::quantize::Originals;
use crate::rows::{Allowed, Scored};
use crate::schema::Metric;

/// Rows ranked per call: their numbers and ranks stay in the first cache.
const BATCH_ROWS: usize = 256;

/// Buffers of a scan, reused between queries.
#[derive(Debug, Default)]
pub(crate) struct ScanScratch {
    /// Slots or tokens whose ranks are computed next.
    slots: Vec<u32>,
    ranks: Vec<f32>,
    best: Vec<f32>,
    top: TopRows,
}

impl ScanScratch {
    /// What the last scan found, best first.
    pub(crate) fn found(&self) -> &[Scored] {
        self.top.kept()
    }
}

/// The best `k` allowed rows of a growing column that rank at least `rank_min`, best first. The query has the column's
/// kind and size, and is normalised for cosine.
pub(crate) fn column<'s>(
    column: &Column,
    query: &Vector,
    k: usize,
    rank_min: f32,
    allowed: Allowed<'_>,
    scratch: &'s mut ScanScratch,
) -> Result<&'s [Scored], VectorsError> {
    scratch.top.start(k, rank_min);
    match query {
        Vector::Sparse(query) => sparse_column(column, query, allowed, &mut scratch.top),
        Vector::Dense(query) if !column.is_multi() => {
            dense_column(column, query, allowed, scratch)?;
        }
        Vector::Dense(query) => {
            multi_column(column, std::slice::from_ref(query), allowed, scratch)?;
        }
        Vector::Multi(query) => multi_column(column, query, allowed, scratch)?,
    }
    Ok(scratch.top.finish())
}

fn dense_column(
    column: &Column,
    query: &[f32],
    allowed: Allowed<'_>,
    scratch: &mut ScanScratch,
) -> Result<(), VectorsError> {
    let Some((originals, metric)) = column.originals() else {
        return Ok(());
    };
    let row_of_slot = column.rows_with();
    scratch.slots.clear();
    for (slot, &row) in (0..).zip(row_of_slot) {
        if !allowed.contains(row) {
            continue;
        }
        scratch.slots.push(slot);
        if scratch.slots.len() == BATCH_ROWS {
            rank_slots(&originals, metric, query, row_of_slot, scratch)?;
        }
    }
    rank_slots(&originals, metric, query, row_of_slot, scratch)
}

fn rank_slots(
    originals: &dyn Originals,
    metric: Metric,
    query: &[f32],
    row_of_slot: &[u32],
    scratch: &mut ScanScratch,
) -> Result<(), VectorsError> {
    scratch.ranks.resize(scratch.slots.len(), 0.0);
    originals.rank_rows(metric, query, &scratch.slots, &mut scratch.ranks)?;
    for (&slot, &rank) in scratch.slots.iter().zip(&scratch.ranks) {
        scratch.top.push(row_of_slot[slot as usize], rank);
    }
    scratch.slots.clear();
    Ok(())
}

fn multi_column(
    column: &Column,
    query: &[Vec<f32>],
    allowed: Allowed<'_>,
    scratch: &mut ScanScratch,
) -> Result<(), VectorsError> {
    let Some((tokens, metric)) = column.originals() else {
        return Ok(());
    };
    for (slot, &row) in (0..).zip(column.rows_with()) {
        if allowed.contains(row) {
            let rank = max_sim(&tokens, metric, query, column.range_of(slot), scratch)?;
            scratch.top.push(row, rank);
        }
    }
    Ok(())
}

/// Max-sim of late interaction (Khattab & Zaharia 2020): the sum over query vectors of the best rank among the row's
/// vectors `tokens`. For distances the best rank is the smallest distance with its sign changed.
pub(crate) fn max_sim(
    originals: &dyn Originals,
    metric: Metric,
    query: &[Vec<f32>],
    tokens: Range<u32>,
    scratch: &mut ScanScratch,
) -> Result<f32, VectorsError> {
    scratch.slots.clear();
    scratch.slots.extend(tokens);
    scratch.ranks.resize(scratch.slots.len(), 0.0);
    scratch.best.clear();
    for vector in query {
        originals.rank_rows(metric, vector, &scratch.slots, &mut scratch.ranks)?;
        let best = scratch
            .ranks
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        scratch.best.push(best);
    }
    Ok(scratch.best.iter().sum())
}

/// Scans rows of stored multi-vectors; `tokens_of` tells each row's vectors.
pub(crate) fn multi_rows<'s>(
    tokens: &DenseValues,
    query: &[Vec<f32>],
    limits: (usize, f32),
    rows: impl Iterator<Item = u32>,
    tokens_of: impl Fn(u32) -> Result<Range<u32>, VectorsError>,
    scratch: &'s mut ScanScratch,
) -> Result<&'s [Scored], VectorsError> {
    scratch.top.start(limits.0, limits.1);
    for row in rows {
        let range = tokens_of(row)?;
        if !range.is_empty() {
            let count = range.len() as u32;
            let rank = tokens.with_range(range, |originals| {
                max_sim(&originals, tokens.metric(), query, 0..count, scratch)
            })?;
            scratch.top.push(row, rank);
        }
    }
    Ok(scratch.top.finish())
}

/// Rows whose sparse vectors share a dimension with the query, by inner product. Rows that share none are not found.
fn sparse_column(column: &Column, query: &SparseVector, allowed: Allowed<'_>, top: &mut TopRows) {
    for (slot, &row) in (0..).zip(column.rows_with()) {
        if allowed.contains(row) {
            let (indices, values) = column.slot_sparse(slot);
            if let Some(rank) = sparse_dot(query, indices, values) {
                top.push(row, rank);
            }
        }
    }
}

/// Scans rows of stored sparse vectors; `vector_of` reads each row's.
pub(crate) fn sparse_rows<'s, 'v>(
    query: &SparseVector,
    limits: (usize, f32),
    rows: impl Iterator<Item = u32>,
    vector_of: impl Fn(u32) -> Result<(&'v [u32], &'v [f32]), VectorsError>,
    scratch: &'s mut ScanScratch,
) -> Result<&'s [Scored], VectorsError> {
    scratch.top.start(limits.0, limits.1);
    for row in rows {
        let (indices, values) = vector_of(row)?;
        if let Some(rank) = sparse_dot(query, indices, values) {
            scratch.top.push(row, rank);
        }
    }
    Ok(scratch.top.finish())
}

/// Inner product of two sparse vectors; `None` when they share no dimension.
pub(crate) fn sparse_dot(query: &SparseVector, indices: &[u32], values: &[f32]) -> Option<f32> {
    let (mut sum, mut shared) = (0.0, false);
    let mut at = 0;
    for (&index, &weight) in query.indices.iter().zip(&query.values) {
        at += indices[at..].partition_point(|&other| other < index);
        if indices.get(at) == Some(&index) {
            sum += weight * values[at];
            shared = true;
            at += 1;
        }
    }
    shared.then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::VectorSchema;

    fn multi_column_of(metric: Metric, points: &[Vec<Vec<f32>>]) -> Column {
        let mut column = Column::new(&VectorSchema::Dense {
            dimensions: 2,
            metric,
            datatype: Default::default(),
            multi: true,
            index: Default::default(),
            hnsw: Default::default(),
            quantization: Default::default(),
            on_disk: false,
        });
        for point in points {
            column.push(Some(&Vector::Multi(point.clone())));
            column.push(None);
        }
        column
    }

    #[test]
    fn max_sim_is_the_sum_of_the_best_matches() {
        let points = [vec![vec![1.0, 0.0], vec![0.0, 3.0]], vec![vec![2.0, 2.0]]];
        let query = Vector::Multi(vec![vec![1.0, 0.0], vec![0.0, 1.0]]);
        let mut scratch = ScanScratch::default();
        let column_of_dots = multi_column_of(Metric::Dot, &points);
        let found = column(
            &column_of_dots,
            &query,
            9,
            f32::NEG_INFINITY,
            Allowed::default(),
            &mut scratch,
        );
        // Row 0: max(1, 0) + max(0, 3) = 4. Row 2: 2 + 2 = 4. Equal ranks go to the lower row.
        assert_eq!(
            found.expect("in memory"),
            [Scored { row: 0, rank: 4.0 }, Scored { row: 2, rank: 4.0 }]
        );
        let column_of_distances = multi_column_of(Metric::Manhattan, &points);
        let found = column(
            &column_of_distances,
            &query,
            1,
            f32::NEG_INFINITY,
            Allowed::default(),
            &mut scratch,
        );
        // Row 0: -min(0, 4) - min(2, 2) = -2. Row 2: -3 - 3 = -6.
        assert_eq!(found.expect("in memory"), [Scored { row: 0, rank: -2.0 }]);
    }

    #[test]
    fn sparse_products_need_a_shared_dimension() {
        let query = SparseVector {
            indices: vec![1, 5, 9],
            values: vec![2.0, -1.0, 4.0],
        };
        assert_eq!(sparse_dot(&query, &[5, 9], &[3.0, 0.5]), Some(-1.0));
        assert_eq!(sparse_dot(&query, &[5, 9], &[4.0, 1.0]), Some(0.0));
        assert_eq!(sparse_dot(&query, &[0, 2, 10], &[1.0; 3]), None);
        assert_eq!(sparse_dot(&query, &[], &[]), None);
    }
}
