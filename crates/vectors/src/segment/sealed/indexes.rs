//! Files of vector indexes, which are derived from the rows: written under another name and renamed when whole.

use std::path::Path;
use std::sync::Arc;

use super::SealedSegment;
use platform::buffer::AlignedBuffer;
use platform::mapping::Advice;

use crate::error::VectorsError;
use crate::index::{self, VectorIndex};
use crate::memory::{Component, Ledger, Reservation};
use crate::quantize::Originals;
use crate::storage::{Bytes, Container, ContainerKind, ContainerWriter, Disk, SectionId};

/// The index of one vector of a segment.
#[derive(Debug)]
pub(crate) struct SegmentIndex {
    pub index: VectorIndex,
    /// What it was built with, as its file is named.
    pub parameters: String,
    /// Memory it holds, counted in the budget; `None` when its bytes are mapped.
    pub reservation: Option<Reservation>,
}

/// Bytes of a section that were compared with their checksum.
struct Verified(Bytes);

impl AsRef<[u8]> for Verified {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Bytes of a section in memory of their own, on huge pages where the system has them.
struct Resident(AlignedBuffer);

impl AsRef<[u8]> for Resident {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Whether the bytes of an index are read where they are in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Mapped: the system keeps in memory what it can.
    Mapped,
    /// Copied: traversal jumps through codes and links, and each jump to a small page costs a walk of the page table.
    Memory,
}

/// Indexes below this size stay mapped: they lie in caches whatever pages they are on.
const RESIDENT_FROM_BYTES: u64 = 1 << 20;

fn section_of(id: index::SectionId) -> SectionId {
    SectionId::new(b"part", u32::from(id.0))
}

/// Vector names may hold any character, so files carry the vector's place among the segment's vectors.
fn file_name(place: usize, parameters: &str) -> String {
    format!("index-{place}-{parameters}.fxv")
}

/// Place of the vector and parameters of an index file's name.
fn parse_name(name: &str) -> Option<(usize, &str)> {
    let (place, parameters) = name
        .strip_prefix("index-")?
        .strip_suffix(".fxv")?
        .split_once('-')?;
    Some((place.parse().ok()?, parameters))
}

/// Writes an index beside its segment and removes those of the same vector with other parameters.
///
/// # Errors
/// As the disk says.
pub(crate) fn write_index(
    disk: &dyn Disk,
    segment: &SealedSegment,
    vector: &str,
    parameters: &str,
    index: &VectorIndex,
) -> Result<(), VectorsError> {
    let Some(place) = segment.place_of(vector) else {
        return Ok(());
    };
    let path = segment.directory().join(file_name(place, parameters));
    let unfinished = path.with_extension("new");
    disk.remove(&unfinished)?;
    let mut writer = ContainerWriter::create(disk, &unfinished, ContainerKind::VECTOR_INDEX)?;
    for (id, bytes) in index.sections() {
        writer.section(section_of(id), &bytes)?;
    }
    writer.finish()?;
    disk.rename(&unfinished, &path)?;
    disk.sync_directory(segment.directory())?;
    for entry in disk.list(segment.directory())?.unwrap_or_default() {
        if parse_name(&entry.name).is_some_and(|(other, old)| other == place && old != parameters) {
            disk.remove(&segment.directory().join(entry.name))?;
        }
    }
    Ok(())
}

impl SealedSegment {
    /// The segment with every index that lies beside it. Damaged ones are handed to `damaged` and left out.
    ///
    /// # Errors
    /// As the disk says when it is asked for names.
    pub(crate) fn with_indexes_of_disk(
        mut self,
        disk: &dyn Disk,
        damaged: &mut dyn FnMut(&VectorsError),
    ) -> Result<Self, VectorsError> {
        for entry in disk.list(self.directory())?.unwrap_or_default() {
            let Some((place, parameters)) = parse_name(&entry.name) else {
                continue;
            };
            let Some(vector) = self.name_at(place).map(str::to_owned) else {
                continue;
            };
            match self.with_index_of_disk(disk, &vector, parameters) {
                Ok(segment) => self = segment,
                Err(error) => damaged(&error),
            }
        }
        Ok(self)
    }

    /// The segment with an index opened from its file, read in place.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the file is damaged, or as the disk says.
    pub(crate) fn with_index_of_disk(
        &self,
        disk: &dyn Disk,
        vector: &str,
        parameters: &str,
    ) -> Result<Self, VectorsError> {
        let (Some(place), Some(dense)) = (self.place_of(vector), self.dense(vector)) else {
            return Ok(self.clone());
        };
        let path = self.directory().join(file_name(place, parameters));
        let index = open_index(disk, &path, dense.metric(), dense, Place::Mapped)?;
        Ok(self.with_index(vector, parameters, index, None))
    }

    /// The segment with the first of its mapped indexes that has room in the budget read into memory; `None` when there is
    /// none.
    ///
    /// # Errors
    /// As [`SealedSegment::with_index_of_disk`].
    pub(crate) fn with_resident_index(
        &self,
        disk: &dyn Disk,
        ledger: &Arc<Ledger>,
    ) -> Result<Option<Self>, VectorsError> {
        for (vector, index) in &self.indexes {
            let (Some(place), Some(dense)) = (self.place_of(vector), self.dense(vector)) else {
                continue;
            };
            if index.reservation.is_some() {
                continue;
            }
            let path = self.directory().join(file_name(place, &index.parameters));
            let bytes = disk.length(&path)?.unwrap_or(0);
            // The map serves too, so as much again stays free for writes.
            if bytes < RESIDENT_FROM_BYTES || ledger.free_bytes() / 2 < bytes {
                continue;
            }
            let Ok(reservation) = ledger.reserve(Component::VectorIndexes, bytes) else {
                continue;
            };
            let read = open_index(disk, &path, dense.metric(), dense, Place::Memory)?;
            return Ok(Some(self.with_index(
                vector,
                &index.parameters,
                read,
                Some(reservation),
            )));
        }
        Ok(None)
    }

    /// Whether [`SealedSegment::with_resident_index`] has something to do, but for the budget.
    pub(crate) fn has_mapped_index(&self, disk: &dyn Disk) -> bool {
        self.indexes.iter().any(|(vector, index)| {
            index.reservation.is_none()
                && self.place_of(vector).is_some_and(|place| {
                    let path = self.directory().join(file_name(place, &index.parameters));
                    matches!(disk.length(&path), Ok(Some(bytes)) if bytes >= RESIDENT_FROM_BYTES)
                })
        })
    }

    /// The segment with the index for the vector `name` that another view of the same rows has, if that has one.
    pub(crate) fn with_index_of(&self, other: &SealedSegment, name: &str) -> Self {
        let mut segment = self.clone();
        if let Some(index) = other.indexes.get(name) {
            segment.indexes.insert(name.to_owned(), Arc::clone(index));
        }
        segment
    }

    /// The segment with an index for the vector `name`.
    pub(crate) fn with_index(
        &self,
        name: &str,
        parameters: &str,
        index: VectorIndex,
        reservation: Option<Reservation>,
    ) -> Self {
        let mut segment = self.clone();
        let index = SegmentIndex {
            index,
            parameters: parameters.to_owned(),
            reservation,
        };
        segment.indexes.insert(name.to_owned(), Arc::new(index));
        segment
    }
}

fn open_index(
    disk: &dyn Disk,
    path: &Path,
    metric: crate::schema::Metric,
    dense: &dyn Originals,
    place: Place,
) -> Result<VectorIndex, VectorsError> {
    let container = Container::open(disk, path, ContainerKind::VECTOR_INDEX)?;
    let mut sections: Vec<(SectionId, Bytes)> = Vec::new();
    let ids: Vec<SectionId> = container.sections().map(|(id, _)| id).collect();
    for id in ids {
        // Compared now: traversal jumps through the bytes too fast to check as it goes.
        let bytes = container.section(id)?;
        bytes.verify()?;
        sections.push((id, bytes));
    }
    VectorIndex::open(metric, dense.dimensions(), dense.rows(), &|id| {
        let wanted = section_of(id);
        let (_, bytes) = sections.iter().find(|(id, _)| *id == wanted)?;
        // Without memory for a copy the map serves.
        let copy = match place {
            Place::Memory => AlignedBuffer::copy_of(bytes.as_slice()).ok(),
            Place::Mapped => None,
        };
        Some(match copy {
            Some(copy) => {
                bytes.advise(Advice::Release);
                Arc::new(Resident(copy))
            }
            None => Arc::new(Verified(bytes.clone())),
        })
    })
    .map_err(|error| VectorsError::Corrupt {
        path: path.to_owned(),
        message: error.to_string(),
    })
}
