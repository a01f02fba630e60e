//! Compressed vectors for traversal, and the originals that re-rank what traversal found.

pub mod originals;

pub use originals::{Originals, SliceOriginals, Values};
