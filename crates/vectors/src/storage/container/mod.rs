//! Containers: files of named sections, written once from start to end and read in place.
//!
//! ```text
//! offset 0   header, 64 bytes
//!            ┌──────────────┬───────────┬──────────┬──────────────┬──────────┐
//!            │ "fxvector" 8 │ version 4 │ kind 4   │ zeros 44     │ crc 4    │   crc of the 60 bytes before it
//!            └──────────────┴───────────┴──────────┴──────────────┴──────────┘
//!            section 0, zeros up to a multiple of 64
//!            (its block checksums, 4 bytes each, zeros up to a multiple of 64: only for a section in blocks)
//!            section 1, …
//!            table, one entry of 32 bytes for each section in the order of their offsets
//!            ┌────────┬──────────┬──────────┬──────────┬────────────┬───────────────┐
//!            │ name 4 │ number 4 │ offset 8 │ length 8 │ checksum 4 │ block bytes 4 │
//!            └────────┴──────────┴──────────┴──────────┴────────────┴───────────────┘
//! end - 64   trailer, 64 bytes
//!            ┌──────────────┬────────────────┬─────────┬─────────────┬───────────────┬──────────┬───────┐
//!            │ "fxvecend" 8 │ table offset 8 │ count 4 │ table crc 4 │ file length 8 │ zeros 28 │ crc 4 │
//!            └──────────────┴────────────────┴─────────┴─────────────┴───────────────┴──────────┴───────┘
//! ```
//! The table stands at the end because sections are streamed and files only ever grow. All checksums are CRC32C
//! (Castagnoli polynomial, RFC 3720). `block bytes` 0: `checksum` is that of the section's bytes, compared when the
//! section is asked for. Otherwise it is 16,384, every 16,384 bytes of the section have their own checksum in the list
//! behind the section (rounded up to a multiple of 64), compared when first touched, and `checksum` is that of the list.
//! Padding is zero, and [`Container::verify_all`] says so when it is not: every byte of the file is accounted for.

mod layout;
mod reader;
mod writer;

use std::fmt;

pub use layout::{SECTIONS_MAX, VERSION};
pub use reader::Container;
pub use writer::ContainerWriter;

/// What a container holds: four ASCII letters, so that a dump of the file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContainerKind(pub [u8; 4]);

impl ContainerKind {
    /// Ids, versions, vectors and payloads of a segment's rows.
    pub const ROWS: ContainerKind = ContainerKind(*b"rows");
    /// The index of one vector of a segment.
    pub const VECTOR_INDEX: ContainerKind = ContainerKind(*b"vidx");
    /// Payload indexes of a segment.
    pub const PAYLOAD_INDEX: ContainerKind = ContainerKind(*b"pidx");
    /// A sparse index of a segment.
    pub const SPARSE_INDEX: ContainerKind = ContainerKind(*b"sidx");
    /// A full-text index of a segment.
    pub const TEXT_INDEX: ContainerKind = ContainerKind(*b"tidx");
    /// Which rows of a segment are no longer live.
    pub const TOMBSTONES: ContainerKind = ContainerKind(*b"tomb");
}

impl fmt::Display for ContainerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

/// Names a section of a container: four ASCII letters and a number for sections of which there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionId {
    /// What it holds.
    pub name: [u8; 4],
    /// Which one of them.
    pub number: u32,
}

impl SectionId {
    /// Section `name`, `number`.
    pub const fn new(name: &[u8; 4], number: u32) -> Self {
        SectionId {
            name: *name,
            number,
        }
    }
}

impl fmt::Display for SectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.name.escape_ascii(), self.number)
    }
}

#[cfg(test)]
mod tests;
