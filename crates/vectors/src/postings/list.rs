//! A list as the search for the best rows sees it, and the list in memory.

use super::BLOCK_ROWS;
use crate::error::VectorsError;

/// The rows of one block and what each contributes to the sum.
#[derive(Debug)]
pub(crate) struct BlockBuffer {
    /// Rising strictly; `count` of them.
    pub(crate) rows: [u32; BLOCK_ROWS],
    /// Finite; one for each row.
    pub(crate) scores: [f32; BLOCK_ROWS],
    /// 1 to [`BLOCK_ROWS`].
    pub(crate) count: usize,
}

impl Default for BlockBuffer {
    fn default() -> Self {
        BlockBuffer {
            rows: [0; BLOCK_ROWS],
            scores: [0.0; BLOCK_ROWS],
            count: 0,
        }
    }
}

/// A list whose values are weighted for one query.
pub(crate) trait PostingBlocks {
    /// How many blocks.
    fn blocks(&self) -> usize;

    /// How many rows in all.
    fn rows(&self) -> usize;

    /// The last row of a block.
    fn last_row(&self, block: usize) -> u32;

    /// No row of the block contributes more.
    fn bound(&self, block: usize) -> f32;

    /// Reads a block.
    fn read(&self, block: usize, buffer: &mut BlockBuffer) -> Result<(), VectorsError>;
}

/// A list that grows. Values and bounds mean what its user says.
#[derive(Debug, Default)]
pub(crate) struct MemoryList {
    rows: Vec<u32>,
    values: Vec<u32>,
    /// High and low of each block.
    bounds: Vec<(u32, u32)>,
}

impl MemoryList {
    /// Appends a row behind all others. `widen` gets the bounds of the row's block, `None` for its first row, and
    /// returns those that include the row.
    pub(crate) fn push(
        &mut self,
        row: u32,
        value: u32,
        widen: impl FnOnce(Option<(u32, u32)>) -> (u32, u32),
    ) {
        assert!(
            self.rows.last().is_none_or(|&last| last < row),
            "rows of a list rise"
        );
        if self.rows.len().is_multiple_of(BLOCK_ROWS) {
            self.bounds.push(widen(None));
        } else if let Some(bounds) = self.bounds.last_mut() {
            *bounds = widen(Some(*bounds));
        }
        self.rows.push(row);
        self.values.push(value);
    }

    /// All rows.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The rows of a block.
    pub(crate) fn block_rows(&self, block: usize) -> &[u32] {
        &self.rows[self.block_range(block)]
    }

    /// The values of a block.
    pub(crate) fn block_values(&self, block: usize) -> &[u32] {
        &self.values[self.block_range(block)]
    }

    /// High and low of each block.
    pub(crate) fn bounds(&self) -> &[(u32, u32)] {
        &self.bounds
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        (self.rows.capacity() + self.values.capacity()) * 4 + self.bounds.capacity() * 8
    }

    fn block_range(&self, block: usize) -> std::ops::Range<usize> {
        let start = (block * BLOCK_ROWS).min(self.rows.len());
        start..(start + BLOCK_ROWS).min(self.rows.len())
    }
}
