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
pub(crate) mod top;

use std::borrow::Cow;

use crate::error::VectorsError;
use crate::point::{Payload, PointId, Vector};
use crate::rows::AtomicRowSet;

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

    /// When the row's point ceases to exist, in milliseconds since 1970.
    fn expires_unix_ms(&self, row: u32) -> Option<u64>;

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
}
