//! Bounds of a collection. Each is met with [`VectorsError::Limit`], naming what was asked and what is allowed.

use crate::error::VectorsError;

/// Points, or ids, in one batch. A batch is applied under the write lock; at 384 dimensions this many take well below a
/// second.
pub const BATCH_POINTS_MAX: usize = 100_000;
/// Operations in one call of `batch`.
pub const BATCH_OPERATIONS_MAX: usize = 10_000;
/// Bytes of one batch, as the log stores them. Twice this can be in memory while it is written.
pub const BATCH_BYTES_MAX: usize = 256 << 20;
/// Bytes of one payload as JSON text.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// Levels of arrays and objects in a payload; deeper ones would recurse too far when they are read again.
pub const PAYLOAD_DEPTH_MAX: usize = 64;
/// Values per dense vector.
pub const DIMENSIONS_MAX: u32 = 65_535;
/// Non-zero entries of one sparse vector.
pub const SPARSE_ENTRIES_MAX: usize = 100_000;
/// Vectors of one multi-vector.
pub const MULTI_VECTORS_MAX: usize = 4_096;
/// Vector names of a schema.
pub const VECTOR_NAMES_MAX: usize = 256;
/// Bytes of a collection's or vector's name.
pub const NAME_BYTES_MAX: usize = 255;
/// Results of one search or scroll, its offset included. Results are held in memory.
pub const RESULTS_MAX: usize = 1_000_000;
/// Distinct values a facet returns.
pub const FACET_VALUES_MAX: usize = 100_000;
/// Points changed by one hold of the write lock when a filter chose them.
pub(crate) const CHUNK_POINTS: usize = 1_000;

/// [`VectorsError::Limit`] when `actual` is more than `limit`.
pub(crate) fn check(what: &'static str, actual: usize, limit: usize) -> Result<(), VectorsError> {
    if actual > limit {
        return Err(VectorsError::Limit {
            what,
            limit: limit as u64,
            actual: actual as u64,
        });
    }
    Ok(())
}
