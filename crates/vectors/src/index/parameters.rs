//! What an index is built with, and what a search may choose.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::error::VectorsError;
use crate::schema::{HnswParameters, IndexKind, Metric, Quantization};

/// How the index of one vector column of one segment is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexParameters {
    /// How vectors are compared. Cosine expects normalised originals and normalised queries.
    pub metric: Metric,
    /// Which index.
    pub kind: IndexKind,
    /// Parameters of the graph, when there is one.
    pub hnsw: HnswParameters,
    /// Codes for traversal.
    pub quantization: Quantization,
    /// Threads that build; at least 1 is used. One thread builds the same bytes from the same input every time.
    pub threads: usize,
    /// Seed of the insertion order and of rotations.
    pub seed: u64,
}

impl IndexParameters {
    /// Bytes of memory that building an index of `rows` vectors takes at most, about: codes, links while they grow and once
    /// more as they are kept, and tables by row. Vectors themselves are read where they are.
    pub fn build_bytes(&self, rows: u64, dimensions: u32) -> u64 {
        let dimensions = u64::from(dimensions);
        // Codes are padded to cache lines. Coarse codes are made while the finer ones that a graph is built on are there.
        let codes = dimensions.next_multiple_of(64)
            + match self.quantization {
                Quantization::Binary => dimensions.div_ceil(8).next_multiple_of(64),
                Quantization::Product {
                    dimensions_per_code,
                } => dimensions.div_ceil(u64::from(dimensions_per_code).max(1)),
                _ => 0,
            };
        let links = 2 * 4 * 2 * u64::from(self.hnsw.m);
        match self.kind {
            IndexKind::Flat => 0,
            IndexKind::Auto if rows < u64::from(super::GRAPH_FROM_ROWS) => 0,
            IndexKind::Auto | IndexKind::Hnsw => rows * (codes + links + TABLE_ROW_BYTES),
            IndexKind::Ivf => rows * (2 * codes + TABLE_ROW_BYTES),
        }
    }
}

/// Bytes of a row's places in the order of insertion and in marks of what was visited.
const TABLE_ROW_BYTES: u64 = 24;

/// What one search may choose. [`SearchParameters::of`] leaves everything else to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SearchParameters {
    /// How many results.
    pub k: usize,
    /// Size of the list of candidates; larger finds more and takes longer. `None` is the engine's choice.
    pub ef: Option<usize>,
    /// Rank every allowed row on its original.
    pub exact: bool,
    /// Whether candidates are ranked again on originals; `None` does so whenever codes are approximate.
    pub rescore: Option<bool>,
    /// Candidates ranked again per result, at least 1.0; `None` is the default of the codes.
    pub oversampling: Option<f32>,
    /// Choose `ef` by the recall measured on this segment when it was built, 0 to 1. An explicit `ef` wins.
    pub target_recall: Option<f32>,
}

impl SearchParameters {
    /// The best `k` with everything else chosen by the engine.
    pub fn of(k: usize) -> Self {
        SearchParameters {
            k,
            ..Default::default()
        }
    }
}

/// Watches a build from outside: how far it is, and whether it should stop.
#[derive(Debug, Default)]
pub struct BuildControl {
    done: AtomicU32,
    cancelled: AtomicBool,
}

impl BuildControl {
    /// Rows inserted so far.
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }

    /// Asks the build to stop; it ends with [`VectorsError::Cancelled`] within some milliseconds.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Counts `rows` more and fails when the build was cancelled.
    pub(crate) fn advance(&self, rows: u32) -> Result<(), VectorsError> {
        self.done.fetch_add(rows, Ordering::Relaxed);
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(VectorsError::Cancelled);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::VectorIndex;
    use crate::quantize::{SliceOriginals, Values};

    #[test]
    fn what_a_built_index_holds_was_foreseen() {
        const ROWS: u32 = 2_500;
        for dimensions in [3, 64, 300] {
            let values: Vec<f32> = (0..ROWS * dimensions)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e7)
                .collect();
            let originals = SliceOriginals::new(dimensions as usize, Values::Float32(&values));
            for kind in [IndexKind::Hnsw, IndexKind::Ivf] {
                for quantization in [
                    Quantization::None,
                    Quantization::Auto,
                    Quantization::Binary,
                    Quantization::Int8,
                ] {
                    let parameters = IndexParameters {
                        metric: Metric::Dot,
                        kind,
                        hnsw: HnswParameters {
                            ef_construct: 20,
                            ..HnswParameters::default()
                        },
                        quantization,
                        threads: 1,
                        seed: 0,
                    };
                    let control = BuildControl::default();
                    let index = VectorIndex::build(&originals, &parameters, None, &control);
                    let held = index.expect("built").bytes_in_memory();
                    let foreseen = parameters.build_bytes(ROWS.into(), dimensions);
                    assert!(held <= foreseen, "{held} > {foreseen}: {parameters:?}");
                }
            }
        }
    }
}
