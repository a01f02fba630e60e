//! Opens a container and hands out its sections.

use std::path::Path;

use super::layout::{self, Entry, FRAME_BYTES};
use super::{ContainerKind, SectionId};
use crate::error::VectorsError;
use crate::storage::bytes::Bytes;
use crate::storage::disk::Disk;

/// An open container. Clones share its bytes; nothing is kept open but the map.
#[derive(Debug, Clone)]
pub struct Container {
    bytes: Bytes,
    kind: ContainerKind,
    entries: Vec<Entry>,
}

impl Container {
    /// Opens the file `path` and checks header, table and trailer. Sections are not touched.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] naming what is wrong, also for a container of another kind; or as the disk says.
    pub fn open(disk: &dyn Disk, path: &Path, kind: ContainerKind) -> Result<Self, VectorsError> {
        let container = Container::open_any(disk, path)?;
        if container.kind != kind {
            return Err(container.bytes.damaged(format!(
                "header: holds `{}` instead of `{kind}`",
                container.kind
            )));
        }
        Ok(container)
    }

    /// As [`Container::open`], whatever it holds.
    ///
    /// # Errors
    /// As [`Container::open`].
    pub fn open_any(disk: &dyn Disk, path: &Path) -> Result<Self, VectorsError> {
        Container::parse(disk.map(path)?)
    }

    /// A container of these bytes.
    ///
    /// # Errors
    /// As [`Container::open`].
    pub fn parse(bytes: Bytes) -> Result<Self, VectorsError> {
        let (kind, entries) =
            layout::parse(bytes.as_slice()).map_err(|message| bytes.damaged(message))?;
        Ok(Container {
            bytes,
            kind,
            entries,
        })
    }

    /// What it holds.
    pub fn kind(&self) -> ContainerKind {
        self.kind
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.bytes.path()
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Its sections and their lengths, in the order they were written.
    pub fn sections(&self) -> impl Iterator<Item = (SectionId, u64)> + '_ {
        self.entries.iter().map(|entry| (entry.id, entry.length))
    }

    /// A section that must be there. A small one was compared with its checksum when this returns, a large one compares
    /// each block when it is touched through [`Bytes::checked`] and its relatives.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when it is missing or damaged.
    pub fn section(&self, id: SectionId) -> Result<Bytes, VectorsError> {
        self.optional(id)?
            .ok_or_else(|| self.bytes.damaged(format!("section {id} is missing")))
    }

    /// A section that may be missing; see [`Container::section`].
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when it is damaged.
    pub fn optional(&self, id: SectionId) -> Result<Option<Bytes>, VectorsError> {
        self.entries
            .iter()
            .find(|entry| entry.id == id)
            .map(|entry| self.read(entry))
            .transpose()
    }

    /// Compares every byte of the file with its checksum, and padding with zero, also what was compared before.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] for the first difference; [`Container::damages`] lists one for each section.
    pub fn verify_all(&self) -> Result<(), VectorsError> {
        self.damages().into_iter().next().map_or(Ok(()), Err)
    }

    /// What [`Container::verify_all`] finds, one error for each damaged section.
    pub fn damages(&self) -> Vec<VectorsError> {
        let mut damages = Vec::new();
        if let Err(message) = layout::parse(self.bytes.as_slice()) {
            damages.push(self.bytes.damaged(message));
        }
        for entry in &self.entries {
            let checked = self.read(entry).and_then(|section| {
                section.verify_again()?;
                self.padding(entry.offset + entry.length, entry.id)?;
                if entry.blocks {
                    self.padding(entry.list_offset() + entry.block_count() * 4, entry.id)?;
                }
                Ok(())
            });
            damages.extend(checked.err());
        }
        damages
    }

    fn read(&self, entry: &Entry) -> Result<Bytes, VectorsError> {
        // In range: the table was checked against the length of the file.
        let start = entry.offset as usize;
        let end = start + entry.length as usize;
        let list = entry.list_offset() as usize;
        let checked = if entry.blocks {
            &self.bytes.as_slice()[list..list + entry.block_count() as usize * 4]
        } else {
            &self.bytes.as_slice()[start..end]
        };
        let found = crc32c::crc32c(checked);
        if found != entry.checksum {
            return Err(self.bytes.damaged(format!(
                "section {}: {} {found:08x} instead of {:08x}",
                entry.id,
                if entry.blocks {
                    "list of block checksums has checksum"
                } else {
                    "checksum"
                },
                entry.checksum
            )));
        }
        let checksums = entry.blocks.then(|| {
            checked
                .as_chunks::<4>()
                .0
                .iter()
                .map(|sum| u32::from_le_bytes(*sum))
                .collect()
        });
        self.bytes.section(start..end, entry.id, checksums)
    }

    /// Checks that the file holds zeros from `offset` to the next multiple of the alignment.
    fn padding(&self, offset: u64, id: SectionId) -> Result<(), VectorsError> {
        let range = offset as usize..layout::round_up(offset) as usize;
        debug_assert!(range.end <= self.bytes.len() - FRAME_BYTES);
        if self.bytes.as_slice()[range].iter().any(|&byte| byte != 0) {
            return Err(self
                .bytes
                .damaged(format!("section {id}: padding behind it is not zero")));
        }
        Ok(())
    }
}
