//! The index of one vector column of one sealed segment: finds the rows nearest to a query.
//!
//! Called by segments; everything here works on rows and ranks (larger is better) and knows neither ids nor files. An index
//! serves itself as numbered sections of bytes and opens from them. Invariants:
//!  1. A search returns only rows that `Allowed` contains, best first, without duplicates, whatever the index.
//!  2. Bytes that were damaged after their checks make results worse or fail with an error; they never panic.

pub mod flat;
pub mod parameters;
pub mod select;

use std::borrow::Cow;
use std::sync::Arc;

pub use parameters::{BuildControl, IndexParameters, SearchParameters};

use crate::error::VectorsError;
use crate::quantize::Originals;
use crate::rows::{Allowed, Scored};
use crate::schema::{IndexKind, Metric};

/// Names a run of bytes of an index inside its container. Stable: written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionId(pub u16);

/// What is where; the first section of every index.
pub const SECTION_HEADER: SectionId = SectionId(0);

/// Bytes of a section, in memory or mapped. They must start on a multiple of 64 bytes.
pub type SectionBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A graph to start from: the largest one among the segments being merged.
#[derive(Clone, Copy)]
pub struct Previous<'a> {
    /// The old index.
    pub index: &'a VectorIndex,
    /// The new row of each old row; `u32::MAX` where the row died.
    pub new_rows: &'a [u32],
}

/// The index of one vector column of one sealed segment.
#[derive(Debug)]
pub struct VectorIndex {
    metric: Metric,
    rows: u32,
    dimensions: usize,
    kind: IndexKind,
}

/// Buffers of searches, one per thread. Nothing is allocated per query once they have grown.
#[derive(Debug, Default)]
pub struct Scratch {
    flat: flat::FlatScratch,
}

impl VectorIndex {
    /// Builds the index of `originals`.
    ///
    /// # Errors
    /// [`VectorsError::Cancelled`] when `control` says so, [`VectorsError::Corrupt`] when originals are damaged,
    /// [`VectorsError::Invalid`] for parameters out of range, [`VectorsError::OverBudget`] when memory is refused.
    pub fn build(
        originals: &dyn Originals,
        parameters: &IndexParameters,
        previous: Option<Previous<'_>>,
        control: &BuildControl,
    ) -> Result<VectorIndex, VectorsError> {
        let _ = previous;
        control.advance(originals.rows())?;
        Ok(VectorIndex {
            metric: parameters.metric,
            rows: originals.rows(),
            dimensions: originals.dimensions(),
            kind: IndexKind::Flat,
        })
    }

    /// The index as bytes, to be written to a container and given back to [`VectorIndex::open`].
    pub fn sections(&self) -> Vec<(SectionId, Cow<'_, [u8]>)> {
        Vec::new()
    }

    /// Opens an index from the sections it was written as.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when sections are missing or do not fit together; the caller names the file.
    pub fn open(
        metric: Metric,
        dimensions: usize,
        rows: u32,
        sections: &dyn Fn(SectionId) -> Option<SectionBytes>,
    ) -> Result<VectorIndex, VectorsError> {
        let _ = sections;
        Ok(VectorIndex {
            metric,
            rows,
            dimensions,
            kind: IndexKind::Flat,
        })
    }

    /// The best allowed rows, best first: at most `parameters.k`, fewer only when fewer are allowed.
    /// Ranks are exact unless `rescore` is off.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the query has the wrong size or parameters are out of range, [`VectorsError::Corrupt`]
    /// when an original is damaged.
    pub fn search(
        &self,
        query: &[f32],
        parameters: &SearchParameters,
        allowed: Allowed<'_>,
        originals: &dyn Originals,
        scratch: &mut Scratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        if query.len() != self.dimensions || originals.dimensions() != self.dimensions {
            return Err(VectorsError::invalid(
                "query",
                format!(
                    "expected {} dimensions, found {}",
                    self.dimensions,
                    query.len()
                ),
            ));
        }
        flat::search(
            originals,
            self.metric,
            query,
            parameters.k,
            allowed,
            &mut scratch.flat,
        )
    }

    /// Rows the index covers.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Which kind it is; never [`IndexKind::Auto`].
    pub fn kind(&self) -> IndexKind {
        self.kind
    }

    /// What the index holds in memory, in bytes; mapped sections not included.
    pub fn bytes_in_memory(&self) -> u64 {
        0
    }
}
