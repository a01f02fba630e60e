//! Lists in sections: writing them once, reading them in place. Layout in the module above.

use super::packing::{PADDING_BYTES, bits_needed, pack, packed_bytes, unpack};
use super::{BLOCK_ROWS, MemoryList};
use crate::error::VectorsError;
use crate::storage::Bytes;

const LIST_BYTES: usize = 8;
const BLOCK_BYTES: usize = 32;

/// What stands in BLKS about one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRecord {
    pub(crate) data_offset: u64,
    pub(crate) extra_offset: u64,
    pub(crate) last_row: u32,
    pub(crate) bound_high: u32,
    pub(crate) bound_low: u32,
    pub(crate) gap_bits: u8,
    pub(crate) value_bits: u8,
    pub(crate) count: u16,
}

impl BlockRecord {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.data_offset.to_le_bytes());
        bytes.extend(self.extra_offset.to_le_bytes());
        bytes.extend(self.last_row.to_le_bytes());
        bytes.extend(self.bound_high.to_le_bytes());
        bytes.extend(self.bound_low.to_le_bytes());
        bytes.extend([self.gap_bits, self.value_bits]);
        bytes.extend(self.count.to_le_bytes());
    }

    fn read(bytes: &[u8; BLOCK_BYTES]) -> BlockRecord {
        BlockRecord {
            data_offset: u64_at(bytes, 0),
            extra_offset: u64_at(bytes, 8),
            last_row: u32_at(bytes, 16),
            bound_high: u32_at(bytes, 20),
            bound_low: u32_at(bytes, 24),
            gap_bits: bytes[28],
            value_bits: bytes[29],
            count: u16::from_le_bytes([bytes[30], bytes[31]]),
        }
    }
}

/// The number at `offset`, 0 behind the end.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

/// Makes the three sections, list by list in the order of keys.
#[derive(Debug, Default)]
pub(crate) struct SealedListsWriter {
    /// LIST.
    pub(crate) lists: Vec<u8>,
    /// BLKS.
    pub(crate) blocks: Vec<u8>,
    /// DATA.
    pub(crate) data: Vec<u8>,
}

impl SealedListsWriter {
    /// Appends a list. `encode` gets the values of a block and appends what is stored for each to its second argument;
    /// it returns the bits of each (`None`: as few as do) and the bounds of the stored values. `extra_offset` is asked
    /// once for each block.
    pub(crate) fn push(
        &mut self,
        list: &MemoryList,
        mut encode: impl FnMut(usize, &[u32], &mut Vec<u32>) -> (Option<u8>, (u32, u32)),
        mut extra_offset: impl FnMut(usize) -> u64,
    ) -> Result<(), VectorsError> {
        self.push_record(list.rows().len())?;
        let mut next_row = 0;
        let (mut gaps, mut stored) = (Vec::new(), Vec::new());
        for block in 0..list.bounds().len() {
            let rows = list.block_rows(block);
            gaps.clear();
            for &row in rows {
                gaps.push(row - next_row);
                next_row = row + 1;
            }
            stored.clear();
            let (value_bits, (bound_high, bound_low)) =
                encode(block, list.block_values(block), &mut stored);
            let gap_bits = bits_needed(gaps.iter().copied());
            let value_bits = value_bits.unwrap_or_else(|| bits_needed(stored.iter().copied()));
            BlockRecord {
                data_offset: self.data.len() as u64,
                extra_offset: extra_offset(block),
                last_row: next_row.saturating_sub(1),
                bound_high,
                bound_low,
                gap_bits,
                value_bits,
                count: rows.len() as u16,
            }
            .write(&mut self.blocks);
            pack(gaps.iter().copied(), gap_bits, &mut self.data);
            pack(stored.iter().copied(), value_bits, &mut self.data);
        }
        Ok(())
    }

    /// Ends the sections.
    pub(crate) fn finish(mut self) -> Result<Self, VectorsError> {
        self.push_record(0)?;
        self.data.extend([0; PADDING_BYTES]);
        Ok(self)
    }

    fn push_record(&mut self, rows: usize) -> Result<(), VectorsError> {
        let first_block = self.blocks.len() / BLOCK_BYTES;
        for (what, number) in [("posting blocks", first_block), ("postings of a key", rows)] {
            let number = u32::try_from(number).map_err(|_| VectorsError::Limit {
                what,
                limit: u64::from(u32::MAX),
                actual: number as u64,
            })?;
            self.lists.extend(number.to_le_bytes());
        }
        Ok(())
    }
}

/// Sealed lists, numbered by key.
#[derive(Debug, Clone)]
pub(crate) struct SealedLists {
    lists: Bytes,
    blocks: Bytes,
    data: Bytes,
}

impl SealedLists {
    /// Lists in these sections.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when there are not `keys` of them.
    pub(crate) fn open(
        lists: Bytes,
        blocks: Bytes,
        data: Bytes,
        keys: usize,
    ) -> Result<Self, VectorsError> {
        if lists.len() / LIST_BYTES != keys + 1 {
            return Err(lists.damaged(format!(
                "{} bytes are not the lists of {keys} keys",
                lists.len()
            )));
        }
        Ok(SealedLists {
            lists,
            blocks,
            data,
        })
    }

    /// The list of a key.
    pub(crate) fn list(&self, key: usize) -> Result<SealedList<'_>, VectorsError> {
        let start = key * LIST_BYTES;
        let record = self.lists.checked(start..start + 2 * LIST_BYTES)?;
        let (first, end) = (
            u32_at(record, 0) as usize,
            u32_at(record, LIST_BYTES) as usize,
        );
        let rows = u32_at(record, 4) as usize;
        if rows == 0 || end.checked_sub(first) != Some(rows.div_ceil(BLOCK_ROWS)) {
            return Err(self.lists.damaged(format!(
                "list {key} has {rows} rows in blocks {first} to {end}"
            )));
        }
        let records = self
            .blocks
            .checked(first * BLOCK_BYTES..end * BLOCK_BYTES)?;
        Ok(SealedList {
            records: records.as_chunks().0,
            rows,
            lists: self,
        })
    }

    /// The three sections: LIST, BLKS, DATA.
    pub(crate) fn sections(&self) -> [&Bytes; 3] {
        [&self.lists, &self.blocks, &self.data]
    }
}

/// One sealed list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SealedList<'a> {
    records: &'a [[u8; BLOCK_BYTES]],
    rows: usize,
    lists: &'a SealedLists,
}

impl SealedList<'_> {
    /// How many blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.records.len()
    }

    /// How many rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// What stands in BLKS about a block.
    pub(crate) fn record(&self, block: usize) -> BlockRecord {
        BlockRecord::read(&self.records[block])
    }

    /// The last row of a block.
    #[inline]
    pub(crate) fn last_row(&self, block: usize) -> u32 {
        u32_at(&self.records[block], 16)
    }

    /// Reads rows and stored values of a block; returns how many.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the bytes make no sense.
    pub(crate) fn read(
        &self,
        block: usize,
        rows: &mut [u32; BLOCK_ROWS],
        values: &mut [u32; BLOCK_ROWS],
    ) -> Result<usize, VectorsError> {
        let record = self.record(block);
        let count = usize::from(record.count);
        let expected = (self.rows - block * BLOCK_ROWS).min(BLOCK_ROWS);
        let start = usize::try_from(record.data_offset).unwrap_or(usize::MAX);
        let gap_bytes = packed_bytes(count, record.gap_bits);
        let end = start
            .saturating_add(gap_bytes)
            .saturating_add(packed_bytes(count, record.value_bits))
            .saturating_add(PADDING_BYTES);
        let packed = self.lists.data.checked(start..end)?;
        if count != expected
            || !unpack(packed, record.gap_bits, &mut rows[..count])
            || !unpack(
                &packed[gap_bytes..],
                record.value_bits,
                &mut values[..count],
            )
        {
            return Err(self.damaged(block));
        }
        let mut next = match block {
            0 => 0,
            _ => u64::from(self.last_row(block - 1)) + 1,
        };
        for row in &mut rows[..count] {
            let at = next + u64::from(*row);
            *row = at as u32;
            next = at + 1;
        }
        // Sums only rise: ending at the last row means that none of them left the 32 bits.
        if next != u64::from(record.last_row) + 1 {
            return Err(self.damaged(block));
        }
        Ok(count)
    }

    fn damaged(&self, block: usize) -> VectorsError {
        self.lists.blocks.damaged(format!(
            "block {block} of a list and its data don't fit together"
        ))
    }
}
