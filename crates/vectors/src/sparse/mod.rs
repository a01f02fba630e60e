//! Sparse vectors of one segment, found by inner product: an inverted list for each dimension.
//!
//! [`SparseIndex`] grows row by row ([`SparseIndex::insert`]) and is then written as sections and read in place. Results
//! are exact for the stored weights, which are f32 unless asked otherwise; rows that share no dimension with the query
//! are not found. Deletes and filters count within the search.
//!
//! ```text
//!  SPMT  magic "spi1", rows u32, rows with a vector u32, dimensions u32, weights u32      (20 bytes)
//!  SPDM  dimensions in use, rising, u32 each
//!  SPLS, SPBL, SPDT  the lists of the dimensions in this order: LIST, BLKS and DATA of the module `postings`
//!  SPHS  one bit for each row, row 0 in the lowest bit of the first byte: whether it has a vector, if only an empty one
//! ```
//!
//! Values of a list: the bits of the f32; the bits of the f16; or a byte `b` for `low + (high − low) · b / 255`. High and
//! low bound of a block: the f32 bits of its largest and smallest value, as stored.

mod index;
#[cfg(test)]
mod tests;
mod weights;

pub(crate) use index::inverse_document_frequency;
pub use index::{SparseIndex, SparseStatistics};
pub use weights::Weights;
