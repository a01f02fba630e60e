//! Exact search: every allowed row is ranked on its original.

use crate::error::VectorsError;
use crate::index::select::TopK;
use crate::quantize::Originals;
use crate::rows::{Allowed, Scored};
use crate::schema::Metric;

/// Rows ranked per call: their numbers and ranks stay in the first cache.
const BATCH: usize = 256;

/// Buffers of a scan, reused between queries.
#[derive(Debug, Default)]
pub struct FlatScratch {
    rows: Vec<u32>,
    ranks: Vec<f32>,
    pub(crate) top: TopK,
}

/// The best `k` allowed rows, best first.
///
/// # Errors
/// [`VectorsError::Corrupt`] when an original is damaged.
pub fn search(
    originals: &dyn Originals,
    metric: Metric,
    query: &[f32],
    k: usize,
    allowed: Allowed<'_>,
    scratch: &mut FlatScratch,
) -> Result<Vec<Scored>, VectorsError> {
    let rows = originals.rows();
    scratch.top.reset(k.min(rows as usize));
    scratch.ranks.resize(BATCH, 0.0);
    scratch.rows.clear();
    match allowed.filter {
        Some(filter) => {
            for row in filter.iter() {
                if row < rows && allowed.contains(row) {
                    offer(originals, metric, query, row, scratch)?;
                }
            }
        }
        None => {
            for row in 0..rows {
                if allowed.contains(row) {
                    offer(originals, metric, query, row, scratch)?;
                }
            }
        }
    }
    flush(originals, metric, query, scratch)?;
    Ok(scratch.top.best().to_vec())
}

fn offer(
    originals: &dyn Originals,
    metric: Metric,
    query: &[f32],
    row: u32,
    scratch: &mut FlatScratch,
) -> Result<(), VectorsError> {
    scratch.rows.push(row);
    if scratch.rows.len() == BATCH {
        flush(originals, metric, query, scratch)?;
    }
    Ok(())
}

fn flush(
    originals: &dyn Originals,
    metric: Metric,
    query: &[f32],
    scratch: &mut FlatScratch,
) -> Result<(), VectorsError> {
    let ranks = &mut scratch.ranks[..scratch.rows.len()];
    originals.rank_rows(metric, query, &scratch.rows, ranks)?;
    for (&row, &rank) in scratch.rows.iter().zip(&*ranks) {
        scratch.top.offer(row, rank);
    }
    scratch.rows.clear();
    Ok(())
}
