//! Files of payload and sparse indexes of a segment, derived from its rows.

use std::sync::Arc;

use super::SealedSegment;
use crate::error::VectorsError;
use crate::memory::Component;
use crate::payload::{FieldIndex, FilterCache, PayloadIndexSchema, PayloadIndexes};
use crate::point::Vector;
use crate::segment::SegmentView;
use crate::sparse::{SparseIndex, Weights};
use crate::storage::{Container, ContainerKind, ContainerWriter, Disk, SectionId};

/// Rows added to an index between two looks at how large it is: few enough that it stays near what was reserved, and many
/// enough that looking costs nothing beside adding.
const ROWS_BETWEEN_LOOKS: u32 = 1_024;

/// Name of the file with exactly these payload indexes.
pub(crate) fn payload_file(schema: &[PayloadIndexSchema]) -> String {
    let text = serde_json::to_vec(schema).unwrap_or_default();
    format!("payload-{:08x}.fxv", crc32c::crc32c(&text))
}

impl SealedSegment {
    /// The same segment with payload indexes.
    fn with_payload_indexes(&self, indexes: PayloadIndexes) -> Self {
        let mut segment = self.clone();
        segment.payload_indexes = Arc::new(indexes);
        segment.held.retain(|file, _| !file.starts_with("payload-"));
        // What conditions on texts mean may have changed.
        segment.filters = Arc::new(FilterCache::default());
        segment
    }

    /// Whether the segment has exactly these payload indexes.
    pub(crate) fn has_payload_indexes(&self, schema: &[PayloadIndexSchema]) -> bool {
        self.payload_indexes.schema() == schema
    }

    /// The segment with the payload indexes that lie beside it, when they are these; otherwise without.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the file is damaged, or as the disk says.
    pub(crate) fn with_payload_indexes_of_disk(
        &self,
        disk: &dyn Disk,
        schema: &[PayloadIndexSchema],
    ) -> Result<Self, VectorsError> {
        let path = self.directory().join(payload_file(schema));
        if schema.is_empty() || disk.length(&path)?.is_none() {
            return Ok(self.clone());
        }
        let file = Container::open(disk, &path, ContainerKind::PAYLOAD_INDEX)?;
        let indexes = PayloadIndexes::open(self.rows(), &|id: SectionId| file.section(id))?;
        let bytes = indexes.bytes_in_memory();
        let mut segment = self.with_payload_indexes(indexes);
        let name = payload_file(schema);
        segment.hold(&name, Component::PayloadIndexes, bytes, file.file_bytes());
        Ok(segment)
    }

    /// Builds payload indexes from the rows, writes them beside the segment and removes other ones. Existing indexes of the
    /// same field and kind are built again: sealing is the time for it, and a payload is read once for all of them.
    ///
    /// # Errors
    /// [`VectorsError::OverBudget`] when the memory that building takes is not free, [`VectorsError::Corrupt`] when a payload
    /// is damaged, or as the disk says.
    pub(crate) fn build_payload_indexes(
        &self,
        disk: &dyn Disk,
        schema: &[PayloadIndexSchema],
    ) -> Result<Self, VectorsError> {
        let name = payload_file(schema);
        let mut result = self.with_payload_indexes(PayloadIndexes::default());
        if !schema.is_empty() {
            let mut indexes = PayloadIndexes::growing(schema)?;
            let mut room = self.account.ledger.reserve(Component::PayloadIndexes, 0)?;
            for row in 0..self.rows() {
                indexes.insert(row, self.payload(row)?.as_ref());
                if row % ROWS_BETWEEN_LOOKS == 0 || row + 1 == self.rows() {
                    // As much again for the sections that are written.
                    room.resize(2 * indexes.bytes_in_memory())?;
                }
            }
            let path = self.directory().join(&name);
            let unfinished = path.with_extension("new");
            disk.remove(&unfinished)?;
            let mut writer =
                ContainerWriter::create(disk, &unfinished, ContainerKind::PAYLOAD_INDEX)?;
            for (id, bytes) in indexes.sections(self.rows())? {
                writer.section(id, &bytes)?;
            }
            writer.finish()?;
            drop((indexes, room));
            disk.rename(&unfinished, &path)?;
            disk.sync_directory(self.directory())?;
            // Read in place from now on: the memory of building is given back.
            result = self.with_payload_indexes_of_disk(disk, schema)?;
        }
        for entry in disk.list(self.directory())?.unwrap_or_default() {
            if entry.name.starts_with("payload-") && entry.name != name {
                disk.remove(&self.directory().join(entry.name))?;
            }
        }
        Ok(result)
    }
}

/// An index of a growing segment's rows so far.
pub(crate) fn index_of_rows(
    view: &dyn SegmentView,
    schema: &PayloadIndexSchema,
) -> Result<FieldIndex, VectorsError> {
    let mut index = FieldIndex::new(schema.key.parse()?, schema.kind.clone())?;
    for row in 0..view.rows() {
        index.insert(row, view.payload(row)?.as_ref());
    }
    Ok(index)
}

/// Name of the file with the lists of the sparse vector at `place`.
fn sparse_file(place: usize) -> String {
    format!("sparse-{place}.fxv")
}

impl SealedSegment {
    /// The segment with inverted lists of all its sparse vectors, written beside it.
    ///
    /// # Errors
    /// [`VectorsError::OverBudget`] when the memory that building takes is not free, [`VectorsError::Corrupt`] when a vector
    /// is damaged, or as the disk says.
    pub(crate) fn build_sparse_indexes(&self, disk: &dyn Disk) -> Result<Self, VectorsError> {
        for (place, name) in self.sparse_places() {
            let mut index = SparseIndex::new(Weights::Float32);
            let mut room = self.account.ledger.reserve(Component::Sparse, 0)?;
            for row in 0..self.rows() {
                if row % ROWS_BETWEEN_LOOKS == 0 || row + 1 == self.rows() {
                    room.resize(2 * index.bytes_in_memory())?;
                }
                if let Some(Vector::Sparse(vector)) = self.vector(&name, row)? {
                    index.insert(row, &vector)?;
                }
            }
            let path = self.directory().join(sparse_file(place));
            let unfinished = path.with_extension("new");
            disk.remove(&unfinished)?;
            let mut writer =
                ContainerWriter::create(disk, &unfinished, ContainerKind::SPARSE_INDEX)?;
            for (id, bytes) in index.sections()? {
                writer.section(id, &bytes)?;
            }
            writer.finish()?;
            disk.rename(&unfinished, &path)?;
        }
        disk.sync_directory(self.directory())?;
        self.clone().with_sparse_indexes_of_disk(disk, &mut |_| {})
    }

    /// The segment with the inverted lists that lie beside it. Damaged ones are handed to `damaged` and left out: their
    /// vectors are scanned until the segment is merged.
    ///
    /// # Errors
    /// As the disk says when it is asked for names.
    pub(crate) fn with_sparse_indexes_of_disk(
        mut self,
        disk: &dyn Disk,
        damaged: &mut dyn FnMut(&VectorsError),
    ) -> Result<Self, VectorsError> {
        for (place, name) in self.sparse_places() {
            let path = self.directory().join(sparse_file(place));
            if disk.length(&path)?.is_none() {
                continue;
            }
            let opened =
                Container::open(disk, &path, ContainerKind::SPARSE_INDEX).and_then(|file| {
                    SparseIndex::open(&|id| file.section(id).ok())
                        .map(|index| (index, file.file_bytes()))
                        .map_err(|error| VectorsError::Corrupt {
                            path: path.clone(),
                            message: error.to_string(),
                        })
                });
            match opened {
                Ok((index, mapped)) => {
                    let bytes = index.bytes_in_memory();
                    self.hold(&sparse_file(place), Component::Sparse, bytes, mapped);
                    self.sparse.insert(name, Arc::new(index));
                }
                Err(error) => damaged(&error),
            }
        }
        Ok(self)
    }

    /// Places and names of the sparse vectors.
    fn sparse_places(&self) -> Vec<(usize, String)> {
        self.rows
            .vectors()
            .iter()
            .enumerate()
            .filter(|(_, (_, column))| column.is_sparse())
            .map(|(place, (name, _))| (place, name.clone()))
            .collect()
    }
}
