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
