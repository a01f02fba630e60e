//! Segments: runs of rows, growing in memory behind the write-ahead log or sealed on disk.
//!
//! A row belongs to one point at one version. A point that changes is written again, whole, into the growing segment,
//! and its old row dies. Invariants:
//!  1. Of all rows of an id in all segments at most one is live, except for the moment between the new row's birth and
//!     the old one's death: readers that meet both keep the higher version.
//!  2. Rows of a sealed segment never change; only their live bits are cleared.
//!  3. Readers visit segments from the oldest to the growing one. A row that died because of a newer one in a segment
//!     already visited would be lost otherwise.

pub(crate) mod columns;
pub(crate) mod expiry;
pub mod growing;
pub(crate) mod scan;
pub mod sealed;
pub(crate) mod top;

use std::borrow::Cow;

use crate::error::VectorsError;
use crate::index::{self, SearchParameters, flat};
use crate::payload::{FilterCache, PayloadIndexes};
use crate::point::{Payload, PointId, Vector};
use crate::rows::{Allowed, AtomicRowSet, Scored};
use crate::sparse::SparseStatistics;

/// A search for one vector, checked against the schema and in its stored form (normalised for cosine).
#[derive(Debug, Clone, Copy)]
pub struct VectorQuery<'a> {
    /// Which of the points' vectors.
    pub name: &'a str,
    /// The query: of the vector's kind; a dense query of a multi-vector stands for one of one vector.
    pub vector: &'a Vector,
    /// How to search and how many rows to find.
    pub parameters: SearchParameters,
    /// Rows that rank below are not wanted.
    pub rank_min: f32,
}

/// Buffers of searches in segments, one per thread, reused from query to query.
#[derive(Debug, Default)]
pub struct SegmentScratch {
    pub(crate) index: index::Scratch,
    pub(crate) flat: flat::FlatScratch,
    pub(crate) scan: scan::ScanScratch,
}

/// One segment as filters and queries see it, growing or sealed. Rows are `0..rows()`.
pub trait SegmentView: Sync {
    /// How many rows there are, live or not.
    fn rows(&self) -> u32;

    /// Which of them are live.
    fn live(&self) -> &AtomicRowSet;

    /// Clears the live bits of rows whose time has passed. Every read of a collection does this first.
    fn sweep_expired(&self, now_unix_ms: u64);

    /// The id of a row.
    ///
    /// # Panics
    /// For a row behind the end, here and in the other methods that take a row.
    fn id(&self, row: u32) -> PointId;

    /// The version of a row: the sequence number of the write that made it.
    fn version(&self, row: u32) -> u64;

    /// The row of an id, live or not; the newest one when a growing segment holds several.
    fn row_of(&self, id: PointId) -> Option<u32>;

    /// Calls `visit` for the newest row of each id from `first` on, in the order of ids, live or not, until it says false.
    ///
    /// # Errors
    /// As `visit` says.
    fn rows_from(
        &self,
        first: Option<PointId>,
        visit: &mut dyn FnMut(u32) -> Result<bool, VectorsError>,
    ) -> Result<(), VectorsError>;

    /// When the row's point ceases to exist, in milliseconds since 1970.
    fn expires_unix_ms(&self, row: u32) -> Option<u64>;

    /// Indexes of payload fields.
    fn payload_indexes(&self) -> &PayloadIndexes {
        PayloadIndexes::none()
    }

    /// Live rows with the sparse vector `name`, and how many of them have each of `dimensions`.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when stored bytes are damaged.
    fn sparse_statistics(
        &self,
        name: &str,
        dimensions: &[u32],
    ) -> Result<SparseStatistics, VectorsError> {
        sparse_statistics_by_scan(self, name, dimensions)
    }

    /// Rows of recent filters; for segments whose rows do not change.
    fn filter_cache(&self) -> Option<&FilterCache> {
        None
    }

    /// The payload of a row.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the stored bytes are damaged.
    fn payload(&self, row: u32) -> Result<Cow<'_, Payload>, VectorsError>;

    /// Whether the row's point has the vector called `name`.
    fn has_vector(&self, name: &str, row: u32) -> bool;

    /// The row's vector called `name`, as it is stored; `None` when the point has none or the name is unknown.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the stored bytes are damaged.
    fn vector(&self, name: &str, row: u32) -> Result<Option<Vector>, VectorsError>;

    /// Whether an index of the vectors called `name` compares few allowed rows on its codes.
    fn scans_on_codes(&self, _name: &str) -> bool {
        false
    }

    /// Appends the best `query.parameters.k` of the allowed rows that have the vector to `found`, best first. `allowed`
    /// says which rows are live as well.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when stored bytes are damaged, [`VectorsError::Invalid`] for a query that does not fit.
    fn search(
        &self,
        query: &VectorQuery<'_>,
        allowed: Allowed<'_>,
        scratch: &mut SegmentScratch,
        found: &mut Vec<Scored>,
    ) -> Result<(), VectorsError>;
}

/// [`SegmentView::sparse_statistics`] by looking at every live row.
pub(crate) fn sparse_statistics_by_scan<V: SegmentView + ?Sized>(
    view: &V,
    name: &str,
    dimensions: &[u32],
) -> Result<SparseStatistics, VectorsError> {
    let mut statistics = SparseStatistics {
        rows: 0,
        frequencies: vec![0; dimensions.len()],
    };
    for row in view.live().snapshot().iter() {
        if let Some(Vector::Sparse(vector)) = view.vector(name, row)? {
            statistics.rows += 1;
            for (dimension, count) in dimensions.iter().zip(&mut statistics.frequencies) {
                *count += u64::from(vector.indices.binary_search(dimension).is_ok());
            }
        }
    }
    Ok(statistics)
}
