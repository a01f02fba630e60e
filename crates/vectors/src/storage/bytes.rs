//! Bytes of a file, mapped or in memory, cheap to clone and to cut, whose checksums are compared when they are touched.
//!
//! A section of a container that is read in place carries one CRC32C for each block of [`BLOCK_BYTES`]. Opening touches
//! nothing; the first use of a block compares its checksum and remembers that it was right. A damaged block is
//! compared again at each use and stays an error.

mod positioned;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytemuck::AnyBitPattern;
use platform::mapping::{Advice, MappedFile};

use super::ALIGNMENT;
use super::container::SectionId;
use crate::error::VectorsError;

pub use positioned::PositionedBytes;

/// Bytes that share one checksum in a section read in place: four pages, so that a random read of one row checks
/// little more than the system reads ahead anyway, and checksums take 0.02 % of the file.
pub const BLOCK_BYTES: usize = 16 * 1024;

/// A range of a file or a buffer. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct Bytes {
    source: Source,
    /// Where the range begins in its source.
    start: usize,
    length: usize,
    /// Where the bytes came from, for messages.
    origin: Arc<Origin>,
    /// `None` when the bytes were checked before they were handed out.
    checks: Option<Arc<BlockChecks>>,
}

#[derive(Debug, Clone)]
enum Source {
    Heap(Arc<Vec<u8>>),
    Mapped(Arc<MappedFile>),
}

#[derive(Debug)]
struct Origin {
    path: PathBuf,
    /// Where the file begins in the source: behind what aligns a buffer, at the start of a map.
    file_start: usize,
    /// `None` for a whole file.
    section: Option<SectionId>,
}

/// Checksums of the blocks of one section, and which of them were compared.
#[derive(Debug)]
struct BlockChecks {
    /// Where the section begins in its source.
    base: usize,
    length: usize,
    checksums: Vec<u32>,
    compared: Vec<AtomicU64>,
    /// Blocks not compared yet; 0 makes the check one load.
    left: AtomicUsize,
}

impl Bytes {
    /// Bytes in memory, aligned to [`ALIGNMENT`].
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Bytes::from_file_contents(bytes, Path::new("memory"))
    }

    /// The contents of the file at `path`, read into memory.
    pub fn from_file_contents(bytes: Vec<u8>, path: &Path) -> Self {
        let length = bytes.len();
        let (buffer, start) = aligned(bytes);
        Bytes {
            source: Source::Heap(Arc::new(buffer)),
            start,
            length,
            origin: Arc::new(Origin {
                path: path.to_owned(),
                file_start: start,
                section: None,
            }),
            checks: None,
        }
    }

    /// The file at `path`, mapped.
    pub fn from_map(map: MappedFile, path: &Path) -> Self {
        Bytes {
            start: 0,
            length: map.len(),
            source: Source::Mapped(Arc::new(map)),
            origin: Arc::new(Origin {
                path: path.to_owned(),
                file_start: 0,
                section: None,
            }),
            checks: None,
        }
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether the bytes are a map of a file, which the system may drop from memory, and not memory of this process.
    pub fn is_mapped(&self) -> bool {
        matches!(self.source, Source::Mapped(_))
    }

    /// The file the bytes came from ("memory" for bytes that never were in one).
    pub fn path(&self) -> &Path {
        &self.origin.path
    }

    /// All bytes, *without* comparing checksums: for ranges checked before, or by [`Bytes::verify`].
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // In range by construction: `start + length` never exceeds the source.
        &self.all()[self.start..self.start + self.length]
    }

    /// The bytes of `range`, each of them checked.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] naming file, section and block when a checksum differs, or when the range is not inside
    /// (ranges come from other parts of the file).
    #[inline]
    pub fn checked(&self, range: Range<usize>) -> Result<&[u8], VectorsError> {
        let Some(slice) = self.as_slice().get(range.clone()) else {
            return Err(self.damaged(format!(
                "bytes {} to {} lie outside its {}",
                range.start, range.end, self.length
            )));
        };
        if let Some(checks) = &self.checks
            && checks.left.load(Ordering::Acquire) != 0
            && !range.is_empty()
        {
            self.compare(checks, self.start + range.start, self.start + range.end)?;
        }
        Ok(slice)
    }

    /// Compares every checksum of the bytes and returns them; one load when that was done before.
    ///
    /// # Errors
    /// As [`Bytes::checked`].
    pub fn verify(&self) -> Result<&[u8], VectorsError> {
        self.checked(0..self.length)
    }

    /// Compares every checksum again, also those compared before: damage that came after the first look.
    ///
    /// # Errors
    /// As [`Bytes::checked`].
    pub fn verify_again(&self) -> Result<(), VectorsError> {
        let Some(checks) = &self.checks else {
            return Ok(());
        };
        for block in checks.blocks(self.start, self.start + self.length) {
            self.compare_block(checks, block)?;
        }
        Ok(())
    }

    /// A part of the bytes, sharing them and their checks.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the range is not inside.
    pub fn slice(&self, range: Range<usize>) -> Result<Bytes, VectorsError> {
        if range.start > range.end || range.end > self.length {
            return Err(self.damaged(format!(
                "bytes {} to {} lie outside its {}",
                range.start, range.end, self.length
            )));
        }
        let mut part = self.clone();
        part.start += range.start;
        part.length = range.len();
        Ok(part)
    }

    /// All bytes as numbers, *without* comparing checksums; see [`Bytes::as_slice`].
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when they are no whole count of `T`, or not aligned for it.
    pub fn typed<T: AnyBitPattern>(&self) -> Result<&[T], VectorsError> {
        self.cast(self.as_slice())
    }

    /// The elements `range`, each of them checked.
    ///
    /// # Errors
    /// As [`Bytes::checked`] and [`Bytes::typed`].
    #[inline]
    pub fn checked_typed<T: AnyBitPattern>(
        &self,
        range: Range<usize>,
    ) -> Result<&[T], VectorsError> {
        let size = size_of::<T>();
        let start = range.start.saturating_mul(size);
        let end = range.end.saturating_mul(size);
        self.cast(self.checked(start..end)?)
    }

    /// Tells the system how the bytes will be read; a hint, so failure is no error.
    pub fn advise(&self, advice: Advice) {
        if let Source::Mapped(map) = &self.source {
            let _ = map.advise(self.start..self.start + self.length, advice);
        }
    }

    /// [`VectorsError::Corrupt`] about these bytes: for readers that find them well-checksummed but senseless.
    pub fn damaged(&self, message: impl std::fmt::Display) -> VectorsError {
        VectorsError::Corrupt {
            path: self.origin.path.clone(),
            message: match self.origin.section {
                Some(section) => format!("section {section}: {message}"),
                None => message.to_string(),
            },
        }
    }

    /// The part `range` of a whole file, as section `section` with a checksum for each block.
    pub(super) fn section(
        &self,
        range: Range<usize>,
        section: SectionId,
        checksums: Option<Vec<u32>>,
    ) -> Result<Bytes, VectorsError> {
        let mut part = self.slice(range)?;
        part.origin = Arc::new(Origin {
            path: self.origin.path.clone(),
            file_start: self.origin.file_start,
            section: Some(section),
        });
        part.checks = checksums.map(|checksums| {
            Arc::new(BlockChecks {
                base: part.start,
                length: part.length,
                compared: (0..checksums.len().div_ceil(64))
                    .map(|_| AtomicU64::new(0))
                    .collect(),
                left: AtomicUsize::new(checksums.len()),
                checksums,
            })
        });
        Ok(part)
    }

    #[inline]
    fn all(&self) -> &[u8] {
        match &self.source {
            Source::Heap(bytes) => bytes,
            Source::Mapped(map) => map,
        }
    }

    fn cast<'a, T: AnyBitPattern>(&self, bytes: &'a [u8]) -> Result<&'a [T], VectorsError> {
        bytemuck::try_cast_slice(bytes).map_err(|_| {
            self.damaged(format!(
                "{} bytes are no whole count of aligned {}-byte numbers",
                bytes.len(),
                size_of::<T>()
            ))
        })
    }

    /// Compares the blocks of source bytes `start..end` that were not compared yet.
    #[cold]
    fn compare(&self, checks: &BlockChecks, start: usize, end: usize) -> Result<(), VectorsError> {
        for block in checks.blocks(start, end) {
            if !checks.was_compared(block) {
                self.compare_block(checks, block)?;
                checks.note_compared(block);
            }
        }
        Ok(())
    }

    fn compare_block(&self, checks: &BlockChecks, block: usize) -> Result<(), VectorsError> {
        self.compare_contents(checks, block, &self.all()[checks.range_of(block)])
    }

    /// Compares `found`, which was read as block `block`, with its checksum.
    fn compare_contents(
        &self,
        checks: &BlockChecks,
        block: usize,
        found: &[u8],
    ) -> Result<(), VectorsError> {
        let checksum = crc32c::crc32c(found);
        if checksum == checks.checksums[block] {
            return Ok(());
        }
        let Range { start, end } = checks.range_of(block);
        Err(self.damaged(format!(
            "block {block} (bytes {start} to {end} of the file) has checksum {checksum:08x} instead of {:08x}",
            checks.checksums[block]
        )))
    }
}

impl BlockChecks {
    /// The blocks that source bytes `start..end` touch.
    fn blocks(&self, start: usize, end: usize) -> Range<usize> {
        if start >= end {
            return 0..0;
        }
        (start - self.base) / BLOCK_BYTES..(end - self.base).div_ceil(BLOCK_BYTES)
    }

    /// Which bytes of the source a block is.
    fn range_of(&self, block: usize) -> Range<usize> {
        let start = self.base + block * BLOCK_BYTES;
        start..(start + BLOCK_BYTES).min(self.base + self.length)
    }

    fn was_compared(&self, block: usize) -> bool {
        self.compared[block / 64].load(Ordering::Acquire) >> (block % 64) & 1 == 1
    }

    fn note_compared(&self, block: usize) {
        let bit = 1u64 << (block % 64);
        // Two threads may compare one block; only the first to say so counts it.
        if self.compared[block / 64].fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.left.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The bytes in a buffer where they begin at a multiple of [`ALIGNMENT`], and that beginning. The buffer never moves.
fn aligned(bytes: Vec<u8>) -> (Vec<u8>, usize) {
    if bytes.as_ptr().align_offset(ALIGNMENT) == 0 {
        return (bytes, 0);
    }
    let mut buffer: Vec<u8> = Vec::with_capacity(bytes.len() + ALIGNMENT);
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    buffer.resize(start, 0);
    buffer.extend_from_slice(&bytes);
    (buffer, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_and_reads_as_numbers() {
        for length in [0, 1, 4, 100, 4096] {
            let bytes = Bytes::from_vec((0..length).map(|byte| byte as u8).collect());
            assert_eq!(bytes.as_slice().as_ptr().align_offset(ALIGNMENT), 0);
            assert_eq!(bytes.len(), length);
            assert_eq!(bytes.typed::<u32>().is_ok(), length % 4 == 0);
        }
        let bytes = Bytes::from_vec(vec![1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(bytes.checked_typed::<u32>(1..3).expect("inside"), [2, 3]);
        bytes.checked_typed::<u32>(2..4).expect_err("outside");
        bytes
            .checked_typed::<u32>(0..usize::MAX)
            .expect_err("far outside");
        bytes
            .slice(1..4)
            .expect("part")
            .typed::<u16>()
            .expect_err("odd");
    }

    #[test]
    fn a_damaged_block_is_found_at_its_first_touch_and_the_others_are_not() {
        let good: Vec<u8> = (0..3 * BLOCK_BYTES + 100)
            .map(|at| (at % 251) as u8)
            .collect();
        let checksums: Vec<u32> = good.chunks(BLOCK_BYTES).map(crc32c::crc32c).collect();
        let mut bad = good.clone();
        bad[BLOCK_BYTES + 7] ^= 4;
        let whole = Bytes::from_file_contents(bad, Path::new("rows"));
        let section = whole
            .section(0..good.len(), SectionId::new(b"rows", 0), Some(checksums))
            .expect("section");
        assert_eq!(section.checked(0..10).expect("block 0"), &good[..10]);
        let end = good.len() - 5;
        assert_eq!(
            section.checked(end..good.len()).expect("block 3"),
            &good[end..]
        );
        let error = section
            .checked(BLOCK_BYTES - 1..BLOCK_BYTES + 1)
            .expect_err("touches block 1")
            .to_string();
        assert!(
            error.contains("rows is damaged: section rows.0: block 1"),
            "{error}"
        );
        let part = section.slice(2 * BLOCK_BYTES..good.len()).expect("part");
        part.verify().expect("blocks 2 and 3");
        section.verify().expect_err("all");
        section.verify_again().expect_err("all again");
    }
}
