//! Writes a container from start to end.

use std::path::{Path, PathBuf};

use super::layout::{self, Entry, SECTIONS_MAX, WHOLE_BYTES_MAX};
use super::{ContainerKind, SectionId};
use crate::error::VectorsError;
use crate::storage::bytes::BLOCK_BYTES;
use crate::storage::disk::{Disk, DiskFile, parent_of};

/// Bytes gathered before they are handed to the file: few enough calls that they do not matter.
const BUFFER_BYTES: usize = 1 << 20;

/// A container being written. Dropped without [`ContainerWriter::finish`] it leaves a file that no reader opens.
#[derive(Debug)]
pub struct ContainerWriter<'a> {
    disk: &'a dyn Disk,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes written so far, the buffer's included.
    offset: u64,
    entries: Vec<Entry>,
}

impl<'a> ContainerWriter<'a> {
    /// Starts the file `path`, which must not exist.
    ///
    /// # Errors
    /// As the disk says.
    pub fn create(
        disk: &'a dyn Disk,
        path: &Path,
        kind: ContainerKind,
    ) -> Result<Self, VectorsError> {
        let mut writer = ContainerWriter {
            disk,
            file: disk.create(path)?,
            path: path.to_owned(),
            buffer: Vec::new(),
            offset: 0,
            entries: Vec::new(),
        };
        writer.put(&layout::header(kind))?;
        Ok(writer)
    }

    /// Writes a section that lies in memory.
    ///
    /// # Errors
    /// As [`ContainerWriter::section_with`].
    pub fn section(&mut self, id: SectionId, bytes: &[u8]) -> Result<(), VectorsError> {
        self.section_with(id, |sink| sink.put(bytes))
    }

    /// Writes a section from pieces, one after the other.
    ///
    /// # Errors
    /// As [`ContainerWriter::section_with`].
    pub fn section_from<P: AsRef<[u8]>>(
        &mut self,
        id: SectionId,
        pieces: impl IntoIterator<Item = P>,
    ) -> Result<(), VectorsError> {
        self.section_with(id, |sink| {
            pieces
                .into_iter()
                .try_for_each(|piece| sink.put(piece.as_ref()))
        })
    }

    /// Writes a section of whatever `write` puts into its sink.
    ///
    /// # Errors
    /// As the disk and `write` say; [`VectorsError::Limit`] for too many sections. The container cannot be finished
    /// in a sensible way after one.
    ///
    /// # Panics
    /// When a section of that name was written before.
    pub fn section_with(
        &mut self,
        id: SectionId,
        write: impl FnOnce(&mut SectionSink<'_, 'a>) -> Result<(), VectorsError>,
    ) -> Result<(), VectorsError> {
        assert!(
            self.entries.iter().all(|entry| entry.id != id),
            "section {id} was written before"
        );
        if self.entries.len() == SECTIONS_MAX {
            return Err(VectorsError::Limit {
                what: "sections of a container",
                limit: SECTIONS_MAX as u64,
                actual: SECTIONS_MAX as u64 + 1,
            });
        }
        let offset = self.offset;
        let mut sink = SectionSink {
            writer: self,
            checksums: Vec::new(),
            block: 0,
            in_block: 0,
        };
        write(&mut sink)?;
        let (mut checksums, block, in_block) = (sink.checksums, sink.block, sink.in_block);
        if in_block > 0 {
            checksums.push(block);
        }
        let length = self.offset - offset;
        self.pad()?;
        let blocks = length > WHOLE_BYTES_MAX;
        let checksum = if blocks {
            let list: Vec<u8> = checksums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
            self.put(&list)?;
            self.pad()?;
            crc32c::crc32c(&list)
        } else {
            whole(&checksums, length as usize)
        };
        self.entries.push(Entry {
            id,
            offset,
            length,
            checksum,
            blocks,
        });
        Ok(())
    }

    /// Writes table and trailer and syncs the file and its name. Returns the bytes of the file.
    ///
    /// # Errors
    /// As the disk says.
    pub fn finish(mut self) -> Result<u64, VectorsError> {
        let table = layout::table(&self.entries);
        let trailer = layout::trailer(self.offset, &table);
        self.put(&table)?;
        self.put(&trailer)?;
        self.file.append(&self.buffer)?;
        self.file.sync()?;
        self.disk.sync_directory(parent_of(&self.path))?;
        Ok(self.offset)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), VectorsError> {
        self.offset += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.file.append(&self.buffer)?;
            self.buffer.clear();
            if bytes.len() > BUFFER_BYTES {
                return self.file.append(bytes);
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn pad(&mut self) -> Result<(), VectorsError> {
        let zeros = [0; crate::storage::ALIGNMENT];
        let count = layout::round_up(self.offset) - self.offset;
        self.put(&zeros[..count as usize])
    }
}

/// Where the bytes of one section go.
#[derive(Debug)]
pub struct SectionSink<'w, 'a> {
    writer: &'w mut ContainerWriter<'a>,
    /// Of full blocks.
    checksums: Vec<u32>,
    /// Checksum of the block begun.
    block: u32,
    /// Bytes of the block begun, less than [`BLOCK_BYTES`].
    in_block: usize,
}

impl SectionSink<'_, '_> {
    /// Appends bytes to the section.
    ///
    /// # Errors
    /// As the disk says.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), VectorsError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - self.in_block));
            self.block = crc32c::crc32c_append(self.block, piece);
            self.in_block += piece.len();
            if self.in_block == BLOCK_BYTES {
                self.checksums.push(self.block);
                (self.block, self.in_block) = (0, 0);
            }
            rest = after;
        }
        self.writer.put(bytes)
    }
}

/// The checksum of a section from those of its blocks.
fn whole(checksums: &[u32], length: usize) -> u32 {
    let mut left = length;
    checksums.iter().fold(0, |sum, &block| {
        let bytes = left.min(BLOCK_BYTES);
        left -= bytes;
        crc32c::crc32c_combine(sum, block, bytes)
    })
}
