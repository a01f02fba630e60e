//! Inverted lists: for each key (a term, a dimension) the rows that have it and a value for each, in blocks of
//! [`BLOCK_ROWS`], and the best rows of a weighted sum of lists.
//!
//! Shared by `text` and `sparse`. A list in memory grows row by row; a sealed one is read in place from three sections:
//!
//! ```text
//!  LIST  per key and one more    +0 first block u32   +4 rows u32                            (8 bytes; the last: end of all)
//!  BLKS  per block               +0 offset in DATA u64       +8 offset of extra data u64
//!                                +16 last row u32            +20 bound high u32      +24 bound low u32
//!                                +28 bits per gap u8         +29 bits per value u8   +30 rows u16             (32 bytes)
//!  DATA  per block               gaps, packed; values, packed; 8 bytes of zeros behind the last block
//! ```
//!
//! A gap is a row less the row before it less 1; before the first row of a list stands −1. Packed numbers follow one
//! another without spaces, low bits first. What values and bounds mean is up to the user of the lists.
//!
//! Invariants:
//! 1. Rows of a list rise strictly; every block but the last of a list is full.
//! 2. No contribution of a block exceeds its bound, as the same floating-point numbers that are summed.
//! 3. Bytes that make no sense are an error, never a panic: counts and widths are checked where they are read.

mod list;
mod live;
mod packing;
mod sealed;
mod top;

pub(crate) use list::{BlockBuffer, MemoryList, PostingBlocks};
pub(crate) use live::LiveCounts;
pub(crate) use sealed::{SealedList, SealedLists, SealedListsWriter, u32_at};
pub(crate) use top::{Search, top_rows};

/// Rows per block: the number at which decoding in one go pays and skipping still finds short stretches.
pub(crate) const BLOCK_ROWS: usize = 128;
