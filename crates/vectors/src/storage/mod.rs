//! What lies on disk and how it gets there: the seam to the file system, containers, the write-ahead log, the manifest
//! and snapshots. Byte layouts are drawn in each module and collected in `docs/formats/vectors.md`.
//!
//! Invariants:
//!  1. A change is acknowledged only after the log record that holds it was synced.
//!  2. Every file but the log is written once, synced, and never changed; the manifest is replaced as a whole. What the
//!     manifest names was durable before the manifest named it.
//!  3. Every byte read is covered by a CRC32C that was compared before the byte was used. A difference is an error that
//!     names the file and the part of it, never a different answer.
//!  4. After a failed write or sync a file refuses further writes: what reached the disk is not guessed.
//!
//! All numbers are little-endian; sections and typed views are read in place, so big-endian machines are not supported.

pub mod bytes;
pub mod container;
pub mod disk;
pub mod log;
pub mod manifest;
pub mod snapshot;

pub use bytes::{Bytes, PositionedBytes};
pub use container::{Container, ContainerKind, ContainerWriter, SectionId};
pub use disk::{Disk, DiskFile, DiskReader, RealDisk};
pub use log::Log;
pub use manifest::Manifest;

const _: () = assert!(
    cfg!(target_endian = "little"),
    "files are read in place and hold little-endian numbers"
);

/// Sections of an index, ready to be written to a container.
pub type Sections<'a> = Vec<(SectionId, std::borrow::Cow<'a, [u8]>)>;

/// Alignment of sections in files and of buffers in memory: a cache line, and the widest vector register.
pub const ALIGNMENT: usize = 64;
