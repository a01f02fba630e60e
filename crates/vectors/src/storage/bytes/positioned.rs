//! Bytes of a file that are read where they are asked for, into memory of the caller, instead of being mapped: what a search
//! reads does not stay in the process. Checksums are compared block by block as in [`Bytes`], and each block once for both.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use super::{BLOCK_BYTES, BlockChecks, Bytes};
use crate::error::VectorsError;
use crate::storage::disk::DiskReader;

/// Blocks read together to be compared: 128 KiB, enough for a disk to be busy with.
const BLOCKS_AT_ONCE: usize = 8;

thread_local! {
    /// Blocks on their way to be compared.
    static BLOCKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A range of a file, read by position.
#[derive(Debug)]
pub struct PositionedBytes {
    file: Box<dyn DiskReader>,
    /// The same range, mapped: for its place, its checks and its name. Its bytes are not touched.
    bytes: Bytes,
}

impl PositionedBytes {
    /// The bytes that `bytes` maps, read from `file`, which is the same file.
    pub fn new(file: Box<dyn DiskReader>, bytes: &Bytes) -> Self {
        PositionedBytes {
            file,
            bytes: bytes.clone(),
        }
    }

    /// Fills `buffer` with the bytes from `start` on, each of them checked.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] naming file, section and block when a checksum differs, or when the range is not inside;
    /// or as the disk says.
    pub fn read(&self, start: usize, buffer: &mut [u8]) -> Result<(), VectorsError> {
        self.read_pieces(&[start as u64], buffer.len(), buffer)
    }

    /// Fills `buffer` with one piece of `length` bytes for each of `starts`, in their order. What is not in memory of the
    /// system is read at the same time.
    ///
    /// # Errors
    /// As [`PositionedBytes::read`].
    ///
    /// # Panics
    /// When `buffer` has another size than the pieces.
    pub fn read_pieces(
        &self,
        starts: &[u64],
        length: usize,
        buffer: &mut [u8],
    ) -> Result<(), VectorsError> {
        let offset = self.bytes.start as u64;
        let mut places = [0u64; 64];
        if length == 0 {
            return Ok(());
        }
        for (starts, buffer) in starts.chunks(64).zip(buffer.chunks_mut(64 * length)) {
            for (place, &start) in places.iter_mut().zip(starts) {
                let inside = start
                    .checked_add(length as u64)
                    .is_some_and(|end| end <= self.bytes.length as u64);
                if !inside {
                    return Err(self.bytes.damaged(format!(
                        "{length} bytes from {start} on lie outside its {}",
                        self.bytes.length
                    )));
                }
                *place = offset + start;
            }
            let places = &places[..starts.len()];
            if let Some(checks) = &self.bytes.checks
                && checks.left.load(Ordering::Acquire) != 0
            {
                self.compare(checks, places, length)?;
            }
            self.read_file(places, length, buffer)?;
        }
        Ok(())
    }

    /// Reads pieces whose places are counted in the source, which begins no later than its file.
    fn read_file(
        &self,
        places: &[u64],
        length: usize,
        buffer: &mut [u8],
    ) -> Result<(), VectorsError> {
        let before = self.bytes.origin.file_start as u64;
        let mut offsets = [0u64; 64];
        for (offset, place) in offsets.iter_mut().zip(places) {
            *offset = place - before;
        }
        self.file
            .read_pieces(&offsets[..places.len()], length, buffer)
    }

    /// Compares the blocks that the pieces touch and that were not compared yet.
    fn compare(
        &self,
        checks: &BlockChecks,
        places: &[u64],
        length: usize,
    ) -> Result<(), VectorsError> {
        let mut waiting = [0usize; BLOCKS_AT_ONCE];
        let mut count = 0;
        for &place in places {
            for block in checks.blocks(place as usize, place as usize + length) {
                if checks.was_compared(block) || waiting[..count].contains(&block) {
                    continue;
                }
                waiting[count] = block;
                count += 1;
                if count == BLOCKS_AT_ONCE {
                    self.compare_blocks(checks, &waiting)?;
                    count = 0;
                }
            }
        }
        self.compare_blocks(checks, &waiting[..count])
    }

    #[cold]
    fn compare_blocks(&self, checks: &BlockChecks, blocks: &[usize]) -> Result<(), VectorsError> {
        BLOCKS.with_borrow_mut(|buffer| {
            buffer.resize(BLOCKS_AT_ONCE * BLOCK_BYTES, 0);
            // Whole blocks are read together; the last one of a section may be shorter.
            let mut whole = [0u64; BLOCKS_AT_ONCE];
            let mut count = 0;
            for &block in blocks {
                let range = checks.range_of(block);
                if range.len() == BLOCK_BYTES {
                    whole[count] = range.start as u64;
                    count += 1;
                    continue;
                }
                let part = &mut buffer[..range.len()];
                self.read_file(&[range.start as u64], range.len(), part)?;
                self.compare_one(checks, block, part)?;
            }
            let buffer = &mut buffer[..count * BLOCK_BYTES];
            self.read_file(&whole[..count], BLOCK_BYTES, buffer)?;
            for (&start, contents) in whole.iter().zip(buffer.chunks_exact(BLOCK_BYTES)) {
                let block = (start as usize - checks.base) / BLOCK_BYTES;
                self.compare_one(checks, block, contents)?;
            }
            Ok(())
        })
    }

    fn compare_one(
        &self,
        checks: &BlockChecks,
        block: usize,
        contents: &[u8],
    ) -> Result<(), VectorsError> {
        self.bytes.compare_contents(checks, block, contents)?;
        checks.note_compared(block);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::SectionId;
    use crate::storage::disk::MappedReader;

    #[test]
    fn pieces_are_those_of_the_map_and_damage_is_found_at_its_first_touch() {
        // A section that does not begin where its file does, with a short last block.
        const HEAD: usize = 64;
        let length = 12 * BLOCK_BYTES + 100;
        let mut contents: Vec<u8> = (0..HEAD + length).map(|at| (at % 251) as u8).collect();
        let checksums = contents[HEAD..]
            .chunks(BLOCK_BYTES)
            .map(crc32c::crc32c)
            .collect();
        contents[HEAD + 5 * BLOCK_BYTES + 9] ^= 1;
        let whole = Bytes::from_file_contents(contents.clone(), Path::new("rows"));
        let section = whole
            .section(
                HEAD..HEAD + length,
                SectionId::new(b"rows", 0),
                Some(checksums),
            )
            .expect("section");
        let read = PositionedBytes::new(Box::new(MappedReader(whole)), &section);
        let starts: Vec<u64> = (0..90)
            .map(|at| (at * 7919) % (5 * BLOCK_BYTES as u64 - 40))
            .collect();
        let mut buffer = vec![0; starts.len() * 40];
        read.read_pieces(&starts, 40, &mut buffer)
            .expect("whole blocks");
        for (piece, &start) in buffer.chunks(40).zip(&starts) {
            assert_eq!(piece, &contents[HEAD + start as usize..][..40]);
        }
        let mut last = [0; 100];
        read.read(length - 100, &mut last).expect("the last block");
        assert_eq!(last, contents[HEAD + length - 100..]);
        for start in [5 * BLOCK_BYTES - 1, 5 * BLOCK_BYTES, 6 * BLOCK_BYTES - 1] {
            for _ in 0..2 {
                let error = read
                    .read(start, &mut [0; 2])
                    .expect_err("block 5")
                    .to_string();
                assert!(error.contains("section rows.0: block 5"), "{error}");
            }
        }
        for start in [length - 1, usize::MAX] {
            read.read(start, &mut [0; 2]).expect_err("outside");
        }
        read.read(6 * BLOCK_BYTES, &mut [0; 2]).expect("block 6");
        section.checked(0..40).expect("compared already");
    }
}
