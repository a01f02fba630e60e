//! Compressed vectors for traversal, and the originals that re-rank what traversal found.

pub mod binary;
pub mod originals;
pub mod product;
pub mod rotation;
pub mod scalar;
pub(crate) mod store;
#[cfg(test)]
mod tests;

pub use binary::BinaryCodes;
pub use originals::{Originals, SliceOriginals, Values};
pub use product::ProductCodes;
pub use scalar::{ScalarCodes, Width};
pub use store::SectionBytes;

/// A query in the form that codes compare with. Reused between queries: nothing is allocated once it has grown.
#[derive(Debug, Default, Clone)]
pub struct PreparedQuery {
    /// The query in the space of the codes.
    pub(crate) values: Vec<f32>,
    /// A row read from the originals.
    pub(crate) original: Vec<f32>,
    /// Signed codes, padded with zeros.
    pub(crate) signed: Vec<i8>,
    /// Unsigned codes for L1, padded with zeros.
    pub(crate) unsigned: Vec<u8>,
    /// A distance is `factor * product + offset` (plus the row's own term).
    pub(crate) factor: f32,
    pub(crate) offset: f32,
    /// Half of the sum of the signed codes; only for binary codes.
    pub(crate) half_sum: f32,
}
